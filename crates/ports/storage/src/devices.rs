use async_trait::async_trait;
use pos_domain::{Device, DeviceId, EndedCode, MerchantId, PairingCode, Sighting, Transition};

use crate::{SaveError, StorageError};

/// Keeps devices, each with its current pairing code, and the codes that left them.
///
/// A device changes only by [`DeviceRepository::save`] of a [`Transition`], which is conditional on the version it was
/// made from. Whatever order calls arrive in, on however many replicas, of the transitions made from one version
/// exactly one is kept.
#[async_trait]
pub trait DeviceRepository: Send + Sync {
    /// Stores new devices with their first events, those whose id is free, and answers the ids that were taken. One
    /// transaction: a failure stores none.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a transition of a device that is not new ([`Transition::expected_version`] is not 0)
    /// is [`StorageError::Fault`].
    async fn add(&self, devices: &[Transition]) -> Result<Vec<DeviceId>, StorageError>;

    /// The device of this id, as last saved.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a row that fits no state is [`StorageError::Fault`].
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError>;

    /// The device whose *current* code this is: one that waits with it (expired or not), else the one that was last
    /// claimed with it.
    ///
    /// # Errors
    /// As [`DeviceRepository::find`].
    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError>;

    /// The latest end of this code among those that left their devices.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_ended_code(&self, code: PairingCode) -> Result<Option<EndedCode>, StorageError>;

    /// Keeps one transition: the device, its event, and the code that ended by it, in one transaction. What the
    /// terminal said of itself ([`Sighting`]) is left as it is.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] unless the stored device is at [`Transition::expected_version`].
    /// [`SaveError::CodeTaken`] when another inactive device has the same current code, even an expired one.
    async fn save(&self, transition: &Transition) -> Result<(), SaveError>;

    /// Notes what a terminal said of itself, beside the state machine: no version changes, no concurrent
    /// [`DeviceRepository::save`] conflicts with it. An unknown device is left unknown.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError>;

    /// Devices in the order of their ids.
    ///
    /// # Errors
    /// As [`DeviceRepository::find`].
    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError>;
}

/// Which devices to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevicePage {
    /// Only this merchant's.
    pub merchant_id: Option<MerchantId>,
    /// Only those whose id comes after this one: the last id of the page before.
    pub after: Option<DeviceId>,
    /// At most so many.
    pub limit: u32,
}
