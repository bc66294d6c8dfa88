//! Visibility of a device to its terminal.

use pos_domain::device::{Device, DeviceStatus};

/// Hides a decommissioned device: for its terminal it was never provisioned.
pub(crate) fn in_use(found: Option<Device>) -> Option<Device> {
    found.filter(|device| device.status() != DeviceStatus::Decommissioned)
}
