use std::fmt;
use std::str::FromStr;

use super::Party;

/// What a member may do at its party. Ordered: each role may do all that the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Does the daily work: pairs terminals, takes them back, makes new ones known.
    Operator,
    /// Decides: what goes out of use for good, who the merchants are.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word in a store, on the wire and at the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The highest role that the identity provider's words give at a party: `merchant-admin`, `reseller-viewer` and so
    /// on. Words for the other kind of party, and words nobody knows, give none.
    #[must_use]
    pub fn named_by<'w>(words: impl IntoIterator<Item = &'w str>, party: Party) -> Option<Self> {
        let of_party = |word: &'w str| word.strip_prefix(party.kind()).and_then(|rest| rest.strip_prefix('-'));
        words.into_iter().filter_map(of_party).filter_map(|word| word.parse().ok()).max()
    }
}

/// A word that names no role.
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
