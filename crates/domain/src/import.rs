//! Many devices made known at once: what a row asks for, and why it is refused.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Act, Device, DeviceDetails, DeviceId, MerchantId, Transition};

/// One import: a file of devices on its way into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportId(pub Uuid);

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What one refused row means for the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ImportMode {
    /// Nothing is imported.
    #[default]
    AllOrNothing,
    /// Nothing: each row stands for itself.
    BestEffort,
}

/// A word that names no [`ImportMode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be all_or_nothing or best_effort")]
pub struct UnknownImportMode;

impl ImportMode {
    /// The word on the wire, at the command line and in a store.
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

/// A row that could be read: a device to be made known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedDevice {
    /// The name it left the factory with.
    pub id: DeviceId,
    /// Whom it is for.
    pub merchant_id: MerchantId,
    /// What is kept of it.
    pub details: DeviceDetails,
}

impl ImportedDevice {
    /// Makes it known.
    #[must_use]
    pub fn provision(self, by: Act, now: OffsetDateTime) -> Transition {
        Device::provision(self.id, self.merchant_id, self.details, by, now)
    }
}

/// Why a row is not imported. `Display` is for the one who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RowRefusal {
    /// It is no row: what is wrong with it, at most [`RowRefusal::MAX_DETAIL`] characters.
    #[error("{0}")]
    Malformed(String),
    /// The device's id is none that a new device may have.
    #[error("device_id must be POS- followed by eight upper-case hex digits")]
    InvalidDeviceId,
    /// The merchant's id is none.
    #[error("merchant_id must be a UUID")]
    InvalidMerchantId,
    /// The label is none.
    #[error("label must have 1 to 200 characters, none of them a control character")]
    InvalidLabel,
    /// The location's id is none.
    #[error("location_id must be a UUID")]
    InvalidLocationId,
    /// There is no such merchant, as far as the importer may see.
    #[error("there is no such merchant")]
    UnknownMerchant,
    /// The merchant has no such location.
    #[error("the merchant has no such location")]
    UnknownLocation,
    /// An earlier row of the file has the device's id.
    #[error("row {of} has this device_id already")]
    Duplicate {
        /// The number of that row.
        of: u64,
    },
    /// There is a device with this id already. Whose it is is not told.
    #[error("Device already exists")]
    Taken,
    /// Nothing is wrong with it: another row was refused, and it was all or nothing.
    #[error("nothing is imported, because row {because_of} is refused")]
    NotImported {
        /// The number of the first refused row.
        because_of: u64,
    },
}

impl RowRefusal {
    /// The most that is told of a malformed row, in characters.
    pub const MAX_DETAIL: usize = 200;

    /// A row that is none. What may have come from the row itself is cut to [`RowRefusal::MAX_DETAIL`] characters and
    /// loses its control characters.
    #[must_use]
    pub fn malformed(what: impl fmt::Display) -> Self {
        let shown = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
        Self::Malformed(what.to_string().chars().map(shown).take(Self::MAX_DETAIL).collect())
    }

    /// The word on the wire and in a store.
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

    /// What a store keeps beside the word, for those that need it.
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

    /// The refusal of this word and detail; `None` when they are none.
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
