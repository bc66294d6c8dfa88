//! Log lines about refused requests: one a second at most, with a count.
//!
//! Anybody can be refused as often as they like. A line for each refusal would let a stranger fill the log, and would be work
//! that an overloaded server has no time for.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Stopwatch;

const INTERVAL: Duration = Duration::from_secs(1);

/// The refusals of one kind by one worker.
#[derive(Default)]
pub(super) struct ThrottledLog {
    unreported: Cell<u64>,
    last_report: Cell<Option<Stopwatch>>,
}

impl ThrottledLog {
    /// Counts a refusal. Returns how many there were since the last report, if it is time for another.
    pub(super) fn count(&self) -> Option<u64> {
        self.unreported.set(self.unreported.get() + 1);
        if self.last_report.get().is_some_and(|last| last.elapsed() < INTERVAL) {
            return None;
        }
        self.last_report.set(Some(Stopwatch::start()));
        Some(self.unreported.replace(0))
    }
}
