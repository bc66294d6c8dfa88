//! Tests of the use cases with an in-memory store, a manual clock and scripted entropy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests"
)]

mod acts;
mod auditing;
mod claiming;
mod fleet;
mod imports;
mod provisioning;
mod retention;
mod sessions;
mod terminal;
mod waiting;

use std::sync::Arc;

use pos_application::Rules;
use pos_application::test_support::TestApp;
use pos_domain::shared::AttemptLimit;
use pos_port_clock::ScriptedEntropy;
use pos_port_storage::{InMemoryStore, Storage};
use time::Duration;

const TTL: Duration = Duration::seconds(300);
const LIMIT: AttemptLimit = AttemptLimit { max_failures: 3, window: Duration::seconds(60) };

/// The rules that these tests rely on.
fn rules() -> Rules {
    Rules {
        code_ttl: TTL,
        claim_limit: LIMIT,
        client_limit: LIMIT,
        idempotency_retention: LIMIT.window * 4,
        min_supported_version: "1.3.5".parse().unwrap(),
        wait_recheck: std::time::Duration::from_secs(5),
        ..Rules::for_tests()
    }
}

fn in_memory() -> Storage {
    Storage::of(Arc::new(InMemoryStore::default()))
}

/// All use cases on a new store. The script has the first random words.
fn app(script: impl IntoIterator<Item = u32>) -> TestApp {
    TestApp::scripted(in_memory(), script, &rules())
}

/// The use cases on the store of `app` and with its clock, with other rules.
fn with_rules(app: &TestApp, rules: &Rules) -> TestApp {
    TestApp::new(app.storage.clone(), app.clock.clone(), Arc::new(ScriptedEntropy::default()), rules)
}

/// The use cases on the store of `app` and with its clock, without an effective limit of claims.
fn unlimited(app: &TestApp) -> TestApp {
    with_rules(app, &Rules { claim_limit: AttemptLimit { max_failures: 100, ..LIMIT }, ..rules() })
}
