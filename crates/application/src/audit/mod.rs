//! Audit trail: export, verification, checkpoints, and the purge of expired rows.

mod append_checkpoints;
mod export_audit;
mod purge_expired;
mod verify_trail;

pub use append_checkpoints::AppendCheckpoints;
pub use export_audit::{AuditEntry, AuditExport, ExportAudit};
pub use purge_expired::{PurgeExpired, PurgeOutcome, PurgeRun, PurgeStep, Retention};
pub use verify_trail::{CheckpointFault, EventFault, FaultSink, TrailFault, VerifiedTrail, VerifyTrail};
