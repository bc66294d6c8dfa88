//! Device store port: devices by id and by pairing code, saved by optimistic concurrency.

use async_trait::async_trait;
use pos_domain::device::{Device, PairingCode, PastCode, TerminalInfo, Transition};
use pos_domain::shared::DeviceId;

use crate::shared::{IdempotencyRecord, SaveError, SaveIdempotentError, StorageError};

/// Stores devices, their current pairing codes and their past codes, for terminals themselves and for claims by pairing
/// code, where a claim of another merchant's device is answered as such (contract, section 4). All others use
/// [`FleetRepository`](crate::fleet::FleetRepository), which filters by scope.
///
/// A device changes only by [`DeviceRepository::save`] of a [`Transition`], which is conditional on the version it was
/// made from (optimistic concurrency). Of concurrent transitions from one version, on any replica, exactly one is
/// saved.
#[async_trait]
pub trait DeviceRepository: Send + Sync {
    /// Returns the device with this id, as last saved.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; an inconsistent row is [`StorageError::Fault`].
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError>;

    /// Returns the device whose *current* code this is: an inactive one with this code (expired or not), else the one
    /// last claimed with it.
    ///
    /// # Errors
    /// As [`DeviceRepository::find`].
    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError>;

    /// Returns the latest past code with these symbols.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_past_code(&self, code: PairingCode) -> Result<Option<PastCode>, StorageError>;

    /// Saves one transition: the device, its event, and the code that it invalidated, in one transaction. The stored
    /// [`TerminalInfo`] is not changed.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] unless the stored device has [`Transition::expected_version`]. [`SaveError::CodeTaken`]
    /// if another inactive device has the same current code, even an expired one. [`SaveError::UnknownMerchant`] if the
    /// device's new merchant does not exist. [`SaveError::UnknownLocation`] if the device's location does not exist or
    /// belongs to another merchant.
    async fn save(&self, transition: &Transition) -> Result<(), SaveError>;

    /// Saves as [`DeviceRepository::save`] does, and stores the response of `idempotency` under its key in the same
    /// transaction; a request whose key is already stored changes nothing. Of concurrent requests with one key, on any
    /// replica, one is saved and the others find its response.
    ///
    /// # Errors
    /// [`SaveIdempotentError::Answered`], which takes precedence over every refusal of [`DeviceRepository::save`].
    async fn save_idempotent(
        &self,
        transition: &Transition,
        idempotency: &IdempotencyRecord,
    ) -> Result<(), SaveIdempotentError>;

    /// Updates the terminal info of a device, outside the state machine: the version does not change, and no concurrent
    /// [`DeviceRepository::save`] conflicts with it. An unknown device is ignored.
    ///
    /// Best effort: a busy store may drop the update and return `Ok`, so that a fleet that starts up does not slow down
    /// other callers.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn update_terminal_info(&self, id: &DeviceId, terminal_info: &TerminalInfo) -> Result<(), StorageError>;
}
