use std::fmt;

use time::OffsetDateTime;

use super::{GrantId, LocationId, Name, ResellerId, Role};
use crate::{MerchantId, UserId};

/// Whom a user or an API client belongs to and acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A merchant.
    Merchant(MerchantId),
    /// A reseller, and through it the merchants it has.
    Reseller(ResellerId),
}

/// One who brings merchants and manages their terminals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reseller {
    /// Its id.
    pub id: ResellerId,
    /// What people call it.
    pub name: Name,
    /// When it was made known.
    pub created_at: OffsetDateTime,
}

/// One who takes payments with terminals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    /// Its id.
    pub id: MerchantId,
    /// What people call it.
    pub name: Name,
    /// The reseller that brought it, if one did.
    pub reseller: Option<ResellerId>,
    /// When it was made known.
    pub created_at: OffsetDateTime,
}

/// A place where a merchant's terminals stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its id.
    pub id: LocationId,
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// What people call it.
    pub name: Name,
    /// When it was made known.
    pub created_at: OffsetDateTime,
}

/// A user or an API client at its party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The identity provider's subject.
    pub user_id: UserId,
    /// Where it belongs.
    pub party: Party,
    /// What it may do there.
    pub role: Role,
}

/// A user's membership, as an operator gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// This granting of it; another role is another grant.
    pub grant: GrantId,
    /// Who, where and as what. A user has at most one role at each party.
    pub member: Member,
    /// When it was given.
    pub created_at: OffsetDateTime,
}

/// How a party stands to a merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// It is that merchant.
    Own,
    /// It is the reseller of that merchant.
    Parent,
    /// Neither.
    Stranger,
}

/// Whose merchants may be seen: the argument by which a store leaves out everybody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everybody's: somebody at the command line of the server.
    Operator,
    /// A merchant's own, or those of a reseller.
    Of(Party),
}

impl Party {
    /// `merchant` or `reseller`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Merchant(_) => "merchant",
            Self::Reseller(_) => "reseller",
        }
    }

    /// The merchant, when it is one.
    #[must_use]
    pub fn merchant(self) -> Option<MerchantId> {
        match self {
            Self::Merchant(id) => Some(id),
            Self::Reseller(_) => None,
        }
    }

    /// The reseller, when it is one.
    #[must_use]
    pub fn reseller(self) -> Option<ResellerId> {
        match self {
            Self::Merchant(_) => None,
            Self::Reseller(id) => Some(id),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Merchant(id) => write!(f, "merchant {id}"),
            Self::Reseller(id) => write!(f, "reseller {id}"),
        }
    }
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 3] = [Self::Own, Self::Parent, Self::Stranger];

    /// How `party` stands to `merchant`, whose reseller is `reseller`.
    #[must_use]
    pub fn of(party: Party, merchant: MerchantId, reseller: Option<ResellerId>) -> Self {
        match party {
            Party::Merchant(id) if id == merchant => Self::Own,
            Party::Reseller(id) if Some(id) == reseller => Self::Parent,
            Party::Merchant(_) | Party::Reseller(_) => Self::Stranger,
        }
    }
}

impl Scope {
    /// Whether a merchant is to be seen.
    #[must_use]
    pub fn sees(self, merchant: &Merchant) -> bool {
        match self {
            Self::Operator => true,
            Self::Of(party) => Relation::of(party, merchant.id, merchant.reseller) != Relation::Stranger,
        }
    }

    /// Whether what belongs to a party itself (its members, its API clients) is to be seen.
    #[must_use]
    pub fn includes(self, party: Party) -> bool {
        match self {
            Self::Operator => true,
            Self::Of(own) => own == party,
        }
    }
}
