//! Things that are on record beside the events of devices: refused claims, and whatever an administrator does.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Act, Actor, CallContext, Claimant, DeviceId, MerchantId, UnknownEvent};

/// What kind of thing is on record. To add one: a variant, its word, and its place in [`AuditKind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditKind {
    /// A merchant typed a code and was refused; the detail `reason` says why.
    ClaimRefused,
}

impl AuditKind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::ClaimRefused];

    /// The word a store keeps: lower-case letters and underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaimRefused => "claim_refused",
        }
    }
}

impl FromStr for AuditKind {
    type Err = UnknownEvent;

    fn from_str(word: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownEvent(word.to_owned()))
    }
}

/// What something was done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A terminal.
    Device(DeviceId),
    /// A merchant.
    Merchant(MerchantId),
}

const DEVICE: &str = "device:";
const MERCHANT: &str = "merchant:";

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => write!(f, "{DEVICE}{id}"),
            Self::Merchant(id) => write!(f, "{MERCHANT}{id}"),
        }
    }
}

impl FromStr for Subject {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let device = || text.strip_prefix(DEVICE).and_then(|id| DeviceId::parse(id).ok()).map(Self::Device);
        let merchant = || text.strip_prefix(MERCHANT).and_then(|id| Uuid::try_parse(id).ok());
        device()
            .or_else(|| merchant().map(|id| Self::Merchant(MerchantId(id))))
            .ok_or_else(|| UnknownEvent(text.to_owned()))
    }
}

/// One thing on record that is no change of a device. Never carries a code, a token, a key or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When, by the server's clock.
    pub at: OffsetDateTime,
    /// Who, and from where.
    pub act: Act,
    /// In whose affairs, when it was a merchant's.
    pub merchant_id: Option<MerchantId>,
    /// What.
    pub kind: AuditKind,
    /// To what, when that is known.
    pub subject: Option<Subject>,
    /// What else there is to say, by name.
    pub detail: BTreeMap<String, String>,
}

/// Why a claim was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedClaimReason {
    /// No device shows or showed the code, or not the one that was named.
    NotFound,
    /// The code was used before.
    Used,
    /// The code's time is over, or its device has had another since.
    Expired,
    /// The device is another merchant's.
    NotOwner,
    /// The merchant or the user was wrong too often; what the code was is not told.
    TooManyFailures,
}

impl RefusedClaimReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::NotFound, Self::Used, Self::Expired, Self::NotOwner, Self::TooManyFailures];

    /// The word in the audit trail.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::NotOwner => "not_owner",
            Self::TooManyFailures => "too_many_failures",
        }
    }
}

/// A claim that was refused: who asked, from where, when, and why not. Never the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedClaim {
    /// Who asked.
    pub by: Claimant,
    /// From where.
    pub context: CallContext,
    /// When.
    pub at: OffsetDateTime,
    /// The device whose code it was, when there is one.
    pub device_id: Option<DeviceId>,
    /// Why not.
    pub reason: RefusedClaimReason,
}

impl RefusedClaim {
    /// The same claim, refused by the limit.
    #[must_use]
    pub fn as_too_many(&self) -> Self {
        Self { reason: RefusedClaimReason::TooManyFailures, ..self.clone() }
    }

    /// It, as it goes on record.
    #[must_use]
    pub fn event(&self) -> AuditEvent {
        AuditEvent {
            at: self.at,
            act: self.context.by(Actor::User(self.by.user_id.clone())),
            merchant_id: Some(self.by.merchant_id),
            kind: AuditKind::ClaimRefused,
            subject: self.device_id.clone().map(Subject::Device),
            detail: BTreeMap::from([("reason".to_owned(), self.reason.as_str().to_owned())]),
        }
    }
}
