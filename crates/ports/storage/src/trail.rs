use async_trait::async_trait;
use pos_domain::{AuditEvent, Checkpoint, EventHash, Holding, Seal, Subject};
use time::OffsetDateTime;

use crate::{KeptAuditEvent, StorageError};

/// How far below the last checkpoint's highest number a seal looks for events: a transaction that took its number early
/// and committed late is sealed with a later batch. An event without a seal below that was added out of its time.
pub const SEAL_WINDOW: u64 = 10_000;

/// Seals of the administrative trail, and all that its verification reads.
#[async_trait]
pub trait AuditTrail: Send + Sync {
    /// Seals the next events that are in no checkpoint, at most `at_most`, in the order of their numbers, as a new
    /// checkpoint in one transaction; at most one replica at a time. An event is sealed with the digest that was stored
    /// with it; one without, with its own. Waits for nobody and blocks nobody who writes events.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then nothing was sealed, or all of the batch.
    async fn seal(&self, at: OffsetDateTime, at_most: u32) -> Result<Sealed, StorageError>;

    /// Stores an event of something that changes no row beside it.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn tell(&self, event: &AuditEvent) -> Result<(), StorageError>;

    /// Checkpoints in the order of their sequences, those after `after`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a row that cannot be read is [`StorageError::Fault`].
    async fn checkpoints(&self, after: Option<u64>, limit: u32) -> Result<Vec<Checkpoint>, StorageError>;

    /// What a checkpoint holds, in the order of the events' numbers.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn seals(&self, checkpoint: u64) -> Result<Vec<KeptSeal>, StorageError>;

    /// Administrative events with their seals in the order of their numbers, those after `after`.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn audit_by_number(&self, after: u64, limit: u32) -> Result<Vec<SealedEvent>, StorageError>;

    /// Administrative events about one thing that happened at `since` or later, in the order of their numbers.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn audit_about(
        &self,
        subject: &Subject,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<KeptAuditEvent>, StorageError>;

    /// Every row that decides who owns something or who may act for whom: resellers, merchants, locations, memberships
    /// and API clients.
    ///
    /// # Errors
    /// As [`AuditTrail::checkpoints`].
    async fn holdings(&self) -> Result<Vec<Holding>, StorageError>;
}

/// What became of a seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Nothing: another replica is at it.
    Elsewhere,
    /// So many events were sealed; none: there were none.
    Done(u64),
}

/// What a checkpoint holds of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptSeal {
    /// It.
    pub seal: Seal,
    /// Whether the event is there.
    pub present: bool,
}

/// An administrative event, and its seal if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvent {
    /// The event.
    pub kept: KeptAuditEvent,
    /// The digest with which it was sealed.
    pub sealed: Option<EventHash>,
}
