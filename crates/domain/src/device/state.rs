//! Device states, each with the data that only it has.

use time::OffsetDateTime;

use crate::device::PairingCode;
use crate::shared::UserId;

/// State of a device, with the data specific to the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceState {
    /// Not claimed; may have a code.
    Inactive {
        /// Current code, if one was issued since the device was provisioned, released or transferred.
        code: Option<IssuedCode>,
    },
    /// A merchant claimed the device; keys and configuration are not installed yet.
    Claimed(Claim),
    /// Ready for payments.
    Activated {
        /// The claim before the activation.
        claim: Claim,
        /// When the terminal was activated.
        at: OffsetDateTime,
    },
    /// Permanently out of use.
    Decommissioned {
        /// When it was decommissioned.
        at: OffsetDateTime,
    },
}

/// A pairing code that was issued to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCode {
    /// The six symbols.
    pub code: PairingCode,
    /// When it was issued.
    pub issued_at: OffsetDateTime,
    /// First instant at which it is expired.
    pub expires_at: OffsetDateTime,
}

impl IssuedCode {
    /// Returns true from the instant `expires_at` on.
    #[must_use]
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now >= self.expires_at
    }
}

/// A claim of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The code that was typed.
    pub code: IssuedCode,
    /// User who typed it.
    pub by: UserId,
    /// When it was typed.
    pub at: OffsetDateTime,
}

/// Status of a device: its state without the state's data, as returned by the status endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceStatus {
    /// Provisioned, not claimed.
    Inactive,
    /// Claimed by its merchant.
    Claimed,
    /// Ready for payments.
    Activated,
    /// Permanently out of use. Its terminal gets the same responses as a device that was never provisioned.
    Decommissioned,
}

impl DeviceStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Inactive, Self::Claimed, Self::Activated, Self::Decommissioned];

    /// Returns the word on the wire and in a store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Claimed => "claimed",
            Self::Activated => "activated",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// Parses that word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Returns whether the device is claimed or activated.
    #[must_use]
    pub fn is_claimed(self) -> bool {
        match self {
            Self::Inactive | Self::Decommissioned => false,
            Self::Claimed | Self::Activated => true,
        }
    }
}

/// Status of a device's latest pairing code at some instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PairingCodeStatus {
    /// No code was issued since the device was provisioned, released or transferred.
    None,
    /// Issued and not claimed yet.
    Pending,
    /// A merchant claimed the device with it.
    Used,
    /// It has expired.
    Expired,
}

impl PairingCodeStatus {
    /// Returns the word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }
}

impl DeviceState {
    pub(super) fn status(&self) -> DeviceStatus {
        match self {
            Self::Inactive { .. } => DeviceStatus::Inactive,
            Self::Claimed(_) => DeviceStatus::Claimed,
            Self::Activated { .. } => DeviceStatus::Activated,
            Self::Decommissioned { .. } => DeviceStatus::Decommissioned,
        }
    }

    pub(super) fn pairing_code_status(&self, now: OffsetDateTime) -> PairingCodeStatus {
        match self {
            Self::Inactive { code: None } | Self::Decommissioned { .. } => PairingCodeStatus::None,
            Self::Inactive { code: Some(issued) } if issued.is_expired(now) => PairingCodeStatus::Expired,
            Self::Inactive { code: Some(_) } => PairingCodeStatus::Pending,
            Self::Claimed(_) | Self::Activated { .. } => PairingCodeStatus::Used,
        }
    }
}
