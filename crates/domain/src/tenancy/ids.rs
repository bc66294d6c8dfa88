use std::fmt;

use uuid::Uuid;

/// A reseller: a UUID that the back office gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResellerId(pub Uuid);

/// A place where a merchant's terminals stand: a UUID that the back office gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocationId(pub Uuid);

/// One granting of a role: a membership as it was given, or an API client with the secret it has now.
///
/// Every change of what was granted (another role, another secret) makes another grant. A session names the grant it
/// stands on, so it ends with it, whatever else happens at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(pub Uuid);

macro_rules! shown_as_uuid {
    ($($id:ident),+) => {
        $(impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })+
    };
}

shown_as_uuid!(ResellerId, LocationId, GrantId);

/// What people call a merchant or a reseller: 1 to 200 characters without control characters, not only white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// A text that is no [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 200 characters, none of them a control character")]
pub struct InvalidName;

impl Name {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Reads a name; white space around it does not count.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        let fits = (1..=Self::MAX_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }

    /// The name as it is written.
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
