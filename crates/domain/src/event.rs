//! What happened to a device: the audit trail.

use std::str::FromStr;

use time::OffsetDateTime;

use crate::{Act, DeviceId, EventHash, MerchantId};

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceEventKind {
    /// The device was made known to the system, for a merchant.
    Provisioned,
    /// The terminal got a new pairing code; an earlier one is retired by it.
    PairingCodeIssued,
    /// A merchant typed the code.
    Claimed,
    /// The terminal reported that it is ready for payments.
    Activated,
    /// The device went back to inactive.
    Released,
    /// What is kept of the device beside its state was changed.
    Amended,
    /// The device went to another merchant, the one that the event names.
    Moved,
    /// The device was taken out of use.
    Decommissioned,
}

/// One thing that happened to one device. Never carries a code, a token or a key.
///
/// `sequence` is the device's version after the change, so the events of a device are numbered from 1 without a gap,
/// and a store that keeps `(device_id, sequence)` unique cannot keep two changes of one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvent {
    /// Which device.
    pub device_id: DeviceId,
    /// The device's version after the change.
    pub sequence: u64,
    /// The merchant the device belonged to after the change.
    pub merchant_id: MerchantId,
    /// When, by the server's clock.
    pub at: OffsetDateTime,
    /// Who, and from where.
    pub act: Act,
    /// What.
    pub kind: DeviceEventKind,
    /// Its link in the device's chain ([`DeviceEvent::link`]); none on an event that was written before there were
    /// chains, or by a server of that age.
    pub hash: Option<EventHash>,
}

/// A word that names no actor or no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event word {0:?}")]
pub struct UnknownEvent(pub String);

impl DeviceEventKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Provisioned,
        Self::PairingCodeIssued,
        Self::Claimed,
        Self::Activated,
        Self::Released,
        Self::Amended,
        Self::Moved,
        Self::Decommissioned,
    ];

    /// Whether a device has another status after it, or another code: what a terminal that waits is told of.
    #[must_use]
    pub fn changes_status(self) -> bool {
        match self {
            Self::Claimed | Self::Activated | Self::Released | Self::Moved | Self::Decommissioned => true,
            Self::Provisioned | Self::PairingCodeIssued | Self::Amended => false,
        }
    }

    /// The word a store keeps.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::PairingCodeIssued => "pairing_code_issued",
            Self::Claimed => "claimed",
            Self::Activated => "activated",
            Self::Released => "released",
            Self::Amended => "amended",
            Self::Moved => "moved",
            Self::Decommissioned => "decommissioned",
        }
    }
}

impl FromStr for DeviceEventKind {
    type Err = UnknownEvent;

    fn from_str(word: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownEvent(word.to_owned()))
    }
}
