//! The chain of one device's events: each holds a digest of itself and of the one before, the device holds the last.
//!
//! Whoever changes, removes, adds or swaps events without redoing every digest from there on, and the device's own,
//! is found by [`ChainCheck`]. Whoever redoes them all is found only by comparing with digests that were exported
//! before.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use time::OffsetDateTime;

use crate::{
    Act, Actor, Device, DeviceEvent, DeviceEventKind, DeviceId, DeviceStatus, EventAnchor, MerchantId,
    SHORTEST_EVENT_RETENTION, UserId,
};

/// Keeps these digests apart from any other use of SHA-256, and from a later encoding.
const DOMAIN: &[u8] = b"pos-activation device event v1";

/// A SHA-256 digest of one event and of all before it in the chain. `Display` is 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventHash(pub [u8; 32]);

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where a device's chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// The sequence of the first event in the chain: 1, unless the device is older than chains are.
    pub start: u64,
    /// The digest of the last event in it.
    pub hash: EventHash,
}

impl DeviceEvent {
    /// The digest of this event (its own `hash` aside) as the one after `previous`; without one it starts a chain.
    ///
    /// What is digested: a fixed text, then the fields in the order of the struct, and `previous`. Texts are preceded
    /// by their length, what may be missing by 0 or 1, an address by 4 or 6 (0 if missing); numbers are big-endian, the
    /// instant is in microseconds since 1970 (16 bytes). So no two events have one encoding.
    #[must_use]
    pub fn link(&self, previous: Option<EventHash>) -> EventHash {
        let mut digest = Sha256::new();
        text(&mut digest, DOMAIN);
        text(&mut digest, self.device_id.as_str().as_bytes());
        digest.update(self.sequence.to_be_bytes());
        digest.update(self.merchant_id.0.as_bytes());
        instant(&mut digest, self.at);
        digest_act(&mut digest, &self.act);
        text(&mut digest, self.kind.as_str().as_bytes());
        maybe(&mut digest, previous.map(|hash| hash.0));
        EventHash(digest.finalize().into())
    }
}

/// Microseconds since 1970.
pub(crate) fn instant(digest: &mut Sha256, at: OffsetDateTime) {
    digest.update((at.unix_timestamp_nanos().div_euclid(1_000)).to_be_bytes());
}

pub(crate) fn digest_act(digest: &mut Sha256, act: &Act) {
    text(digest, act.actor.to_string().as_bytes());
    match act.origin {
        None => digest.update([0]),
        Some(IpAddr::V4(address)) => digest.update([&[4][..], &address.octets()].concat()),
        Some(IpAddr::V6(address)) => digest.update([&[6][..], &address.octets()].concat()),
    }
    maybe(digest, act.trace_id.map(|id| id.bits().to_be_bytes()));
}

pub(crate) fn text(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

pub(crate) fn maybe<const N: usize>(digest: &mut Sha256, bytes: Option<[u8; N]>) {
    match bytes {
        None => digest.update([0]),
        Some(bytes) => {
            digest.update([1]);
            digest.update(bytes);
        }
    }
}

/// What is wrong with one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Events are gone: from this sequence on, up to the next that is there.
    #[error("events are missing from here to {through}")]
    Missing {
        /// The last that is missing.
        through: u64,
    },
    /// The event, or its place, is not what it was when it was written.
    #[error("the event was changed, or is not in its place")]
    Altered,
    /// The event has no digest though the chain had begun.
    #[error("the event is not part of the chain: a hand at the database, or a server older than chains, wrote it")]
    Unsealed,
    /// The event has a digest though the chain begins later, or never.
    #[error("the event comes before the chain's recorded start, and must have no digest")]
    BeforeStart,
    /// The event comes after the device's last change.
    #[error("the device knows of no such change")]
    BeyondVersion,
    /// The event is there though the device's anchor says that it was reclaimed.
    #[error("the event was reclaimed, and is there again")]
    Returned,
    /// Events before it are gone, as the anchor says, but it is too young for that.
    #[error("the events before it are gone too early: no reclaiming takes them")]
    TooEarly,
    /// The device's own record of the last digest is another.
    #[error("the chain does not end as the device says")]
    Head,
    /// The device's row names another merchant than its last event.
    #[error("the device's row names another merchant than this event")]
    Owner,
    /// The device's row has another status than the events lead to.
    #[error("the device's row has another status than the events lead to")]
    Status,
    /// The device's row names another user than the one who claimed it.
    #[error("the device's row says that somebody else claimed it")]
    ClaimedBy,
}

/// A fault and the sequence of the event it was found at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLink {
    /// Which event of the device.
    pub sequence: u64,
    /// What is wrong.
    pub fault: ChainFault,
}

/// Follows one device's chain, event by event.
///
/// After a fault it goes on from the digest that is stored, so that one change is one fault, not a fault for each event
/// after it.
#[derive(Debug)]
pub struct ChainCheck {
    device_id: DeviceId,
    version: u64,
    head: Option<ChainHead>,
    next: u64,
    reclaimed: u64,
    /// Only what happened before this may follow on what was reclaimed.
    old_enough: Option<OffsetDateTime>,
    previous: Option<EventHash>,
    unsealed: u64,
    faults: Vec<ChainLink>,
    /// What the device's row says.
    row: Standing,
    /// What the events lead to.
    told: Standing,
}

