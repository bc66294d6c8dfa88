//! Audit trail: its events and checkpoints, and the purge of expired rows.

mod events;
mod retention;
mod trail;

pub use events::{AuditPosition, StoredAuditEvent};
pub use retention::{ExpiredKind, PurgeBatch, Purged, PurgedBatch, RetentionRepository};
pub use trail::{AuditTrail, CHECKPOINT_WINDOW, CheckpointOutcome, CheckpointedEvent, StoredEntry};
