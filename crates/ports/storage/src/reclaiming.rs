use async_trait::async_trait;
use time::OffsetDateTime;

use crate::{EventMark, StorageError};

/// Takes back the room of what nobody needs any more, in small batches.
///
/// Nothing depends on it: what is over is refused or ignored by whoever looks at it, whether its row is there or not.
/// So a caller may stop after any batch, or never begin. A batch is one short transaction, waits for no row that
/// somebody else is at (it goes when it is free), and runs on one replica at a time.
#[async_trait]
pub trait Reclaiming: Send + Sync {
    /// Removes at most [`ReclaimBatch::at_most`] rows of one sort, the oldest first. Rows of [`Reclaimable::DeviceEvents`]
    /// and [`Reclaimable::AuditEvents`] that go leave an `events_reclaimed` on record in the same transaction.
    ///
    /// Of [`Reclaimable::AuditEvents`] those that tell who owns something or who may act for whom
    /// ([`pos_domain::AuditKind::is_kept_for_ever`]) stay.
    ///
    /// Of a device's events only the oldest go, never one at or after [`pos_domain::first_needed_event`], one that an
    /// ended code stands on, or the last before the cut-off; [`crate::EventLog::anchors`] tells of them from then on.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then nothing was removed, or all of the batch.
    async fn reclaim(&self, batch: &ReclaimBatch) -> Result<Reclaimed, StorageError>;

    /// How many rows of a sort are over at `before`, counted up to `at_most`. Changes nothing.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn reclaimable(&self, what: Reclaimable, before: OffsetDateTime, at_most: u32) -> Result<u64, StorageError>;
}

/// A sort of rows that grow in number and are over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reclaimable {
    /// Codes that left their terminals, by the instant they did. Without its row, a code that is typed is "not found".
    EndedCodes,
    /// Windows of failed claims, by the instant they began.
    ClaimFailures,
    /// Windows of wrong client secrets, by the instant they began.
    ClientFailures,
    /// Sessions, by the instant they are over by themselves.
    Sessions,
    /// Logouts by the identity provider, by the instant to which they are kept.
    Logouts,
    /// Tokens whose session was ended, by the instant to which they are kept.
    EndedTokens,
    /// Answers to creating calls, by the instant to which they are kept.
    Answers,
    /// Imports and their rows, by the instant to which they are kept.
    Imports,
    /// Events of devices, by the instant they happened. After [`Reclaimable::EndedCodes`], which stand on them.
    DeviceEvents,
    /// What else is on record, by the instant it happened.
    AuditEvents,
}

impl Reclaimable {
    /// Every sort, in the order in which they are reclaimed.
    pub const ALL: [Self; 10] = [
        Self::EndedCodes,
        Self::ClaimFailures,
        Self::ClientFailures,
        Self::Sessions,
        Self::Logouts,
        Self::EndedTokens,
        Self::Answers,
        Self::Imports,
        Self::DeviceEvents,
        Self::AuditEvents,
    ];

    /// Its name in metrics, in the log and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndedCodes => "ended_codes",
            Self::ClaimFailures => "claim_failures",
            Self::ClientFailures => "client_failures",
            Self::Sessions => "sessions",
            Self::Logouts => "logouts",
            Self::EndedTokens => "ended_tokens",
            Self::Answers => "answers",
            Self::Imports => "imports",
            Self::DeviceEvents => "device_events",
            Self::AuditEvents => "audit_events",
        }
    }
}

/// What one transaction is to take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReclaimBatch {
    /// Which sort.
    pub what: Reclaimable,
    /// Only rows whose instant is this one or earlier.
    pub before: OffsetDateTime,
    /// At most so many rows.
    pub at_most: u32,
    /// For [`Reclaimable::DeviceEvents`]: where the batch before ended; events up to there are not looked at again.
    pub after: Option<EventMark>,
    /// The present instant, for what goes on record.
    pub now: OffsetDateTime,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reclaimed {
    /// Nothing: another replica is in a batch.
    Elsewhere,
    /// It was done.
    Done(ReclaimedBatch),
}

/// A batch that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReclaimedBatch {
    /// How many rows went.
    pub removed: u64,
    /// Whether another batch may find more.
    pub more: bool,
    /// For [`Reclaimable::DeviceEvents`]: where the next batch is to go on.
    pub through: Option<EventMark>,
}
