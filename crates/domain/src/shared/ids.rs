//! Ids of devices, merchants and users.

use std::fmt;

use uuid::Uuid;

/// Id of a terminal, assigned at the factory and sent as `X-Device-Id`.
///
/// New devices always have `POS-` and eight upper-case hex digits ([`DeviceId::from_bits`], [`DeviceId::parse_new`]).
/// [`DeviceId::parse`] accepts any id of the form a terminal may send (contract, section 2); whether such a device
/// exists is decided by the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(String);

/// Why a text is not a device id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDeviceId {
    /// It does not start with `POS-`.
    #[error("must start with POS-")]
    Prefix,
    /// It is longer than [`DeviceId::MAX_LEN`] bytes.
    #[error("must not be longer than 64 characters")]
    TooLong,
    /// It contains a space, a control character or a non-ASCII character.
    #[error("must consist of visible ASCII characters")]
    NotVisibleAscii,
    /// It does not have the form of a new device's id: `POS-` and eight upper-case hex digits.
    #[error("must be POS- followed by eight upper-case hex digits")]
    NotCanonical,
}

impl DeviceId {
    /// Prefix of every device id.
    pub const PREFIX: &'static str = "POS-";
    /// Maximum length of an id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Returns the id for 32 random bits, for a newly provisioned device.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(format!("{}{bits:08X}", Self::PREFIX))
    }

    /// Parses an id as sent by a terminal: the prefix, at most 64 visible ASCII characters.
    ///
    /// # Errors
    /// [`InvalidDeviceId`], never `NotCanonical`.
    pub fn parse(text: &str) -> Result<Self, InvalidDeviceId> {
        if !text.starts_with(Self::PREFIX) {
            return Err(InvalidDeviceId::Prefix);
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidDeviceId::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidDeviceId::NotVisibleAscii);
        }
        Ok(Self(text.into()))
    }

    /// Parses the id of a new device: `POS-` and eight upper-case hex digits.
    ///
    /// # Errors
    /// [`InvalidDeviceId::Prefix`] or [`InvalidDeviceId::NotCanonical`].
    pub fn parse_new(text: &str) -> Result<Self, InvalidDeviceId> {
        let hex = text.strip_prefix(Self::PREFIX).ok_or(InvalidDeviceId::Prefix)?;
        let canonical = hex.len() == 8 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
        if canonical { Ok(Self(text.into())) } else { Err(InvalidDeviceId::NotCanonical) }
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of a merchant: a UUID that the back office assigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MerchantId(pub Uuid);

impl fmt::Display for MerchantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Id of a user or an API client: the identity provider's subject (`sub`), 1 to 255 bytes without control characters
/// (OpenID Connect Core 1.0, section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

/// Error for a subject that is empty, longer than 255 bytes, or contains a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user id has 1 to 255 bytes and no control characters")]
pub struct InvalidUserId;

impl UserId {
    /// Parses a subject.
    ///
    /// # Errors
    /// [`InvalidUserId`].
    pub fn parse(text: &str) -> Result<Self, InvalidUserId> {
        let fits = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(InvalidUserId) }
    }

    /// Returns the subject as the provider wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
