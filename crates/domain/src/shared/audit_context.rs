//! Audit context: the actor of a change, its client address and its trace id.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use uuid::Uuid;

use crate::shared::UserId;

/// Who performed an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The terminal itself.
    Terminal,
    /// A merchant's user or API client.
    User(UserId),
    /// An operator at the command line.
    Operator,
    /// The identity provider, which reports log-outs.
    IdentityProvider,
}

const USER: &str = "user:";

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminal => f.write_str("terminal"),
            Self::Operator => f.write_str("operator"),
            Self::IdentityProvider => f.write_str("identity_provider"),
            Self::User(user) => write!(f, "{USER}{user}"),
        }
    }
}

impl FromStr for Actor {
    type Err = UnknownEvent;

    fn from_str(word: &str) -> Result<Self, UnknownEvent> {
        match word {
            "terminal" => Ok(Self::Terminal),
            "operator" => Ok(Self::Operator),
            "identity_provider" => Ok(Self::IdentityProvider),
            _ => word
                .strip_prefix(USER)
                .and_then(|user| UserId::parse(user).ok())
                .map(Self::User)
                .ok_or_else(|| UnknownEvent(word.to_owned())),
        }
    }
}

/// Trace id shared by a response, its log lines and its events: 32 lower-case hex digits, not all zero (W3C Trace
/// Context, section 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(Uuid);

impl TraceId {
    /// Smallest valid id.
    pub const LEAST: Self = Self(Uuid::from_u128(1));

    /// Returns the id with these bits; `None` for zero, which the standard forbids.
    #[must_use]
    pub fn from_bits(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(Uuid::from_u128(bits)))
    }

    /// Returns the id as a number.
    #[must_use]
    pub fn bits(self) -> u128 {
        self.0.as_u128()
    }

    /// Parses 32 lower-case hex digits; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let valid = text.len() == 32 && text.bytes().all(lower_hex);
        valid.then(|| u128::from_str_radix(text, 16).ok()).flatten().and_then(Self::from_bits)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// Client address and trace id of a request. Both are absent at the command line: [`RequestContext::default`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// Address of the client, if known.
    pub client_ip: Option<IpAddr>,
    /// Trace id of the request.
    pub trace_id: Option<TraceId>,
}

impl RequestContext {
    /// Returns the audit context of a change that `actor` makes with this request.
    #[must_use]
    pub fn with_actor(self, actor: Actor) -> AuditContext {
        AuditContext { actor, client_ip: self.client_ip, trace_id: self.trace_id }
    }
}

/// Actor, client address and trace id of a change. Every event has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditContext {
    /// Who made the change.
    pub actor: Actor,
    /// Address of the client; none at the command line.
    pub client_ip: Option<IpAddr>,
    /// Trace id of the request; none at the command line.
    pub trace_id: Option<TraceId>,
}

impl AuditContext {
    /// Returns the context of a change at the command line.
    #[must_use]
    pub fn operator() -> Self {
        RequestContext::default().with_actor(Actor::Operator)
    }
}

/// Error for a word that is not an actor, a subject or a kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event word {0:?}")]
pub struct UnknownEvent(pub String);
