//! A merchant or a reseller, by its id.

use std::fmt;

use super::{MerchantId, ResellerId};

/// Merchant or reseller that a user or an API client belongs to and acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A merchant.
    Merchant(MerchantId),
    /// A reseller, and through it its merchants.
    Reseller(ResellerId),
}

/// Visibility filter for queries: a store returns only what belongs to the merchants in scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All merchants: an operator at the server's command line.
    Operator,
    /// One merchant, or the merchants of one reseller.
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

    /// The merchant's id, if the party is a merchant.
    #[must_use]
    pub fn merchant(self) -> Option<MerchantId> {
        match self {
            Self::Merchant(id) => Some(id),
            Self::Reseller(_) => None,
        }
    }

    /// The reseller's id, if the party is a reseller.
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

impl Scope {
    /// Returns whether the members and API clients of `party` are in scope.
    #[must_use]
    pub fn includes(self, party: Party) -> bool {
        match self {
            Self::Operator => true,
            Self::Of(own) => own == party,
        }
    }
}
