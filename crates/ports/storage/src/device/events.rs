//! Event log port: reads device events.

use crate::shared::TimeRange;
use async_trait::async_trait;
use pos_domain::device::{ChainCheckpoint, DeviceEvent};
use pos_domain::shared::{DeviceId, Scope};
use time::OffsetDateTime;

use crate::shared::StorageError;

/// Reads device events. The repository that makes a change writes its event in the same transaction.
///
/// Tenants read the events of one device ([`DeviceEventLog::events_of`]). The other methods are for operators, who export and
/// verify the whole trail.
#[async_trait]
pub trait DeviceEventLog: Send + Sync {
    /// Returns the events of a device from the time when its merchant was in scope, oldest first; empty for an unknown
    /// device.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a row that cannot be read is [`StorageError::Fault`].
    async fn events_of(&self, history: &DeviceHistory) -> Result<Vec<DeviceEvent>, StorageError>;

    /// Returns device events in the order of the devices' ids, and per device in the order of their sequences.
    ///
    /// # Errors
    /// As [`DeviceEventLog::events_of`].
    async fn events_by_device(&self, page: &DeviceEventPage) -> Result<Vec<DeviceEvent>, StorageError>;

    /// Returns the chain checkpoints of the devices from `first` through `last`, in the order of their ids. A device
    /// without purged events has none.
    ///
    /// # Errors
    /// As [`DeviceEventLog::events_of`].
    async fn chain_checkpoints(&self, first: &DeviceId, last: &DeviceId) -> Result<Vec<ChainCheckpoint>, StorageError>;

    /// Returns device events within `span` in the order of their [`EventPosition`]s, after `after`.
    ///
    /// # Errors
    /// As [`DeviceEventLog::events_of`].
    async fn events_by_time(
        &self,
        span: &TimeRange,
        after: Option<&EventPosition>,
    ) -> Result<Vec<DeviceEvent>, StorageError>;
}

/// Filter and page of one device's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceHistory {
    /// Scope of the caller.
    pub scope: Scope,
    /// Id of the device.
    pub device_id: DeviceId,
    /// Only those after this sequence: the last of the previous page, or 0.
    pub after: u64,
    /// Maximum number of events.
    pub limit: u32,
}

impl DeviceHistory {
    /// Returns the filter for all events of a device, for an operator.
    #[must_use]
    pub fn whole(device_id: &DeviceId) -> Self {
        Self { scope: Scope::Operator, device_id: device_id.clone(), after: 0, limit: u32::MAX }
    }
}

/// Page of the events of a range of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEventPage {
    /// Only those after this event of this device: the last of the previous page, or 0 to start with the device.
    pub after: (DeviceId, u64),
    /// Only those of devices up to and including this one.
    pub through: DeviceId,
    /// Maximum number of events.
    pub limit: u32,
}

/// Position of a device event in time. Totally ordered and unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition {
    /// When it happened.
    pub at: OffsetDateTime,
    /// Orders events of the same instant.
    pub device_id: DeviceId,
    /// Orders events of the same device.
    pub sequence: u64,
}
