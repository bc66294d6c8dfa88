//! Range of time for reading the audit trail.

use pos_domain::shared::DeviceId;
use time::OffsetDateTime;

/// Filter of the audit trail by time and device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// Only events at or after this instant.
    pub since: Option<OffsetDateTime>,
    /// Only events before this instant.
    pub until: Option<OffsetDateTime>,
    /// Only events of this device.
    pub device_id: Option<DeviceId>,
    /// Maximum number of events per page.
    pub limit: u32,
}