/// Whose a device is and what became of it, as far as it is known.
#[derive(Debug, Clone, Default)]
struct Standing {
    merchant: Option<MerchantId>,
    status: Option<DeviceStatus>,
    claimed_by: Option<UserId>,
}

impl Standing {
    fn see(&mut self, event: &DeviceEvent) {
        self.merchant = Some(event.merchant_id);
        let (status, claimed_by) = match event.kind {
            DeviceEventKind::Provisioned | DeviceEventKind::Released => (DeviceStatus::Inactive, None),
            DeviceEventKind::Claimed => {
                let by = match &event.act.actor {
                    Actor::User(user) => Some(user.clone()),
                    Actor::Terminal | Actor::Operator | Actor::IdentityProvider => None,
                };
                (DeviceStatus::Claimed, by)
            }
            DeviceEventKind::Activated => (DeviceStatus::Activated, self.claimed_by.take()),
            DeviceEventKind::Decommissioned => (DeviceStatus::Decommissioned, None),
            DeviceEventKind::PairingCodeIssued | DeviceEventKind::Amended | DeviceEventKind::Moved => return,
        };
        (self.status, self.claimed_by) = (Some(status), claimed_by);
    }

    /// How a row differs from the events that lead here.
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

impl ChainCheck {
    /// A check of the events of `device`.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self {
            device_id: device.id().clone(),
            version: device.version(),
            head: device.chain(),
            next: 1,
            reclaimed: 0,
            old_enough: None,
            previous: None,
            unsealed: 0,
            faults: Vec::new(),
            row: Standing {
                merchant: Some(device.merchant_id()),
                status: Some(device.status()),
                claimed_by: device.record().claimed_by,
            },
            told: Standing::default(),
        }
    }

    /// The same, for a device whose oldest events were reclaimed: the chain goes on from the anchor. At least the
    /// device's last event must be there. With `now`, the first that is there must be so old that a reclaiming could
    /// have passed it: who removes younger events by hand and moves the anchor is found.
    #[must_use]
    pub fn after(mut self, anchor: &EventAnchor, now: Option<OffsetDateTime>) -> Self {
        self.reclaimed = anchor.through.min(self.version.saturating_sub(1));
        self.next = self.reclaimed.saturating_add(1);
        self.previous = anchor.hash;
        // A day for clocks that differ.
        self.old_enough =
            now.map(|now| now.saturating_sub(SHORTEST_EVENT_RETENTION).saturating_add(time::Duration::DAY));
        self
    }

    /// How many events were reclaimed, as far as the device's anchor can be right.
    #[must_use]
    pub fn reclaimed(&self) -> u64 {
        self.reclaimed
    }

    /// Which device.
    #[must_use]
    pub fn device_id(&self) -> &DeviceId {
        &self.device_id
    }

    /// Looks at the next event in the order of sequences.
    pub fn see(&mut self, event: &DeviceEvent) {
        let sequence = event.sequence;
        if sequence <= self.reclaimed {
            self.found(sequence, ChainFault::Returned);
            return;
        }
        let gap = sequence > self.next;
        let too_young = self.old_enough.take().is_some_and(|limit| event.at >= limit);
        if gap {
            self.found(self.next, ChainFault::Missing { through: sequence - 1 });
        } else if too_young {
            self.found(sequence, ChainFault::TooEarly);
        }
        self.next = sequence.saturating_add(1);
        if sequence > self.version {
            self.found(sequence, ChainFault::BeyondVersion);
            return;
        }
        self.told.see(event);
        let begun = self.head.is_some_and(|head| sequence >= head.start);
        match (event.hash, begun) {
            (None, false) => self.unsealed += 1,
            (None, true) => self.found(sequence, ChainFault::Unsealed),
            (Some(hash), begun) => {
                if !begun {
                    self.found(sequence, ChainFault::BeforeStart);
                } else if !gap && hash != event.link(self.previous) {
                    self.found(sequence, ChainFault::Altered);
                }
                self.previous = Some(hash);
            }
        }
    }

    /// Ends the check: how many events were written before the chain began, and every fault in the order of sequences.
    #[must_use]
    pub fn finish(mut self) -> (u64, Vec<ChainLink>) {
        if self.next <= self.version {
            self.found(self.next, ChainFault::Missing { through: self.version });
        } else if self.previous != self.head.map(|head| head.hash) {
            self.found(self.version, ChainFault::Head);
        } else if let Some(fault) = self.told.differs(&self.row).filter(|_| self.faults.is_empty()) {
            self.found(self.version, fault);
        }
        (self.unsealed, self.faults)
    }

    fn found(&mut self, sequence: u64, fault: ChainFault) {
        self.faults.push(ChainLink { sequence, fault });
    }
}
