//! Fuzz tests of the server with generated requests.
//!
//! proptest generates the requests and shrinks a failing one. `PROPTEST_CASES` sets the number of cases; `scripts/fuzz` runs
//! for a given time.

mod claims;
mod raw;
mod terminals;

use pos_tests::server::{Options, TestServer};
use pos_tests::stores::TestStore;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

/// Number of cases without `PROPTEST_CASES`. Each case sends one or more requests, so the number is low for CI.
const CASES: u32 = 150;

/// The value of every secret in requests, which must appear in no response.
const SECRET: &str = "hunter2hunter2";

/// A server for many cases and the runtime that it runs in.
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
                // No case may be rejected because of earlier cases.
                ("POS__LIMITS__ADDRESS_PER_MINUTE", "0".to_owned()),
                ("POS__CLAIM__MAX_FAILURES", "1000000".to_owned()),
            ];
            let server = TestServer::start(store.opened(), Options { settings, ..Options::default() });
            server.seed_sessions().await;
            (store, server)
        });
        Self { runtime, _store: store, server }
    }

    fn address(&self) -> &str {
        self.server.url.trim_start_matches("http://")
    }
}

fn runner() -> TestRunner {
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    let config = Config { failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
    TestRunner::new(if is_set { config } else { Config { cases: CASES, ..config } })
}

fn fail(why: impl Into<String>) -> TestCaseError {
    TestCaseError::fail(why.into())
}
