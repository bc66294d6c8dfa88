use async_trait::async_trait;
use pos_domain::{Device, DeviceId, EndedCode, PairingCode, Sighting, Transition};

use crate::{Once, SaveError, SaveOnceError, StorageError};

/// Keeps devices, each with its current pairing code, and the codes that left them: the view of a terminal, which speaks
/// for itself, and of a merchant with a code in hand, who is told whose device it is not (contract, section 4). All
/// others go through [`FleetRepository`](crate::FleetRepository), which asks on whose behalf.
///
/// A device changes only by [`DeviceRepository::save`] of a [`Transition`], which is conditional on the version it was
/// made from. Whatever order calls arrive in, on however many replicas, of the transitions made from one version
/// exactly one is kept.
#[async_trait]
pub trait DeviceRepository: Send + Sync {
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
    /// [`SaveError::UnknownMerchant`] when the device would belong to a merchant that has no row.
    /// [`SaveError::UnknownLocation`] when the device would be at a location that is not its merchant's, or not there.
    async fn save(&self, transition: &Transition) -> Result<(), SaveError>;

    /// As [`DeviceRepository::save`], and in the same transaction keeps the answer of `once` under its key; a call whose
    /// key is kept already changes nothing. Of calls with one key that come at once, on whatever replicas, one is kept and
    /// the others find its answer.
    ///
    /// # Errors
    /// [`SaveOnceError::Answered`], before anything that [`DeviceRepository::save`] refuses.
    async fn save_once(&self, transition: &Transition, once: &Once) -> Result<(), SaveOnceError>;

    /// Notes what a terminal said of itself, beside the state machine: no version changes, no concurrent
    /// [`DeviceRepository::save`] conflicts with it. An unknown device is left unknown.
    ///
    /// Best effort: a store that is busy may drop it and answer `Ok`, so that a fleet that starts up takes nothing from
    /// other callers.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError>;
}
