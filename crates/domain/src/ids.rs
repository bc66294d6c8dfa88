//! Who is who: devices, merchants, users.

use std::fmt;

use uuid::Uuid;

/// The name a terminal left the factory with, and the one it sends as `X-Device-Id`.
///
/// New devices are always `POS-` and eight upper-case hex digits ([`DeviceId::from_bits`], [`DeviceId::parse_new`]).
/// [`DeviceId::parse`] accepts any name of the form a terminal may send (contract, section 2): whether such a name
/// belongs to a device is for the store to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(String);

/// Why a text is no device id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDeviceId {
    /// It does not start with `POS-`.
    #[error("must start with POS-")]
    Prefix,
    /// It is longer than [`DeviceId::MAX_LEN`] bytes.
    #[error("must not be longer than 64 characters")]
    TooLong,
    /// It holds a space, a control character or anything outside ASCII.
    #[error("must consist of visible ASCII characters")]
    NotVisibleAscii,
    /// It is not the form that new devices get: `POS-` and eight upper-case hex digits.
    #[error("must be POS- followed by eight upper-case hex digits")]
    NotCanonical,
}

impl DeviceId {
    /// What every device id starts with.
    pub const PREFIX: &'static str = "POS-";
    /// The longest id a terminal may send, in bytes.
    pub const MAX_LEN: usize = 64;

    /// The id that 32 random bits name, for a newly provisioned device.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(format!("{}{bits:08X}", Self::PREFIX))
    }

    /// Reads an id as a terminal sends it: the prefix, at most 64 visible ASCII characters.
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

    /// Reads an id that is to be given to a new device: `POS-` and eight upper-case hex digits.
    ///
    /// # Errors
    /// [`InvalidDeviceId::Prefix`] or [`InvalidDeviceId::NotCanonical`].
    pub fn parse_new(text: &str) -> Result<Self, InvalidDeviceId> {
        let hex = text.strip_prefix(Self::PREFIX).ok_or(InvalidDeviceId::Prefix)?;
        let canonical = hex.len() == 8 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
        if canonical { Ok(Self(text.into())) } else { Err(InvalidDeviceId::NotCanonical) }
    }

    /// The id as it is written.
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

/// The merchant a device belongs to: a UUID that the back office gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MerchantId(pub Uuid);

impl fmt::Display for MerchantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A person or an API client, by the identity provider's subject (`sub`): 1 to 255 bytes, without control characters
/// (OpenID Connect Core 1.0, section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

/// A subject that is empty, over 255 bytes long, or holds a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user id has 1 to 255 bytes and no control characters")]
pub struct InvalidUserId;

impl UserId {
    /// Reads a subject.
    ///
    /// # Errors
    /// [`InvalidUserId`].
    pub fn parse(text: &str) -> Result<Self, InvalidUserId> {
        let fits = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(InvalidUserId) }
    }

    /// The subject as the provider wrote it.
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
