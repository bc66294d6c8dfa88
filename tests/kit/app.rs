//! Use cases on a store, as an operator's commands have them.

use std::sync::Arc;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_application::Rules;
use pos_application::test_support::TestApp;
use pos_port_clock::ManualClock;
use pos_port_storage::Storage;

/// The use cases with the time of the system.
#[must_use]
pub fn app(storage: &Storage) -> TestApp<SystemClock> {
    TestApp::new(storage.clone(), Arc::new(SystemClock), Arc::new(SystemEntropy), &Rules::for_tests())
}

/// The use cases with the time of a test.
#[must_use]
pub fn app_at(storage: &Storage, clock: &Arc<ManualClock>) -> TestApp {
    TestApp::new(storage.clone(), clock.clone(), Arc::new(SystemEntropy), &Rules::for_tests())
}
