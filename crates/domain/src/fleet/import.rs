//! Bulk import of devices: its rows, and the reasons why a row is refused.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::device::{Device, DeviceDetails, Transition};
use crate::shared::{AuditContext, DeviceId, MerchantId};

/// Id of an import: one uploaded file of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportId(pub Uuid);

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Effect of a refused row on the other rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ImportMode {
    /// No row is imported.
    #[default]
    AllOrNothing,
    /// None: each row is imported or refused on its own.
    BestEffort,
}

/// Error for a word that is not an [`ImportMode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be all_or_nothing or best_effort")]
pub struct UnknownImportMode;

impl ImportMode {
    /// Returns the word used on the wire, at the command line and in a store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllOrNothing => "all_or_nothing",
            Self::BestEffort => "best_effort",
        }
    }
}

impl fmt::Display for ImportMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ImportMode {
    type Err = UnknownImportMode;

    fn from_str(word: &str) -> Result<Self, UnknownImportMode> {
        [Self::AllOrNothing, Self::BestEffort].into_iter().find(|mode| mode.as_str() == word).ok_or(UnknownImportMode)
    }
}

/// A valid row: a device to provision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedDevice {
    /// Id assigned at the factory.
    pub id: DeviceId,
    /// Merchant that it is provisioned for.
    pub merchant_id: MerchantId,
    /// Label and location.
    pub details: DeviceDetails,
}

impl ImportedDevice {
    /// Provisions the device.
    #[must_use]
    pub fn provision(self, by: AuditContext, now: OffsetDateTime) -> Transition {
        Device::provision(self.id, self.merchant_id, self.details, by, now)
    }
}

/// Why a row is not imported. `Display` is the message for the sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RowRefusal {
    /// The row cannot be parsed; the message has at most [`RowRefusal::MAX_DETAIL`] characters.
    #[error("{0}")]
    Malformed(String),
    /// The device id is not valid for a new device.
    #[error("device_id must be POS- followed by eight upper-case hex digits")]
    InvalidDeviceId,
    /// The merchant id is not a UUID.
    #[error("merchant_id must be a UUID")]
    InvalidMerchantId,
    /// The label is not valid.
    #[error("label must have 1 to 200 characters, none of them a control character")]
    InvalidLabel,
    /// The location id is not a UUID.
    #[error("location_id must be a UUID")]
    InvalidLocationId,
    /// There is no such merchant in the importer's scope.
    #[error("there is no such merchant")]
    UnknownMerchant,
    /// The merchant has no such location.
    #[error("the merchant has no such location")]
    UnknownLocation,
    /// An earlier row of the file has the same device id.
    #[error("row {of} has this device_id already")]
    Duplicate {
        /// Number of that row.
        of: u64,
    },
    /// A device with this id already exists. Its owner is not revealed.
    #[error("Device already exists")]
    Taken,
    /// The row is valid, but another row was refused and the mode is all-or-nothing.
    #[error("nothing is imported, because row {because_of} is refused")]
    NotImported {
        /// Number of the first refused row.
        because_of: u64,
    },
}

impl RowRefusal {
    /// Maximum length of the message for a malformed row, in characters.
    pub const MAX_DETAIL: usize = 200;

    /// Returns the refusal of a malformed row. `what` may contain text of the row itself: it is cut to
    /// [`RowRefusal::MAX_DETAIL`] characters, and its control characters are replaced.
    #[must_use]
    pub fn malformed(what: impl fmt::Display) -> Self {
        let printable = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
        Self::Malformed(what.to_string().chars().map(printable).take(Self::MAX_DETAIL).collect())
    }

    /// Returns the word used on the wire and in a store.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::InvalidDeviceId => "invalid_device_id",
            Self::InvalidMerchantId => "invalid_merchant_id",
            Self::InvalidLabel => "invalid_label",
            Self::InvalidLocationId => "invalid_location_id",
            Self::UnknownMerchant => "unknown_merchant",
            Self::UnknownLocation => "unknown_location",
            Self::Duplicate { .. } => "duplicate",
            Self::Taken => "taken",
            Self::NotImported { .. } => "not_imported",
        }
    }

    /// Returns what a store saves in addition to the word, if anything.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Malformed(what) => Some(what.clone()),
            Self::Duplicate { of: row } | Self::NotImported { because_of: row } => Some(row.to_string()),
            Self::InvalidDeviceId
            | Self::InvalidMerchantId
            | Self::InvalidLabel
            | Self::InvalidLocationId
            | Self::UnknownMerchant
            | Self::UnknownLocation
            | Self::Taken => None,
        }
    }

    /// Returns the refusal of this word and detail; `None` if they are not valid.
    #[must_use]
    pub fn of(word: &str, detail: Option<&str>) -> Option<Self> {
        let row = || detail.and_then(|detail| detail.parse().ok());
        Some(match word {
            "malformed" => Self::malformed(detail?),
            "invalid_device_id" => Self::InvalidDeviceId,
            "invalid_merchant_id" => Self::InvalidMerchantId,
            "invalid_label" => Self::InvalidLabel,
            "invalid_location_id" => Self::InvalidLocationId,
            "unknown_merchant" => Self::UnknownMerchant,
            "unknown_location" => Self::UnknownLocation,
            "duplicate" => Self::Duplicate { of: row()? },
            "taken" => Self::Taken,
            "not_imported" => Self::NotImported { because_of: row()? },
            _ => return None,
        })
    }
}
