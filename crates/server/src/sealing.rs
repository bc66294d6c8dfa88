//! The schedule by which a server seals administrative events.

use std::time::Duration;

use pos_adapters::http::Drain;
use pos_application::SealAudit;

/// How long an event stays unsealed, about. A round without new events is one look-up by key.
const EVERY: Duration = Duration::from_secs(10);

/// Seals now and then until the server stops.
pub(crate) struct Sealing {
    pub(crate) seal: SealAudit,
    pub(crate) drain: Drain,
}

impl Sealing {
    /// Returns when the server stops, after a last round.
    pub(crate) async fn run(self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.drain.started() => return self.round().await,
            }
            self.round().await;
        }
    }

    async fn round(&self) {
        match self.seal.run().await {
            Ok(0) => {}
            Ok(events) => tracing::debug!(events, "audit events sealed"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "audit events were not sealed; the next round tries again");
            }
        }
    }
}
