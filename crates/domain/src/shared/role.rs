//! Roles of members.

use std::fmt;
use std::str::FromStr;

use crate::shared::Party;

/// Role of a member at its party. Ordered: each role includes the permissions of the roles before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read-only access.
    Viewer,
    /// Daily work: claims, releases and provisions terminals.
    Operator,
    /// Administration: decommissions terminals and manages merchants.
    Admin,
}

impl Role {
    /// Every role, in ascending order.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Returns the word used in stores, on the wire and at the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Returns the highest role that the identity provider's role names grant at a party: `merchant-admin`,
    /// `reseller-viewer` and so on. Names for the other kind of party and unknown names grant none.
    #[must_use]
    pub fn named_by<'w>(words: impl IntoIterator<Item = &'w str>, party: Party) -> Option<Self> {
        let of_party = |word: &'w str| word.strip_prefix(party.kind()).and_then(|rest| rest.strip_prefix('-'));
        words.into_iter().filter_map(of_party).filter_map(|word| word.parse().ok()).max()
    }
}

/// Error for a word that is not a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is viewer, operator or admin")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(UnknownRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
