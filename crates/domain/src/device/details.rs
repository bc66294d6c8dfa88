//! Device details: label and location.

use crate::shared::{LocationId, Name};

/// Details of a device that no pairing rule reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceDetails {
    /// Display name, such as the name of its till.
    pub label: Option<Name>,
    /// Location of its merchant where it is installed.
    pub location_id: Option<LocationId>,
}
