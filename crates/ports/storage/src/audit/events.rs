//! Administrative audit events as the store holds them.

use pos_domain::audit::{AuditEvent, CheckpointEntry};
use pos_domain::shared::EventHash;
use time::OffsetDateTime;

/// Position of an administrative audit event in time. Totally ordered and unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditPosition {
    /// When it happened.
    pub at: OffsetDateTime,
    /// Orders events of the same instant.
    pub number: u64,
}

/// An administrative audit event with the number assigned by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAuditEvent {
    /// Increases with each event; gaps have no meaning.
    pub number: u64,
    /// The event.
    pub event: AuditEvent,
    /// Digest stored with it ([`AuditEvent::digest`]); none if an earlier server version wrote it.
    pub hash: Option<EventHash>,
}

impl StoredAuditEvent {
    /// Returns the event's checkpoint entry.
    #[must_use]
    pub fn entry(&self) -> CheckpointEntry {
        CheckpointEntry {
            number: self.number,
            at: self.event.at,
            hash: self.hash.unwrap_or_else(|| self.event.digest()),
        }
    }
}
