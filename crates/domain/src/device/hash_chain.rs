//! Hash chain over the events of one device: each event stores a SHA-256 digest of itself and of the digest before it.
//!
//! The device stores the last digest. [`ChainVerifier`] detects events that were changed, removed, added or swapped
//! unless every later digest and the device's own were recomputed too. A chain that was recomputed in full is detected
//! only by comparison with digests that were exported earlier.

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::device::{ChainCheckpoint, Device, DeviceEvent, DeviceEventKind, DeviceStatus, SHORTEST_EVENT_RETENTION};
use crate::shared::{Actor, DeviceId, EventHash, MerchantId, UserId, digest_context, instant, maybe, text};

/// Domain separation: distinguishes these digests from other uses of SHA-256 and from a later encoding.
const DOMAIN: &[u8] = b"pos-activation device event v1";

/// First sequence and last digest of a device's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainTip {
    /// Sequence of the first event in the chain: 1, unless the device was created before chains existed.
    pub start: u64,
    /// Digest of the last event in the chain.
    pub hash: EventHash,
}

impl DeviceEvent {
    /// Returns the digest of this event (without its own `hash`) as the successor of `previous`. Without `previous` the
    /// event starts a chain.
    ///
    /// The input is a fixed text, the fields in the order of the struct, and `previous`. A text is preceded by its
    /// length, an optional value by 0 or 1, an address by 4 or 6 (0 if missing). Numbers are big-endian; the instant is
    /// in microseconds since 1970 (16 bytes). So the encoding is injective: two different events have different inputs.
    #[must_use]
    pub fn chain_hash(&self, previous: Option<EventHash>) -> EventHash {
        let mut digest = Sha256::new();
        text(&mut digest, DOMAIN);
        text(&mut digest, self.device_id.as_str().as_bytes());
        digest.update(self.sequence.to_be_bytes());
        digest.update(self.merchant_id.0.as_bytes());
        instant(&mut digest, self.at);
        digest_context(&mut digest, &self.audit_context);
        text(&mut digest, self.kind.as_str().as_bytes());
        maybe(&mut digest, previous.map(|hash| hash.0));
        EventHash(digest.finalize().into())
    }
}

/// Fault in a device's hash chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Events are missing: from this sequence up to `through`.
    #[error("events are missing from here to {through}")]
    Missing {
        /// Sequence of the last missing event.
        through: u64,
    },
    /// The event or its position differs from what was written.
    #[error("the event was changed or reordered")]
    Altered,
    /// The event has no digest although the chain had started.
    #[error("the event is not part of the chain: it was written by hand or by a server version without hash chains")]
    Unchained,
    /// The event has a digest although the chain starts later or never.
    #[error("the event has a digest but precedes the recorded start of the chain")]
    BeforeStart,
    /// The event's sequence is higher than the device's version.
    #[error("the event's sequence is higher than the device's version")]
    BeyondVersion,
    /// The event exists although the device's chain checkpoint says that it was purged.
    #[error("the event exists although it was purged")]
    Returned,
    /// The events before it were deleted, as the chain checkpoint says, but this event is too young for a purge to have
    /// passed.
    #[error("the events before it were deleted too early: a purge does not delete events this young")]
    TooEarly,
    /// The device stores another last digest.
    #[error("the chain does not end with the digest in the device's row")]
    Head,
    /// The device's row names another merchant than its last event.
    #[error("the device's row names another merchant than this event")]
    Owner,
    /// The device's row has another status than the events lead to.
    #[error("the device's row has another status than the events lead to")]
    Status,
    /// The device's row names another user than its claim event.
    #[error("the device's row names another user than its claim event")]
    ClaimedBy,
}

/// A fault and the sequence of the event where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainFinding {
    /// Sequence of the event.
    pub sequence: u64,
    /// The fault.
    pub fault: ChainFault,
}

/// Verifier of one device's hash chain, event by event.
///
/// After a fault it continues from the stored digest, so that one change is reported as one fault, not as a fault of
/// each later event.
#[derive(Debug)]
pub struct ChainVerifier {
    device_id: DeviceId,
    version: u64,
    head: Option<ChainTip>,
    next: u64,
    purged_through: u64,
    /// The first remaining event must be older than this: younger events are never purged.
    old_enough: Option<OffsetDateTime>,
    previous: Option<EventHash>,
    unchained: u64,
    faults: Vec<ChainFinding>,
    row: DeviceFacts,
    replayed: DeviceFacts,
}

/// Merchant, status and claiming user of a device, from its row or replayed from its events.
#[derive(Debug, Clone, Default)]
struct DeviceFacts {
    merchant: Option<MerchantId>,
    status: Option<DeviceStatus>,
    claimed_by: Option<UserId>,
}

