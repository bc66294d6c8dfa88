use std::sync::Arc;

use pos_port_clock::Clock;
use pos_port_storage::{AuditTrail, Sealed, StorageError};

/// How many events one checkpoint has at most.
const BATCH: u32 = 500;

/// Seals administrative events into checkpoints, after their commit. Any number of replicas may do it.
pub struct SealAudit {
    trail: Arc<dyn AuditTrail>,
    clock: Arc<dyn Clock>,
}

impl SealAudit {
    /// Seals what `trail` holds.
    #[must_use]
    pub fn new(trail: Arc<dyn AuditTrail>, clock: Arc<dyn Clock>) -> Self {
        Self { trail, clock }
    }

    /// Seals every event that can be sealed now, and returns how many.
    ///
    /// # Errors
    /// [`StorageError`]; what was sealed stays sealed.
    pub async fn run(&self) -> Result<u64, StorageError> {
        let mut events = 0_u64;
        loop {
            match self.trail.seal(self.clock.now(), BATCH).await? {
                Sealed::Done(sealed) => {
                    events = events.saturating_add(sealed);
                    if sealed < u64::from(BATCH) {
                        return Ok(events);
                    }
                }
                Sealed::Elsewhere => return Ok(events),
            }
        }
    }
}
