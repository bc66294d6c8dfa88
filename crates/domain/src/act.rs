//! Who did something, and from where.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use uuid::Uuid;

use crate::UserId;
use crate::event::UnknownEvent;

/// Who made something happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The terminal itself.
    Terminal,
    /// A merchant's user or API client.
    User(UserId),
    /// Somebody at the command line.
    Operator,
    /// The identity provider, which tells who has logged out.
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

/// The id that ties an answer, its log lines and its events together: 32 lower-case hex digits, not all zero (W3C Trace
/// Context, section 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(Uuid);

impl TraceId {
    /// The least of them.
    pub const LEAST: Self = Self(Uuid::from_u128(1));

    /// The id of this number; `None` for zero, which the standard forbids.
    #[must_use]
    pub fn from_bits(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(Uuid::from_u128(bits)))
    }

    /// The number.
    #[must_use]
    pub fn bits(self) -> u128 {
        self.0.as_u128()
    }

    /// Reads 32 lower-case hex digits; `None` for anything else.
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

/// Where a call came from. A call at the command line came from nowhere: [`CallContext::default`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallContext {
    /// The caller's address, as far as it is known.
    pub origin: Option<IpAddr>,
    /// The trace id of the call.
    pub trace_id: Option<TraceId>,
}

impl CallContext {
    /// What `actor` does by this call.
    #[must_use]
    pub fn by(self, actor: Actor) -> Act {
        Act { actor, origin: self.origin, trace_id: self.trace_id }
    }
}

/// Somebody's doing: who, from where, and by which call. Every event carries one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub actor: Actor,
    /// From which address; none from the command line.
    pub origin: Option<IpAddr>,
    /// By which call; none from the command line.
    pub trace_id: Option<TraceId>,
}

impl Act {
    /// Something done at the command line.
    #[must_use]
    pub fn operator() -> Self {
        CallContext::default().by(Actor::Operator)
    }
}