impl DeviceFacts {
    fn apply(&mut self, event: &DeviceEvent) {
        self.merchant = Some(event.merchant_id);
        let (status, claimed_by) = match event.kind {
            DeviceEventKind::Provisioned | DeviceEventKind::Released => (DeviceStatus::Inactive, None),
            DeviceEventKind::Claimed => {
                let by = match &event.audit_context.actor {
                    Actor::User(user) => Some(user.clone()),
                    Actor::Terminal | Actor::Operator | Actor::IdentityProvider => None,
                };
                (DeviceStatus::Claimed, by)
            }
            DeviceEventKind::Activated => (DeviceStatus::Activated, self.claimed_by.take()),
            DeviceEventKind::Decommissioned => (DeviceStatus::Decommissioned, None),
            DeviceEventKind::PairingCodeIssued | DeviceEventKind::Updated | DeviceEventKind::Transferred => return,
        };
        (self.status, self.claimed_by) = (Some(status), claimed_by);
    }

    /// Returns the first difference between `row` and this state, which was replayed from the events.
    fn differs(&self, row: &Self) -> Option<ChainFault> {
        if self.merchant != row.merchant {
            Some(ChainFault::Owner)
        } else if self.status.is_some() && self.status != row.status {
            Some(ChainFault::Status)
        } else if self.claimed_by.is_some() && self.claimed_by != row.claimed_by {
            Some(ChainFault::ClaimedBy)
        } else {
            None
        }
    }
}

impl ChainVerifier {
    /// Returns a verifier for the events of `device`.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self {
            device_id: device.id().clone(),
            version: device.version(),
            head: device.chain(),
            next: 1,
            purged_through: 0,
            old_enough: None,
            previous: None,
            unchained: 0,
            faults: Vec::new(),
            row: DeviceFacts {
                merchant: Some(device.merchant_id()),
                status: Some(device.status()),
                claimed_by: device.record().claimed_by,
            },
            replayed: DeviceFacts::default(),
        }
    }

    /// Continues the chain from the checkpoint of a device whose oldest events were purged. At least the device's last
    /// event must exist. With `now`, the first remaining event must be so old that a purge could have passed it. This
    /// detects a writer who deletes younger events by hand and moves the checkpoint.
    #[must_use]
    pub fn after(mut self, chain_checkpoint: &ChainCheckpoint, now: Option<OffsetDateTime>) -> Self {
        self.purged_through = chain_checkpoint.through.min(self.version.saturating_sub(1));
        self.next = self.purged_through.saturating_add(1);
        self.previous = chain_checkpoint.hash;
        // One day of tolerance for clock skew.
        self.old_enough =
            now.map(|now| now.saturating_sub(SHORTEST_EVENT_RETENTION).saturating_add(time::Duration::DAY));
        self
    }

    /// Number of purged events, at most the device's version less one, whatever the chain checkpoint says.
    #[must_use]
    pub fn purged(&self) -> u64 {
        self.purged_through
    }

    /// Id of the device.
    #[must_use]
    pub fn device_id(&self) -> &DeviceId {
        &self.device_id
    }

    /// Verifies the next event, in the order of sequences.
    pub fn see(&mut self, event: &DeviceEvent) {
        let sequence = event.sequence;
        if sequence <= self.purged_through {
            self.report(sequence, ChainFault::Returned);
            return;
        }
        let gap = sequence > self.next;
        let too_young = self.old_enough.take().is_some_and(|limit| event.at >= limit);
        if gap {
            self.report(self.next, ChainFault::Missing { through: sequence - 1 });
        } else if too_young {
            self.report(sequence, ChainFault::TooEarly);
        }
        self.next = sequence.saturating_add(1);
        if sequence > self.version {
            self.report(sequence, ChainFault::BeyondVersion);
            return;
        }
        self.replayed.apply(event);
        let begun = self.head.is_some_and(|head| sequence >= head.start);
        match (event.hash, begun) {
            (None, false) => self.unchained += 1,
            (None, true) => self.report(sequence, ChainFault::Unchained),
            (Some(hash), begun) => {
                if !begun {
                    self.report(sequence, ChainFault::BeforeStart);
                } else if !gap && hash != event.chain_hash(self.previous) {
                    self.report(sequence, ChainFault::Altered);
                }
                self.previous = Some(hash);
            }
        }
    }

    /// Ends the check. Returns the number of events written before the chain started, and every fault in the order of
    /// sequences.
    #[must_use]
    pub fn finish(mut self) -> (u64, Vec<ChainFinding>) {
        if self.next <= self.version {
            self.report(self.next, ChainFault::Missing { through: self.version });
        } else if self.previous != self.head.map(|head| head.hash) {
            self.report(self.version, ChainFault::Head);
        } else if let Some(fault) = self.replayed.differs(&self.row).filter(|_| self.faults.is_empty()) {
            self.report(self.version, fault);
        }
        (self.unchained, self.faults)
    }

    fn report(&mut self, sequence: u64, fault: ChainFault) {
        self.faults.push(ChainFinding { sequence, fault });
    }
}
