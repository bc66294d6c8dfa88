//! Single values of bodies and queries, read straight into what they mean. Their faults are told with the field's name.

use pos_domain::{DeviceId, DeviceStatus, LocationId, MerchantId, Name};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

/// The id of a device that is to be made known: `POS-` and eight upper-case hex digits.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct NewDeviceId(pub(super) DeviceId);

/// What people call something.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct NameField(pub(super) Name);

/// A location's id.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LocationField(pub(super) LocationId);

/// A merchant's id.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct MerchantField(pub(super) MerchantId);

/// A device's status.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct StatusField(pub(super) DeviceStatus);

/// How many items a page has at most.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Limit(pub(super) u32);

impl Limit {
    /// The longest page.
    pub(super) const MOST: u32 = 200;
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
        let fits = |limit: &u32| (1..=Self::MOST).contains(limit) && text.bytes().all(|b| b.is_ascii_digit());
        let limit = text.parse().ok().filter(fits);
        limit.map(Self).ok_or_else(|| format!("limit must be a whole number from 1 to {}", Self::MOST))
    }
}

/// The usual form only, with its hyphens.
fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// For a member of a merge patch that may be taken away: `Some(None)` is `null`.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// For a member of a merge patch that may not: `null` is of the wrong type.
pub(super) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
