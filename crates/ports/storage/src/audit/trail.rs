//! Audit trail port: checkpoints over administrative events, and the reads of their verification.

use async_trait::async_trait;
use pos_domain::audit::{AuditEvent, AuditedRow, Checkpoint, CheckpointEntry, Subject};
use pos_domain::shared::EventHash;
use time::OffsetDateTime;

use crate::audit::{AuditPosition, StoredAuditEvent};
use crate::shared::{StorageError, TimeRange};

/// How far below the last checkpoint's highest number new checkpoints look for events: a transaction that took its
/// number early and committed late is covered by a later batch. An uncovered event below that window was inserted
/// afterwards.
pub const CHECKPOINT_WINDOW: u64 = 10_000;

/// Checkpoints of the administrative audit trail, and all reads of its verification.
#[async_trait]
pub trait AuditTrail: Send + Sync {
    /// Appends a checkpoint of the next uncovered events, at most `at_most`, in the order of their numbers, in one
    /// transaction; at most one replica at a time. An entry has the digest that was stored with the event; an event
    /// without one gets its computed digest. It neither waits for writers of events nor blocks them.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then no event was covered, or all of the batch.
    async fn append_checkpoint(&self, at: OffsetDateTime, at_most: u32) -> Result<CheckpointOutcome, StorageError>;

    /// Stores an event without any other change.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn record(&self, event: &AuditEvent) -> Result<(), StorageError>;

    /// Returns checkpoints in the order of their sequences, after `after`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a row that cannot be read is [`StorageError::Fault`].
    async fn checkpoints(&self, after: Option<u64>, limit: u32) -> Result<Vec<Checkpoint>, StorageError>;

    /// Returns the entries of a checkpoint, in the order of the events' numbers.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn entries(&self, checkpoint: u64) -> Result<Vec<StoredEntry>, StorageError>;

    /// Returns administrative events with their checkpoint digests in the order of their numbers, after `after`.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn audit_by_number(&self, after: u64, limit: u32) -> Result<Vec<CheckpointedEvent>, StorageError>;

    /// Returns administrative audit events within `span` in the order of their [`AuditPosition`]s, after `after`.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn audit_by_time(
        &self,
        span: &TimeRange,
        after: Option<AuditPosition>,
    ) -> Result<Vec<StoredAuditEvent>, StorageError>;

    /// Returns the administrative events of one subject that happened at or after `since`, in the order of their
    /// numbers.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn audit_about(
        &self,
        subject: &Subject,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<StoredAuditEvent>, StorageError>;

    /// Returns every row that decides who owns something or who may act for whom: resellers, merchants, locations,
    /// memberships and API clients.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn audited_rows(&self) -> Result<Vec<AuditedRow>, StorageError>;
}

/// Outcome of an attempt to append a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointOutcome {
    /// Nothing was appended: another replica is appending.
    Busy,
    /// Number of covered events; 0 if there were none.
    Appended(u64),
}

/// Stored checkpoint entry of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEntry {
    /// The entry.
    pub entry: CheckpointEntry,
    /// Whether the event still exists.
    pub present: bool,
}

/// An administrative event, and its digest in a checkpoint if it is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointedEvent {
    /// The event.
    pub stored: StoredAuditEvent,
    /// Digest in the checkpoint entry.
    pub checkpoint_hash: Option<EventHash>,
}
