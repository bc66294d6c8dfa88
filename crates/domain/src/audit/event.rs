//! Audit events that are not device events: refused claims and administrative changes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::shared::{
    ApiClientId, AuditContext, DeviceId, LocationId, MerchantId, Party, ResellerId, UnknownEvent, UserId,
};

/// Kind of an audit event. To add one: a variant, its word, and an entry in [`AuditKind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditKind {
    /// A claim was refused; the detail `reason` says why.
    ClaimRefused,
    /// A reseller was created.
    ResellerAdded,
    /// A merchant was created.
    MerchantAdded,
    /// A merchant was updated.
    MerchantUpdated,
    /// A location was created.
    LocationAdded,
    /// A location was updated.
    LocationUpdated,
    /// A user was granted a membership; the details `party` and `role` give where and as what, `role_before` the user's
    /// previous role there.
    MemberAdded,
    /// A membership was removed; the detail `party` gives its party.
    MemberRemoved,
    /// An API client was created; the details `party` and `role` give whom it acts for and as what.
    ClientAdded,
    /// An API client's secret was replaced; the detail `party` gives its party.
    ClientRotated,
    /// An API client was revoked; the detail `party` gives its party.
    ClientRevoked,
    /// A session was started or renewed. The details are `party`, `role`, `application` and `channel`, and `client_id`
    /// for a machine.
    SessionStarted,
    /// A session was ended by its user; the details are the same as at its start.
    SessionEnded,
    /// The identity provider ended one session of a user, or all; the detail `sessions` is `one` or `all`, `party` is
    /// that of the one session.
    SessionsLoggedOut,
    /// Events older than the retention period were purged; the details `sort`, `count` and `before_unix_secs` give
    /// their kind, their number, and the instant up to which they had happened.
    EventsPurged,
    /// Rows of an import were refused; the details `mode`, `rows`, `refused` and `file_sha256` identify the file and
    /// give the numbers.
    ImportRefused,
}

impl AuditKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::ClaimRefused,
        Self::ResellerAdded,
        Self::MerchantAdded,
        Self::MerchantUpdated,
        Self::LocationAdded,
        Self::LocationUpdated,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::ClientAdded,
        Self::ClientRotated,
        Self::ClientRevoked,
        Self::SessionStarted,
        Self::SessionEnded,
        Self::SessionsLoggedOut,
        Self::EventsPurged,
        Self::ImportRefused,
    ];

    /// Returns whether it records who owns something or who may act for whom. `audit verify` compares rows with these
    /// events, so they are never purged.
    #[must_use]
    pub fn is_permanent(self) -> bool {
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
            | Self::MerchantUpdated
            | Self::LocationUpdated
            | Self::SessionStarted
            | Self::SessionEnded
            | Self::SessionsLoggedOut
            | Self::EventsPurged
            | Self::ImportRefused => false,
        }
    }

    /// Returns the stored word: lower-case letters and underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaimRefused => "claim_refused",
            Self::ResellerAdded => "reseller_added",
            Self::MerchantAdded => "merchant_added",
            Self::MerchantUpdated => "merchant_updated",
            Self::LocationAdded => "location_added",
            Self::LocationUpdated => "location_updated",
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::ClientAdded => "client_added",
            Self::ClientRotated => "client_rotated",
            Self::ClientRevoked => "client_revoked",
            Self::SessionStarted => "session_started",
            Self::SessionEnded => "session_ended",
            Self::SessionsLoggedOut => "sessions_logged_out",
            Self::EventsPurged => "events_purged",
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

/// Subject of an audit event.
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
    /// A user, or the user that represents an API client at the identity provider.
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

/// An audit event that is not a device event. Never contains a code, a token, a key or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When it happened, by the server's clock.
    pub at: OffsetDateTime,
    /// Actor, client address and trace id.
    pub audit_context: AuditContext,
    /// Merchant concerned, if any.
    pub merchant_id: Option<MerchantId>,
    /// Kind of the event.
    pub kind: AuditKind,
    /// Subject of the event, if known.
    pub subject: Option<Subject>,
    /// Further details, by name.
    pub detail: BTreeMap<String, String>,
}

impl AuditEvent {
    /// Returns an event for an administrative change of a subject, without a merchant and without details.
    #[must_use]
    pub fn of(kind: AuditKind, subject: Subject, audit_context: AuditContext, at: OffsetDateTime) -> Self {
        Self { at, audit_context, merchant_id: None, kind, subject: Some(subject), detail: BTreeMap::new() }
    }

    /// Sets the merchant concerned.
    #[must_use]
    pub fn for_merchant(self, merchant_id: impl Into<Option<MerchantId>>) -> Self {
        Self { merchant_id: merchant_id.into(), ..self }
    }

    /// Adds a detail. Never a code, a token, a key or a secret.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.detail.insert(name.to_owned(), value.to_string());
        self
    }
}
