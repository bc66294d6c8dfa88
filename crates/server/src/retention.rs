//! Purge job: deletes expired rows on a schedule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pos_adapters::http::{Drain, Metrics, PurgeRunEnd, RateLimiter};
use pos_application::audit::{PurgeExpired, PurgeOutcome};
use pos_port_clock::Clock;
use pos_port_clock::Stopwatch;

/// Maximum pause between two batches.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Schedule of the purge job. Between runs it waits by the monotonic clock; whether a row has expired is decided by `clock`.
pub(crate) struct PurgeSchedule {
    /// The use case.
    pub(crate) purge: PurgeExpired,
    /// Rate limiter of this server, which is evicted on every run, even if another replica purges the database.
    pub(crate) rate_limiter: Arc<RateLimiter>,
    /// Metrics of the runs.
    pub(crate) metrics: Metrics,
    /// Wall clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// Interval between two runs.
    pub(crate) every: Duration,
    /// Stops the job: at once while it waits, otherwise after the batch in progress.
    pub(crate) drain: Drain,
}

impl PurgeSchedule {
    /// Runs until the server stops.
    pub(crate) async fn run(self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = self.drain.started() => return,
            }
            let end = self.run_once().await;
            self.metrics.purge_run(end, self.clock.now());
            if self.drain.has_started() {
                return;
            }
        }
    }

    async fn run_once(&self) -> PurgeRunEnd {
        let rate_limiter = self.rate_limiter.clone();
        // A failed eviction does not stop the run.
        let _ = tokio::task::spawn_blocking(move || rate_limiter.evict_idle()).await;
        let mut run = self.purge.begin();
        let mut removed = BTreeMap::new();
        let mut end = PurgeRunEnd::Done;
        loop {
            let batch_time = Stopwatch::start();
            match run.next().await {
                None => break,
                Some(PurgeOutcome::Busy) => end = PurgeRunEnd::Busy,
                Some(PurgeOutcome::Failed { what, error }) => {
                    end = PurgeRunEnd::Failed;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(kind = what.as_str(), error, "failed to purge expired rows");
                }
                Some(PurgeOutcome::Done(step)) if step.removed > 0 => {
                    self.metrics.purged(step.what.as_str(), step.removed);
                    *removed.entry(step.what.as_str()).or_insert(0_u64) += step.removed;
                }
                Some(PurgeOutcome::Done(_)) => {}
            }
            // Pauses as long as the batch took, so that at most half of the time the database is busy with purging.
            tokio::select! {
                () = tokio::time::sleep(batch_time.elapsed().min(MAX_PAUSE)) => {}
                () = self.drain.started() => {
                    end = PurgeRunEnd::Stopped;
                    break;
                }
            }
        }
        if !removed.is_empty() {
            let rows: u64 = removed.values().sum();
            let kinds: Vec<_> = removed.iter().map(|(kind, rows)| format!("{kind}={rows}")).collect();
            tracing::info!(rows, kinds = kinds.join(" "), "purged expired rows");
        }
        end
    }
}
