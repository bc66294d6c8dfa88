//! Ids of resellers, locations and grants, and display names.

use std::fmt;

use uuid::Uuid;

/// Id of a reseller: a UUID that the back office assigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResellerId(pub Uuid);

/// Id of a location: a UUID that the back office assigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocationId(pub Uuid);

/// Id of one grant of a role: a membership, or an API client with its current secret.
///
/// Each change of what was granted (another role, another secret) creates a new grant. A session references its grant
/// and ends with it, even if the grant changes concurrently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(pub Uuid);

macro_rules! display_as_uuid {
    ($($id:ident),+) => {
        $(impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })+
    };
}

display_as_uuid!(ResellerId, LocationId, GrantId);

/// Display name: 1 to 200 characters without control characters, not only white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// Error for a text that is not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 200 characters, none of them a control character")]
pub struct InvalidName;

impl Name {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Parses a name and trims surrounding white space.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        let fits = (1..=Self::MAX_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
