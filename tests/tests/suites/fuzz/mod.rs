//! The server under requests that nobody would write by hand.
//!
//! What is sent is drawn by proptest and shrunk to the least that fails. `PROPTEST_CASES` says how many are sent;
//! `scripts/fuzz` goes on for as long as it is told.

mod claims;
mod raw;
mod terminals;

use pos_tests::server::{Options, TestServer};
use pos_tests::stores::TestStore;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

/// How many cases there are without `PROPTEST_CASES`: each is a request or several, and CI has other things to do.
const CASES: u32 = 150;

/// What stands wherever a secret may, and must come back nowhere.
const SECRET: &str = "hunter2hunter2";

/// A server for many cases, and the runtime it is in.
struct Target {
    runtime: Runtime,
    _store: TestStore,
    server: TestServer,
}

impl Target {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let (store, server) = runtime.block_on(async {
            let store = TestStore::sqlite().await;
            let settings = vec![
                // No case must be refused because of those before it.
                ("POS__LIMITS__ADDRESS_PER_MINUTE", "0".to_owned()),
                ("POS__CLAIM__MAX_FAILURES", "1000000".to_owned()),
            ];
            let server = TestServer::start(store.opened(), Options { settings, ..Options::default() });
            server.sign_in().await;
            (store, server)
        });
        Self { runtime, _store: store, server }
    }

    fn address(&self) -> &str {
        self.server.url.trim_start_matches("http://")
    }
}

fn runner() -> TestRunner {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let config = Config { failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
    TestRunner::new(if asked { config } else { Config { cases: CASES, ..config } })
}

fn fail(why: impl Into<String>) -> TestCaseError {
    TestCaseError::fail(why.into())
}
