//! Checkpoint job: appends checkpoints over new administrative audit events on a schedule.

use std::time::Duration;

use pos_adapters::http::Drain;
use pos_application::audit::AppendCheckpoints;

/// Interval between two runs, and about how long an event has no checkpoint. A run without new events is one look-up by key.
const INTERVAL: Duration = Duration::from_secs(10);

/// Schedule of the checkpoint job.
pub(crate) struct CheckpointSchedule {
    pub(crate) append_checkpoints: AppendCheckpoints,
    pub(crate) drain: Drain,
}

impl CheckpointSchedule {
    /// Runs until the server stops, and once more then.
    pub(crate) async fn run(self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.drain.started() => return self.run_once().await,
            }
            self.run_once().await;
        }
    }

    async fn run_once(&self) {
        match self.append_checkpoints.run().await {
            Ok(0) => {}
            Ok(events) => tracing::debug!(events, "appended audit checkpoints"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "failed to append audit checkpoints; the next run retries");
            }
        }
    }
}
