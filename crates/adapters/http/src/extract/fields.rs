//! Typed fields of request bodies and queries. A parse error names the field.

use pos_domain::device::DeviceStatus;
use pos_domain::shared::{DeviceId, LocationId, MerchantId, Name};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

/// Id of a device to be provisioned: `POS-` and eight upper-case hex digits.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct NewDeviceId(pub(crate) DeviceId);

/// Display name.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct NameField(pub(crate) Name);

/// A location's id.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LocationField(pub(crate) LocationId);

/// A merchant's id.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MerchantField(pub(crate) MerchantId);

/// A device's status.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct StatusField(pub(crate) DeviceStatus);

/// Maximum number of items on a page.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Limit(pub(crate) u32);

impl Limit {
    /// Maximum of `limit`.
    pub(crate) const MAX: u32 = 200;
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<String> for NewDeviceId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        DeviceId::parse_new(&text).map(Self).map_err(|why| why.to_string())
    }
}

impl TryFrom<String> for NameField {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Name::parse(&text).map(Self).map_err(|why| why.to_string())
    }
}

impl TryFrom<String> for LocationField {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        uuid(&text).map(LocationId).map(Self).ok_or("location_id must be a UUID")
    }
}

impl TryFrom<String> for MerchantField {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        uuid(&text).map(MerchantId).map(Self).ok_or("merchant_id must be a UUID")
    }
}

impl TryFrom<String> for StatusField {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        DeviceStatus::parse(&text)
            .map(Self)
            .ok_or_else(|| format!("status must be one of {}", DeviceStatus::ALL.map(DeviceStatus::as_str).join(", ")))
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |limit: &u32| (1..=Self::MAX).contains(limit) && text.bytes().all(|b| b.is_ascii_digit());
        let limit = text.parse().ok().filter(fits);
        limit.map(Self).ok_or_else(|| format!("limit must be a whole number from 1 to {}", Self::MAX))
    }
}

/// Parses a UUID in its hyphenated form only.
fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// Deserializes a member of a merge patch that may be removed: `Some(None)` is `null`.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Deserializes a member of a merge patch that must not be removed: `null` is a type error.
pub(crate) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
