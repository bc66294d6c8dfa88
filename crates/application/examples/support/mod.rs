//! Use cases of the examples: the rules of tests, a manual clock, and no identity provider.

use std::sync::Arc;

use pos_application::test_support::START;
use pos_application::{Ports, Rules, UseCases};
use pos_port_clock::{ManualClock, ScriptedEntropy};
use pos_port_storage::Storage;

/// Builds every use case on `storage`, as the server does with its own ports and settings.
pub(crate) fn use_cases(storage: Storage) -> UseCases {
    let clock = Arc::new(ManualClock::at(START));
    let ports = Ports::for_tests(storage, clock, Arc::new(ScriptedEntropy::default()));
    UseCases::new(&ports, &Rules::for_tests())
}
