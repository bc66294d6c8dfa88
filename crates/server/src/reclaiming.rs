//! The schedule by which a server takes back room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pos_adapters::clock::Stopwatch;
use pos_adapters::http::{Drain, Metrics, Pacing, ReclaimRoundEnd};
use pos_application::{Reclaim, ReclaimOutcome};
use pos_port_clock::Clock;

/// The longest pause between two batches.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Goes round now and then until the server stops. Between rounds it waits by the machine's time; what is over is judged
/// by the clock.
pub(crate) struct Schedule {
    /// What is done in a round.
    pub(crate) reclaim: Reclaim,
    /// Every server's own counters of calls, whoever is at the store.
    pub(crate) pacing: Arc<Pacing>,
    /// Where it is told.
    pub(crate) metrics: Metrics,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// How long it waits before each round.
    pub(crate) every: Duration,
    /// When it ends: at once while it waits, else after the batch that is under way.
    pub(crate) drain: Drain,
}

impl Schedule {
    /// Returns when the server stops.
    pub(crate) async fn run(self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = self.drain.started() => return,
            }
            let end = self.round().await;
            self.metrics.reclaim_round(end, self.clock.now());
            if self.drain.has_started() {
                return;
            }
        }
    }

    async fn round(&self) -> ReclaimRoundEnd {
        let pacing = self.pacing.clone();
        // Whether it ends or not, the round goes on.
        let _ = tokio::task::spawn_blocking(move || pacing.forget_the_quiet()).await;
        let mut round = self.reclaim.begin();
        let mut removed = BTreeMap::new();
        let mut end = ReclaimRoundEnd::Done;
        loop {
            let watch = Stopwatch::start();
            match round.next().await {
                None => break,
                Some(ReclaimOutcome::Elsewhere) => end = ReclaimRoundEnd::Elsewhere,
                Some(ReclaimOutcome::Failed { what, error }) => {
                    end = ReclaimRoundEnd::Failed;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(sort = what.as_str(), error, "rows that are over were not removed");
                }
                Some(ReclaimOutcome::Done(step)) if step.removed > 0 => {
                    self.metrics.reclaimed(step.what.as_str(), step.removed);
                    *removed.entry(step.what.as_str()).or_insert(0_u64) += step.removed;
                }
                Some(ReclaimOutcome::Done(_)) => {}
            }
            // The store is left to others for as long as a batch has kept it.
            tokio::select! {
                () = tokio::time::sleep(watch.elapsed().min(LONGEST_PAUSE)) => {}
                () = self.drain.started() => {
                    end = ReclaimRoundEnd::Stopped;
                    break;
                }
            }
        }
        if !removed.is_empty() {
            let rows: u64 = removed.values().sum();
            let sorts: Vec<_> = removed.iter().map(|(sort, rows)| format!("{sort}={rows}")).collect();
            tracing::info!(rows, sorts = sorts.join(" "), "rows that are over were removed");
        }
        end
    }
}
