//! A refused claim and its audit event.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::audit::{AuditEvent, AuditKind, Subject};
use crate::shared::Claimant;
use crate::shared::{Actor, DeviceId, RequestContext};

/// Why a claim was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedClaimReason {
    /// No device has or had the code, or the device is not the one that was named.
    NotFound,
    /// The code was already used.
    Used,
    /// The code has expired or was superseded.
    Expired,
    /// The device belongs to another merchant.
    NotOwner,
    /// The merchant or the user had too many failures; the code's own state is not revealed.
    TooManyFailures,
}

impl RefusedClaimReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::NotFound, Self::Used, Self::Expired, Self::NotOwner, Self::TooManyFailures];

    /// Returns the word in the audit trail.
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

/// A refused claim. Never contains the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedClaim {
    /// Merchant and user.
    pub by: Claimant,
    /// Client address and trace id.
    pub context: RequestContext,
    /// When the claim was made.
    pub at: OffsetDateTime,
    /// Device that the code belongs to, if any.
    pub device_id: Option<DeviceId>,
    /// Reason of the refusal.
    pub reason: RefusedClaimReason,
}

impl RefusedClaim {
    /// Returns the same claim as rejected by the limit.
    #[must_use]
    pub fn as_too_many(&self) -> Self {
        Self { reason: RefusedClaimReason::TooManyFailures, ..self.clone() }
    }

    /// Returns the audit event.
    #[must_use]
    pub fn event(&self) -> AuditEvent {
        AuditEvent {
            at: self.at,
            audit_context: self.context.with_actor(Actor::User(self.by.user_id.clone())),
            merchant_id: Some(self.by.merchant_id),
            kind: AuditKind::ClaimRefused,
            subject: self.device_id.clone().map(Subject::Device),
            detail: BTreeMap::from([("reason".to_owned(), self.reason.as_str().to_owned())]),
        }
    }
}
