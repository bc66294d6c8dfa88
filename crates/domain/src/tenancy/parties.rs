//! Parties (merchants and resellers), their members, and the scope of queries.

use time::OffsetDateTime;

use crate::shared::{GrantId, LocationId, MerchantId, Name, Party, ResellerId, Role, Scope, UserId};

/// A company that acquires merchants and manages their terminals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reseller {
    /// Its id.
    pub id: ResellerId,
    /// Display name.
    pub name: Name,
    /// When it was created.
    pub created_at: OffsetDateTime,
}

/// A company that accepts payments with terminals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    /// Its id.
    pub id: MerchantId,
    /// Display name.
    pub name: Name,
    /// The merchant's reseller, if any.
    pub reseller: Option<ResellerId>,
    /// When it was created.
    pub created_at: OffsetDateTime,
}

/// A site of a merchant, such as a shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its id.
    pub id: LocationId,
    /// Merchant that owns it.
    pub merchant_id: MerchantId,
    /// Display name.
    pub name: Name,
    /// When it was created.
    pub created_at: OffsetDateTime,
}

/// A user or an API client as a member of its party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The identity provider's subject.
    pub user_id: UserId,
    /// Party that it belongs to.
    pub party: Party,
    /// Role at the party.
    pub role: Role,
}

/// A user's membership, granted by an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Id of this grant; another role is another grant.
    pub grant: GrantId,
    /// User, party and role. A user has at most one role at each party.
    pub member: Member,
    /// When it was granted.
    pub created_at: OffsetDateTime,
}

/// Relation of a party to a merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The party is that merchant.
    Own,
    /// The party is the reseller of that merchant.
    Parent,
    /// The party is neither.
    Stranger,
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 3] = [Self::Own, Self::Parent, Self::Stranger];

    /// Returns the relation of `party` to `merchant`, whose reseller is `reseller`.
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
}
