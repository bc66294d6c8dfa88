//! Hash chain of checkpoints over the administrative audit trail.
//!
//! ```text
//!   audit_events    12   13   14 │ 15   16 │ 17      each has a digest of its own
//!   checkpoints          1 ──────▶ 2                 each hash is of its events' digests and of the hash before it
//! ```
//!
//! Events are sealed after their commit, in batches: one chain over the events themselves would make every transaction
//! that writes one wait for the transaction before it.

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::chain::{digest_act, instant, maybe, text};
use crate::{AuditEvent, EventHash, Subject};

const EVENT_DOMAIN: &[u8] = b"pos-activation audit event v1";
const CHECKPOINT_DOMAIN: &[u8] = b"pos-activation audit checkpoint v1";

impl AuditEvent {
    /// SHA-256 of a fixed text and of its fields in the order of the struct, encoded as in
    /// [`DeviceEvent::link`](crate::DeviceEvent::link). The number is not part of it: the store assigns it later.
    #[must_use]
    pub fn digest(&self) -> EventHash {
        let mut digest = Sha256::new();
        text(&mut digest, EVENT_DOMAIN);
        instant(&mut digest, self.at);
        digest_act(&mut digest, &self.act);
        maybe(&mut digest, self.merchant_id.map(|merchant| merchant.0.into_bytes()));
        text(&mut digest, self.kind.as_str().as_bytes());
        text(&mut digest, self.subject.as_ref().map(Subject::to_string).unwrap_or_default().as_bytes());
        digest.update((self.detail.len() as u64).to_be_bytes());
        for (name, value) in &self.detail {
            text(&mut digest, name.as_bytes());
            text(&mut digest, value.as_bytes());
        }
        EventHash(digest.finalize().into())
    }
}

/// What a checkpoint holds of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// The event's number.
    pub number: u64,
    /// When it happened.
    pub at: OffsetDateTime,
    /// Its digest.
    pub hash: EventHash,
}

/// A batch of events that is sealed, and all batches before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// 0, 1, 2 … without a gap. Checkpoint 0 has no events: [`Checkpoint::through`] is the last event that was written
    /// before there were checkpoints.
    pub sequence: u64,
    /// The highest number among its events and those before.
    pub through: u64,
    /// How many events it has.
    pub events: u64,
    /// When they were sealed.
    pub at: OffsetDateTime,
    /// SHA-256 of its fields, its seals and the checkpoint before it.
    pub hash: EventHash,
}

impl Checkpoint {
    /// The first checkpoint, of a store whose events up to `through` have no digests.
    #[must_use]
    pub fn first(through: u64, at: OffsetDateTime) -> Self {
        Self { sequence: 0, through, events: 0, at, hash: EventHash([0; 32]) }
    }

    /// The highest number that is sealed so far; 0 if none is.
    #[must_use]
    pub fn sealed_through(&self) -> u64 {
        if self.sequence == 0 { 0 } else { self.through }
    }

    /// The next checkpoint, of these events in the order of their numbers.
    #[must_use]
    pub fn next(&self, seals: &[Seal], at: OffsetDateTime) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let mut digest = Sha256::new();
        text(&mut digest, CHECKPOINT_DOMAIN);
        digest.update(sequence.to_be_bytes());
        instant(&mut digest, at);
        digest.update(self.through.to_be_bytes());
        digest.update(self.hash.0);
        digest.update((seals.len() as u64).to_be_bytes());
        for seal in seals {
            digest.update(seal.number.to_be_bytes());
            instant(&mut digest, seal.at);
            digest.update(seal.hash.0);
        }
        let through = seals.iter().map(|seal| seal.number).fold(self.sealed_through(), u64::max);
        Self { sequence, through, events: seals.len() as u64, at, hash: EventHash(digest.finalize().into()) }
    }
}
