use async_trait::async_trait;
use pos_domain::{AuditEvent, DeviceEvent, DeviceId, EventAnchor, EventHash, Scope, Seal};
use time::OffsetDateTime;

use crate::StorageError;

/// Reads the audit trail: the events of devices, and what else is on record. Writing is done by whatever repository
/// makes the change, in the same transaction.
///
/// A tenant reads the events of one device ([`EventLog::events_of`]). The other methods are for an operator, who exports
/// and verifies the trail of everybody.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// What happened to a device while it belonged to merchants that the scope sees, oldest first; empty for an unknown
    /// device.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a row that cannot be read is [`StorageError::Fault`].
    async fn events_of(&self, history: &History) -> Result<Vec<DeviceEvent>, StorageError>;

    /// Events of devices in the order of the devices' ids, each device's in the order of their sequences.
    ///
    /// # Errors
    /// As [`EventLog::events_of`].
    async fn events_by_device(&self, page: &DeviceEventPage) -> Result<Vec<DeviceEvent>, StorageError>;

    /// What is left of the events that were reclaimed, of the devices from `first` through `last`, in the order of their
    /// ids. A device that has all its events has none.
    ///
    /// # Errors
    /// As [`EventLog::events_of`].
    async fn anchors(&self, first: &DeviceId, last: &DeviceId) -> Result<Vec<EventAnchor>, StorageError>;

    /// Events of devices within `span` in the order of their [`EventMark`]s, those after `after`.
    ///
    /// # Errors
    /// As [`EventLog::events_of`].
    async fn events_by_time(&self, span: &Span, after: Option<&EventMark>) -> Result<Vec<DeviceEvent>, StorageError>;

    /// What else is on record within `span`, in the order of [`AuditMark`]s, those after `after`.
    ///
    /// # Errors
    /// As [`EventLog::events_of`].
    async fn audit_by_time(&self, span: &Span, after: Option<AuditMark>) -> Result<Vec<KeptAuditEvent>, StorageError>;
}

/// Which events of one device to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// On whose behalf.
    pub scope: Scope,
    /// Whose events.
    pub device_id: DeviceId,
    /// Only those after this sequence: the last of the page before, or 0.
    pub after: u64,
    /// At most so many.
    pub limit: u32,
}

impl History {
    /// All that ever happened to a device, for an operator.
    #[must_use]
    pub fn whole(device_id: &DeviceId) -> Self {
        Self { scope: Scope::Operator, device_id: device_id.clone(), after: 0, limit: u32::MAX }
    }
}

/// Which events of devices to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEventPage {
    /// Only those after this event of this device: the last of the page before, or 0 to begin with the device.
    pub after: (DeviceId, u64),
    /// Only those of devices up to this one, itself included.
    pub through: DeviceId,
    /// At most so many.
    pub limit: u32,
}

/// A piece of the audit trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// Nothing before this instant.
    pub since: Option<OffsetDateTime>,
    /// Nothing at this instant or after it.
    pub until: Option<OffsetDateTime>,
    /// Only what is about this device.
    pub device_id: Option<DeviceId>,
    /// At most so many at once.
    pub limit: u32,
}

/// The place of a device's event in time. Ordered; no two events have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventMark {
    /// When it happened.
    pub at: OffsetDateTime,
    /// Among those of that instant.
    pub device_id: DeviceId,
    /// Among those of that device.
    pub sequence: u64,
}

/// The place in time of what else is on record. Ordered; no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditMark {
    /// When it happened.
    pub at: OffsetDateTime,
    /// Among those of that instant.
    pub number: u64,
}

/// Something on record, with the number that the store gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAuditEvent {
    /// Counts up as things are recorded; gaps mean nothing.
    pub number: u64,
    /// What it is.
    pub event: AuditEvent,
    /// The digest that was stored with it ([`AuditEvent::digest`]); none on one that an older server wrote.
    pub hash: Option<EventHash>,
}

impl KeptAuditEvent {
    /// What a checkpoint holds of it.
    #[must_use]
    pub fn seal(&self) -> Seal {
        Seal { number: self.number, at: self.event.at, hash: self.hash.unwrap_or_else(|| self.event.digest()) }
    }
}
