//! The states a device can be in, each with the facts that only it has.

use time::OffsetDateTime;

use crate::{PairingCode, UserId};

/// Where a device stands, with what is known there and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceState {
    /// Not linked; may be showing a code.
    Inactive {
        /// The current code, if one was issued since the device was provisioned or released.
        code: Option<IssuedCode>,
    },
    /// A merchant typed the code; keys and configuration are still to come.
    Claimed(Claim),
    /// Ready for payments.
    Activated {
        /// The claim that led here.
        claim: Claim,
        /// When the terminal was activated.
        at: OffsetDateTime,
    },
    /// Out of use for good.
    Decommissioned {
        /// When it was taken out of use.
        at: OffsetDateTime,
    },
}

/// A code on a terminal's screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCode {
    /// The six symbols.
    pub code: PairingCode,
    /// When it was given out.
    pub issued_at: OffsetDateTime,
    /// The first instant at which it is no longer valid.
    pub expires_at: OffsetDateTime,
}

impl IssuedCode {
    /// True from the instant `expires_at` on.
    #[must_use]
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now >= self.expires_at
    }
}

/// The facts of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The code that was typed.
    pub code: IssuedCode,
    /// Who typed it.
    pub by: UserId,
    /// When.
    pub at: OffsetDateTime,
}

/// A device's state without its facts, as the status endpoint tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceStatus {
    /// Provisioned, not linked.
    Inactive,
    /// Linked to its merchant.
    Claimed,
    /// Ready for payments.
    Activated,
    /// Out of use for good. To its terminal it is as if it had never been provisioned.
    Decommissioned,
}

impl DeviceStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Inactive, Self::Claimed, Self::Activated, Self::Decommissioned];

    /// The word on the wire and in a store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Claimed => "claimed",
            Self::Activated => "activated",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// Reads that word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// True once a merchant has claimed the device.
    #[must_use]
    pub fn is_claimed(self) -> bool {
        match self {
            Self::Inactive | Self::Decommissioned => false,
            Self::Claimed | Self::Activated => true,
        }
    }
}

/// How a device's latest pairing code stands at some instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PairingCodeStatus {
    /// None was issued since the device was provisioned, released or moved.
    None,
    /// Waiting for a merchant to type it.
    Pending,
    /// A merchant typed it.
    Used,
    /// Its time is over.
    Expired,
}

impl PairingCodeStatus {
    /// The word on the wire.
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
