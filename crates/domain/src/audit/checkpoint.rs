//! Hash chain of checkpoints over the administrative audit trail.
//!
//! ```text
//!   audit_events    12   13   14 │ 15   16 │ 17      each event has a digest
//!   checkpoints          1 ──────▶ 2                 each hash covers its events and the hash before it
//! ```
//!
//! Events are added to a checkpoint in batches after their commit. A chain over the events themselves would serialize
//! all transactions that write one.

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::audit::{AuditEvent, Subject};
use crate::shared::EventHash;
use crate::shared::{digest_context, instant, maybe, text};

const EVENT_DOMAIN: &[u8] = b"pos-activation audit event v1";
const CHECKPOINT_DOMAIN: &[u8] = b"pos-activation audit checkpoint v1";

impl AuditEvent {
    /// Returns the SHA-256 of a fixed text and of the fields in the order of the struct, encoded as in
    /// [`DeviceEvent::chain_hash`](crate::device::DeviceEvent::chain_hash). The number is not included: the store assigns it
    /// later.
    #[must_use]
    pub fn digest(&self) -> EventHash {
        let mut digest = Sha256::new();
        text(&mut digest, EVENT_DOMAIN);
        instant(&mut digest, self.at);
        digest_context(&mut digest, &self.audit_context);
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

/// Entry of a checkpoint for one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointEntry {
    /// The event's number.
    pub number: u64,
    /// When it happened.
    pub at: OffsetDateTime,
    /// Its digest.
    pub hash: EventHash,
}

/// Checkpoint of one batch of events, chained to the checkpoint before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// 0, 1, 2 … without a gap. Checkpoint 0 has no events: its [`Checkpoint::through`] is the last event written
    /// before checkpoints existed.
    pub sequence: u64,
    /// Highest event number in it and in all checkpoints before it.
    pub through: u64,
    /// Number of its events.
    pub events: u64,
    /// When it was created.
    pub at: OffsetDateTime,
    /// SHA-256 of its fields, its entries and the checkpoint before it.
    pub hash: EventHash,
}

impl Checkpoint {
    /// Returns checkpoint 0 of a store whose events up to `through` have no digests.
    #[must_use]
    pub fn first(through: u64, at: OffsetDateTime) -> Self {
        Self { sequence: 0, through, events: 0, at, hash: EventHash([0; 32]) }
    }

    /// Returns the highest event number covered by a checkpoint; 0 if there is none.
    #[must_use]
    pub fn covered_through(&self) -> u64 {
        if self.sequence == 0 { 0 } else { self.through }
    }

    /// Returns the next checkpoint, with these entries in the order of their numbers.
    #[must_use]
    pub fn next(&self, entries: &[CheckpointEntry], at: OffsetDateTime) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let mut digest = Sha256::new();
        text(&mut digest, CHECKPOINT_DOMAIN);
        digest.update(sequence.to_be_bytes());
        instant(&mut digest, at);
        digest.update(self.through.to_be_bytes());
        digest.update(self.hash.0);
        digest.update((entries.len() as u64).to_be_bytes());
        for entry in entries {
            digest.update(entry.number.to_be_bytes());
            instant(&mut digest, entry.at);
            digest.update(entry.hash.0);
        }
        let through = entries.iter().map(|entry| entry.number).fold(self.covered_through(), u64::max);
        Self { sequence, through, events: entries.len() as u64, at, hash: EventHash(digest.finalize().into()) }
    }
}
