//! Device events: the audit trail of one device.

use crate::shared::UnknownEvent;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::shared::{AuditContext, DeviceId, EventHash, MerchantId};

/// Kind of a device event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceEventKind {
    /// The device was provisioned for a merchant.
    Provisioned,
    /// The terminal got a new pairing code, which supersedes the one before.
    PairingCodeIssued,
    /// A merchant claimed the device with the code.
    Claimed,
    /// The terminal reported that it is ready for payments.
    Activated,
    /// The device went back to inactive.
    Released,
    /// The device's details were updated.
    Updated,
    /// The device was transferred to the merchant that the event names.
    Transferred,
    /// The device was decommissioned.
    Decommissioned,
}

/// One event of one device. Never contains a code, a token or a key.
///
/// `sequence` is the device's version after the change, so the events of a device are numbered from 1 without a gap. A
/// store with a unique `(device_id, sequence)` cannot store two changes of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvent {
    /// Id of the device.
    pub device_id: DeviceId,
    /// The device's version after the change.
    pub sequence: u64,
    /// The merchant the device belonged to after the change.
    pub merchant_id: MerchantId,
    /// When it happened, by the server's clock.
    pub at: OffsetDateTime,
    /// Actor, client address and trace id.
    pub audit_context: AuditContext,
    /// Kind of the event.
    pub kind: DeviceEventKind,
    /// Its digest in the device's hash chain ([`DeviceEvent::chain_hash`]); none on an event written before chains
    /// existed, or by a server version without them.
    pub hash: Option<EventHash>,
}

impl DeviceEventKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Provisioned,
        Self::PairingCodeIssued,
        Self::Claimed,
        Self::Activated,
        Self::Released,
        Self::Updated,
        Self::Transferred,
        Self::Decommissioned,
    ];

    /// Returns whether the event changes the device's status or invalidates its code, so that waiting terminals are
    /// notified.
    #[must_use]
    pub fn changes_status(self) -> bool {
        match self {
            Self::Claimed | Self::Activated | Self::Released | Self::Transferred | Self::Decommissioned => true,
            Self::Provisioned | Self::PairingCodeIssued | Self::Updated => false,
        }
    }

    /// Returns the stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::PairingCodeIssued => "pairing_code_issued",
            Self::Claimed => "claimed",
            Self::Activated => "activated",
            Self::Released => "released",
            Self::Updated => "updated",
            Self::Transferred => "transferred",
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
