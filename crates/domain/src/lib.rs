//! The rules of terminal activation, and nothing else.
//!
//! A [`Device`] goes `inactive → claimed → activated`, and back to `inactive` when it is released. While it is
//! inactive it may hold one [`PairingCode`], which a merchant types to claim it. Every rule of that story is a method
//! of [`Device`] that takes the current time as an argument and answers with a [`Transition`] (the next state, the
//! event that tells of it, and the code it put out of use) or with a refusal that names the reason.
//!
//! The crate is pure: no I/O, no async, no wire format, no clock and no randomness of its own. Whoever calls it brings
//! the time and the random bits, which is what makes every rule testable to the instant.
//!
//! All instants are UTC in whole microseconds, the finest that every store keeps exactly.

mod act;
mod app_version;
mod audit;
mod chain;
mod checkpoint;
mod claim_limit;
mod device;
mod event;
mod holding;
mod idempotency;
mod ids;
mod import;
mod pairing_code;
mod retention;
mod tenancy;
mod user_agent;

pub use act::{Act, Actor, CallContext, TraceId};
pub use app_version::{AppVersion, InvalidAppVersion};
pub use audit::{AuditEvent, AuditKind, RefusedClaim, RefusedClaimReason, Subject};
pub use chain::{ChainCheck, ChainFault, ChainHead, ChainLink, EventHash};
pub use checkpoint::{Checkpoint, Seal};
pub use claim_limit::{ClaimLimit, ClaimStanding, FailureWindow, RefusalRecord, TooManyFailures};
pub use device::{
    ActivateRefusal, AmendRefusal, Claim, ClaimRefusal, Claimant, CorruptDevice, DecommissionRefusal, Device,
    DeviceDetails, DeviceRecord, DeviceState, DeviceStatus, IssueRefusal, IssuedCode, MoveRefusal, PairingCodeStatus,
    PollWindow, ReleaseRefusal, Sighting, Transition,
};
pub use event::{DeviceEvent, DeviceEventKind, UnknownEvent};
pub use holding::{Facts, Holding, HoldingFault, HoldingKey, HoldingsInTrail, reseller_text};
pub use idempotency::{Fingerprint, IdempotencyKey, InvalidIdempotencyKey};
pub use ids::{DeviceId, InvalidDeviceId, InvalidUserId, MerchantId, UserId};
pub use import::{ImportId, ImportMode, ImportedDevice, RowRefusal, UnknownImportMode};
pub use pairing_code::{CodeEnd, EndedCode, InvalidPairingCode, PairingCode};
pub use retention::{EventAnchor, SHORTEST_EVENT_RETENTION, events_reclaimed, first_needed_event};
pub use tenancy::{
    Action, ApiClient, ApiClientId, Denial, EndedToken, GrantId, InvalidApiClientId, InvalidName, InvalidSessionKey,
    InvalidSlug, Location, LocationId, Member, Membership, Merchant, Name, Party, Place, Relation, Reseller,
    ResellerId, Role, Scope, SecretHash, Session, SessionKey, SessionToken, Slug, TokenKey, UnknownRole, permit,
};
pub use user_agent::{InvalidUserAgent, UserAgent};
