use pos_application::ReadRow;
use pos_domain::{DeviceDetails, DeviceId, ImportedDevice, LocationId, MerchantId, Name, RowRefusal};
use pos_port_storage::UnreadRow;
use uuid::Uuid;

use super::parser::MAX_ROW_BYTES;

/// The fields of a row as they were written, whatever the format.
#[derive(Debug, Default)]
pub(super) struct Fields<'f> {
    pub(super) device_id: &'f str,
    pub(super) merchant_id: &'f str,
    pub(super) label: Option<&'f str>,
    pub(super) location_id: Option<&'f str>,
}

impl Fields<'_> {
    /// Whether there is nothing but blanks in any of them.
    pub(super) fn are_blank(&self) -> bool {
        let optional = [self.label, self.location_id].into_iter().flatten();
        [self.device_id, self.merchant_id].into_iter().chain(optional).all(|text| text.trim().is_empty())
    }

    /// The device they ask for; the first field that is not valid says why not.
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

/// Hyphenated, as everywhere in the API; letter case does not matter.
fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// A row that is none.
pub(super) fn malformed(what: impl std::fmt::Display) -> ReadRow {
    Err(UnreadRow { device_id: None, refusal: RowRefusal::malformed(what) })
}

/// What is wrong with a row that is too long.
pub(super) fn too_long() -> String {
    format!("the row is longer than {MAX_ROW_BYTES} bytes")
}
