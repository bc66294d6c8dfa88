//! Use case: checkpoints over administrative audit events.

use std::sync::Arc;

use pos_port_clock::Clock;
use pos_port_storage::audit::{AuditTrail, CheckpointOutcome};
use pos_port_storage::shared::StorageError;

/// Maximum events per checkpoint.
const BATCH: u32 = 500;

/// Appends checkpoints over committed administrative events. Any number of replicas may run it.
pub struct AppendCheckpoints {
    trail: Arc<dyn AuditTrail>,
    clock: Arc<dyn Clock>,
}

impl AppendCheckpoints {
    /// Creates the use case on `trail`.
    #[must_use]
    pub(crate) fn new(trail: Arc<dyn AuditTrail>, clock: Arc<dyn Clock>) -> Self {
        Self { trail, clock }
    }

    /// Appends checkpoints over all events that can be covered now, and returns the number of events.
    ///
    /// # Errors
    /// [`StorageError`]; checkpoints that were appended stay.
    pub async fn run(&self) -> Result<u64, StorageError> {
        let mut events = 0_u64;
        loop {
            match self.trail.append_checkpoint(self.clock.now(), BATCH).await? {
                CheckpointOutcome::Appended(covered) => {
                    events = events.saturating_add(covered);
                    if covered < u64::from(BATCH) {
                        return Ok(events);
                    }
                }
                CheckpointOutcome::Busy => return Ok(events),
            }
        }
    }
}
