//! Values that every context uses: identifiers, names, parties and roles, audit context, idempotency keys, attempt limits, digests.

mod attempt_limit;
mod audit_context;
mod claimant;
mod client_id;
mod digest;
mod idempotency;
mod ids;
mod names;
mod party;
mod role;

pub use attempt_limit::{AttemptCounts, AttemptLimit, AuditDecision, FailureWindow, TooManyFailures};
pub use audit_context::{Actor, AuditContext, RequestContext, TraceId, UnknownEvent};
pub use claimant::Claimant;
pub use client_id::{ApiClientId, InvalidApiClientId};
pub use digest::EventHash;
pub(crate) use digest::{digest_context, instant, maybe, text};
pub use idempotency::{Fingerprint, IdempotencyKey, InvalidIdempotencyKey};
pub use ids::{DeviceId, InvalidDeviceId, InvalidUserId, MerchantId, UserId};
pub use names::{GrantId, InvalidName, LocationId, Name, ResellerId};
pub use party::{Party, Scope};
pub use role::{Role, UnknownRole};
