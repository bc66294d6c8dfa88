//! Things that are on record beside the events of devices: refused claims, and whatever an administrator does.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Act, Actor, ApiClientId, CallContext, Claimant, DeviceId, LocationId, MerchantId, Party, ResellerId, UnknownEvent,
    UserId,
};

/// What kind of thing is on record. To add one: a variant, its word, and its place in [`AuditKind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditKind {
    /// A merchant typed a code and was refused; the detail `reason` says why.
    ClaimRefused,
    /// A reseller was made known.
    ResellerAdded,
    /// A merchant was made known.
    MerchantAdded,
    /// What is kept of a merchant was changed.
    MerchantAmended,
    /// A location was made known.
    LocationAdded,
    /// What is kept of a location was changed.
    LocationAmended,
    /// A user was given a membership; the details `party` and `role` say where and as what, `role_before` what the user
    /// was there until then.
    MemberAdded,
    /// A membership was taken away; the detail `party` says where.
    MemberRemoved,
    /// An API client was made; the details `party` and `role` say for whom and as what.
    ClientAdded,
    /// An API client was given another secret; the detail `party` says whose it is.
    ClientRotated,
    /// An API client was revoked; the detail `party` says whose it was.
    ClientRevoked,
    /// A session was initiated or renewed; the details `party`, `role`, `application` and `channel` say as whom and where,
    /// `client_id` by which machine.
    SessionStarted,
    /// A session was ended by its user; the details are those of its start.
    SessionEnded,
    /// The identity provider ended one session of a user, or all; the detail `sessions` is `one` or `all`, `party` says
    /// where the one was.
    SessionsLoggedOut,
    /// Events that were older than the retention went; the details `sort`, `count` and `before_unix_secs` say which, how
    /// many, and up to when they had happened.
    EventsReclaimed,
    /// Rows of an import were refused; the details `mode`, `rows`, `refused` and `file_sha256` say of which file, and how
    /// many.
    ImportRefused,
}

impl AuditKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::ClaimRefused,
        Self::ResellerAdded,
        Self::MerchantAdded,
        Self::MerchantAmended,
        Self::LocationAdded,
        Self::LocationAmended,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::ClientAdded,
        Self::ClientRotated,
        Self::ClientRevoked,
        Self::SessionStarted,
        Self::SessionEnded,
        Self::SessionsLoggedOut,
        Self::EventsReclaimed,
        Self::ImportRefused,
    ];

    /// Whether it tells who owns something or who may act for whom: `audit verify` compares such rows with it, so it is
    /// kept however old it is.
    #[must_use]
    pub fn is_kept_for_ever(self) -> bool {
        match self {
            Self::ResellerAdded
            | Self::MerchantAdded
            | Self::LocationAdded
            | Self::MemberAdded
            | Self::MemberRemoved
            | Self::ClientAdded
            | Self::ClientRotated
            | Self::ClientRevoked => true,
            Self::ClaimRefused
            | Self::MerchantAmended
            | Self::LocationAmended
            | Self::SessionStarted
            | Self::SessionEnded
            | Self::SessionsLoggedOut
            | Self::EventsReclaimed
            | Self::ImportRefused => false,
        }
    }

    /// The word a store keeps: lower-case letters and underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaimRefused => "claim_refused",
            Self::ResellerAdded => "reseller_added",
            Self::MerchantAdded => "merchant_added",
            Self::MerchantAmended => "merchant_amended",
            Self::LocationAdded => "location_added",
            Self::LocationAmended => "location_amended",
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::ClientAdded => "client_added",
            Self::ClientRotated => "client_rotated",
            Self::ClientRevoked => "client_revoked",
            Self::SessionStarted => "session_started",
            Self::SessionEnded => "session_ended",
            Self::SessionsLoggedOut => "sessions_logged_out",
            Self::EventsReclaimed => "events_reclaimed",
            Self::ImportRefused => "import_refused",
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
    /// A reseller.
    Reseller(ResellerId),
    /// A location.
    Location(LocationId),
    /// A user, or the user that an API client is at the identity provider.
    User(UserId),
    /// An API client.
    Client(ApiClientId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => write!(f, "device:{id}"),
            Self::Merchant(id) => write!(f, "merchant:{id}"),
            Self::Reseller(id) => write!(f, "reseller:{id}"),
            Self::Location(id) => write!(f, "location:{id}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Client(id) => write!(f, "client:{id}"),
        }
    }
}

impl From<Party> for Subject {
    fn from(party: Party) -> Self {
        match party {
            Party::Merchant(id) => Self::Merchant(id),
            Party::Reseller(id) => Self::Reseller(id),
        }
    }
}

impl FromStr for Subject {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let uuid = |id| Uuid::try_parse(id).ok();
        let read = |(sort, id)| match sort {
            "device" => DeviceId::parse(id).ok().map(Self::Device),
            "merchant" => uuid(id).map(|id| Self::Merchant(MerchantId(id))),
            "reseller" => uuid(id).map(|id| Self::Reseller(ResellerId(id))),
            "location" => uuid(id).map(|id| Self::Location(LocationId(id))),
            "user" => UserId::parse(id).ok().map(Self::User),
            "client" => ApiClientId::parse(id).ok().map(Self::Client),
            _ => None,
        };
        text.split_once(':').and_then(read).ok_or_else(|| UnknownEvent(text.to_owned()))
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

impl AuditEvent {
    /// An administrative act on a subject, in the affairs of nobody in particular and with nothing else to say.
    #[must_use]
    pub fn of(kind: AuditKind, subject: Subject, act: Act, at: OffsetDateTime) -> Self {
        Self { at, act, merchant_id: None, kind, subject: Some(subject), detail: BTreeMap::new() }
    }

    /// The same, in the affairs of this merchant.
    #[must_use]
    pub fn for_merchant(self, merchant_id: impl Into<Option<MerchantId>>) -> Self {
        Self { merchant_id: merchant_id.into(), ..self }
    }

    /// The same, with one thing more to say. Never a code, a token, a key or a secret.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.detail.insert(name.to_owned(), value.to_string());
        self
    }
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
