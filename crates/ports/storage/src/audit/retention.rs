//! Retention port: purge of expired rows in small batches.

use async_trait::async_trait;
use time::OffsetDateTime;

use crate::device::EventPosition;
use crate::shared::StorageError;

/// Deletes expired rows in small batches.
///
/// Nothing depends on it: readers ignore or reject expired rows whether they were deleted or not. So a caller may stop
/// after any batch, or never start. A batch is one short transaction, skips rows that are locked by others (they are
/// deleted later), and runs on one replica at a time.
#[async_trait]
pub trait RetentionRepository: Send + Sync {
    /// Deletes at most [`PurgeBatch::at_most`] rows of one kind, the oldest first. A batch that deletes
    /// [`ExpiredKind::DeviceEvents`] or [`ExpiredKind::AuditEvents`] stores an `events_purged` audit event in the same
    /// transaction.
    ///
    /// Of [`ExpiredKind::AuditEvents`], permanent ones ([`pos_domain::audit::AuditKind::is_permanent`]) are retained.
    ///
    /// Of a device's events only the oldest are deleted, never one at or after [`pos_domain::device::first_needed_event`], one
    /// that a past code refers to, or the last before the cut-off. [`crate::DeviceEventLog::chain_checkpoints`] returns the chain
    /// checkpoints that replace them.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then nothing was deleted, or all of the batch.
    async fn purge(&self, batch: &PurgeBatch) -> Result<Purged, StorageError>;

    /// Returns the number of rows of a kind that are expired at `before`, counted up to `at_most`. Changes nothing.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn count_expired(&self, what: ExpiredKind, before: OffsetDateTime, at_most: u32)
    -> Result<u64, StorageError>;
}

/// Kind of rows that accumulate and expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpiredKind {
    /// Past codes, by the instant they became invalid. Without its row, a typed code is "not found".
    PastCodes,
    /// Windows of failed claims, by their start.
    ClaimFailures,
    /// Windows of wrong client secrets, by their start.
    ClientFailures,
    /// Sessions, by their expiry.
    Sessions,
    /// Logouts by the identity provider, by their expiry.
    Logouts,
    /// Revoked tokens, by their expiry.
    RevokedTokens,
    /// Stored responses of idempotent requests, by their expiry.
    Idempotency,
    /// Imports and their rows, by their expiry.
    Imports,
    /// Device events, by the instant they happened. After [`ExpiredKind::PastCodes`], which refer to them.
    DeviceEvents,
    /// Administrative audit events, by the instant they happened.
    AuditEvents,
}

impl ExpiredKind {
    /// Every kind, in the order in which they are purged.
    pub const ALL: [Self; 10] = [
        Self::PastCodes,
        Self::ClaimFailures,
        Self::ClientFailures,
        Self::Sessions,
        Self::Logouts,
        Self::RevokedTokens,
        Self::Idempotency,
        Self::Imports,
        Self::DeviceEvents,
        Self::AuditEvents,
    ];

    /// Returns its name in metrics, in the log and in command output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PastCodes => "past_codes",
            Self::ClaimFailures => "claim_failures",
            Self::ClientFailures => "client_failures",
            Self::Sessions => "sessions",
            Self::Logouts => "logouts",
            Self::RevokedTokens => "revoked_tokens",
            Self::Idempotency => "idempotency_keys",
            Self::Imports => "imports",
            Self::DeviceEvents => "device_events",
            Self::AuditEvents => "audit_events",
        }
    }
}

/// Parameters of one purge transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeBatch {
    /// Kind of the rows.
    pub what: ExpiredKind,
    /// Only rows whose instant is at or before this one.
    pub before: OffsetDateTime,
    /// Maximum number of rows.
    pub at_most: u32,
    /// For [`ExpiredKind::DeviceEvents`]: where the previous batch ended; events up to there are not examined again.
    pub after: Option<EventPosition>,
    /// Current instant, for the audit event.
    pub now: OffsetDateTime,
}

/// Outcome of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purged {
    /// Nothing was deleted: another replica is running a batch.
    Busy,
    /// The batch was run.
    Done(PurgedBatch),
}

/// Result of a batch that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedBatch {
    /// Number of deleted rows.
    pub removed: u64,
    /// Whether another batch may find more rows.
    pub more: bool,
    /// For [`ExpiredKind::DeviceEvents`]: where the next batch must continue.
    pub through: Option<EventPosition>,
}
