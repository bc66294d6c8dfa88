//! Fields of an imported row, independent of the file format.

use pos_application::fleet::{MAX_ROW_BYTES, ReadRow};
use pos_domain::device::DeviceDetails;
use pos_domain::fleet::{ImportedDevice, RowRefusal};
use pos_domain::shared::{DeviceId, LocationId, MerchantId, Name};
use pos_port_storage::fleet::UnreadRow;
use uuid::Uuid;

/// The unparsed fields of a row.
#[derive(Debug, Default)]
pub(super) struct Fields<'f> {
    pub(super) device_id: &'f str,
    pub(super) merchant_id: &'f str,
    pub(super) label: Option<&'f str>,
    pub(super) location_id: Option<&'f str>,
}

impl Fields<'_> {
    /// Whether all fields are blank.
    pub(super) fn are_blank(&self) -> bool {
        let optional = [self.label, self.location_id].into_iter().flatten();
        [self.device_id, self.merchant_id].into_iter().chain(optional).all(|text| text.trim().is_empty())
    }

    /// Converts the fields to a device, or to the error of the first invalid field.
    pub(super) fn read(&self) -> ReadRow {
        self.device().map_err(|refusal| UnreadRow { device_id: DeviceId::parse(self.device_id).ok(), refusal })
    }

    fn device(&self) -> Result<ImportedDevice, RowRefusal> {
        let id = DeviceId::parse_new(self.device_id).map_err(|_| RowRefusal::InvalidDeviceId)?;
        let merchant_id = uuid(self.merchant_id).ok_or(RowRefusal::InvalidMerchantId)?;
        let label = self.label.map(Name::parse).transpose().map_err(|_| RowRefusal::InvalidLabel)?;
        let location = |text| uuid(text).ok_or(RowRefusal::InvalidLocationId);
        let location_id = self.location_id.map(location).transpose()?.map(LocationId);
        Ok(ImportedDevice { id, merchant_id: MerchantId(merchant_id), details: DeviceDetails { label, location_id } })
    }
}

/// Parses a hyphenated UUID, as everywhere in the API; case-insensitive.
fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// An unparsable row, with the reason.
pub(super) fn malformed(what: impl std::fmt::Display) -> ReadRow {
    Err(UnreadRow { device_id: None, refusal: RowRefusal::malformed(what) })
}

/// The reason for a row that is too long.
pub(super) fn too_long() -> String {
    format!("the row is longer than {MAX_ROW_BYTES} bytes")
}
