//! Throttle for log lines about rejected requests: at most one per second, with a count.
//!
//! Any client can cause rejections at any rate. One line per rejection would let it fill the log, and would cost an
//! overloaded server time.

use std::cell::Cell;
use std::time::Duration;

use pos_port_clock::Stopwatch;

const INTERVAL: Duration = Duration::from_secs(1);

/// Counter of the rejections of one kind by one worker.
#[derive(Default)]
pub(crate) struct ThrottledLog {
    unreported: Cell<u64>,
    last_report: Cell<Option<Stopwatch>>,
}

impl ThrottledLog {
    /// Counts a rejection. Returns the number of rejections since the last report if a new report is due.
    pub(crate) fn count(&self) -> Option<u64> {
        self.unreported.set(self.unreported.get() + 1);
        if self.last_report.get().is_some_and(|last| last.elapsed() < INTERVAL) {
            return None;
        }
        self.last_report.set(Some(Stopwatch::start()));
        Some(self.unreported.replace(0))
    }
}
