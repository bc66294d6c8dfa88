//! Bounded log queue with one writer thread.
//!
//! A standard error that nobody reads (a full pipe, a stopped terminal) blocks its writers. So workers only put lines into
//! a queue, and one thread writes them. A line that finds the queue full is dropped and counted, and so is a line whose
//! write failed.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pos_port_clock::Stopwatch;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::output::within;

/// Capacity of the queue: some two megabytes of lines about refused requests, or a tenth of a second of a flood of them.
const QUEUED_LINES: usize = 4_096;

/// How long the end of the process waits for queued lines to be written. The limits of [`WorkerGuard`] add up to 1.1 s, but
/// it prints when one of them is reached.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1_200);

/// The shortest time between two reports of dropped lines while lines are being written.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Lines that found the queue full; there is one queue per process.
static QUEUE_DROPS: OnceLock<ErrorCounter> = OnceLock::new();
/// Lines whose write to standard error failed, as it does on a closed pipe.
static FAILED_WRITES: AtomicU64 = AtomicU64::new(0);

/// Number of log lines dropped since the process started.
#[must_use]
pub(crate) fn dropped_lines() -> u64 {
    let full = QUEUE_DROPS.get().map_or(0, ErrorCounter::dropped_lines);
    u64::try_from(full).unwrap_or(u64::MAX).saturating_add(FAILED_WRITES.load(Ordering::Relaxed))
}

/// Writer that runs on the log thread.
pub(crate) struct LogWriter<W> {
    out: W,
    reported: u64,
    last_report: Option<Stopwatch>,
}

/// Flushes the log: dropping it writes the queued lines, for a bounded time.
#[must_use]
pub struct LogGuard(Option<WorkerGuard>);

impl<W: Write + Send + 'static> LogWriter<W> {
    /// Starts the log thread.
    pub(crate) fn start(out: W) -> (NonBlocking, LogGuard) {
        let writer = Self { out, reported: 0, last_report: None };
        let queue = NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).lossy(true).thread_name("log");
        let (lines, guard) = queue.finish(writer);
        // Set twice only if a second log is started, which is rejected right after this.
        let _ = QUEUE_DROPS.set(lines.error_counter());
        (lines, LogGuard(Some(guard)))
    }

    /// Logs the number of newly dropped lines. Goes through the queue: the caller has just seen that writing works.
    fn report(&mut self) {
        let dropped = dropped_lines();
        if dropped > self.reported {
            let lines = dropped - std::mem::replace(&mut self.reported, dropped);
            self.last_report = Some(Stopwatch::start());
            tracing::warn!(lines, total = dropped, "log lines were dropped: standard error was not read in time");
        }
    }
}

impl<W: Write + Send + 'static> Write for LogWriter<W> {
    /// Writes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.out.write_all(line) {
            FAILED_WRITES.fetch_add(1, Ordering::Relaxed);
            return Err(error);
        }
        if self.last_report.as_ref().is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
            self.report();
        }
        Ok(line.len())
    }

    /// Called when the queue is empty.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.report();
        Ok(())
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let guard = self.0.take();
        // On its own thread: if the queue is full the guard prints, and standard output may be blocked too.
        within(FLUSH_TIMEOUT, move || drop(guard));
    }
}
