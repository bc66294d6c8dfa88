//! Administrative audit events, their checkpoints, and the rows that they explain.

mod audited_row;
mod checkpoint;
mod event;
mod purge;

pub use audited_row::{AuditedRow, AuditedRowKey, ExpectedRows, Facts, RowMismatch, reseller_text};
pub use checkpoint::{Checkpoint, CheckpointEntry};
pub use event::{AuditEvent, AuditKind, Subject};
pub use purge::events_purged;
