//! Fleet port: devices as seen by merchants, resellers and operators, filtered by scope.

use async_trait::async_trait;
use pos_domain::device::{Device, DeviceStatus, Transition};
use pos_domain::shared::{DeviceId, LocationId, MerchantId, Scope};

use crate::shared::{IdempotencyRecord, SaveError, StorageError, StoredResponse};

/// Devices as seen by those who provision and manage them. Every call names a [`Scope`]; devices outside the scope are
/// not found.
///
/// Calls by a terminal itself, and claims by pairing code, use [`DeviceRepository`](crate::device::DeviceRepository).
#[async_trait]
pub trait FleetRepository: Send + Sync {
    /// Stores new devices with their first events, all or none, in one transaction. With `idempotency`, stores its
    /// response under its key in the same transaction; a request whose key is already stored creates nothing.
    ///
    /// # Errors
    /// In this order: [`CreateDevicesError::Answered`], [`CreateDevicesError::UnknownMerchant`],
    /// [`CreateDevicesError::UnknownLocation`], [`CreateDevicesError::Taken`]. A transition of a device that is not new
    /// ([`Transition::expected_version`] is not 0) is [`StorageError::Fault`].
    async fn create(
        &self,
        scope: Scope,
        devices: &[Transition],
        idempotency: Option<&IdempotencyRecord>,
    ) -> Result<(), CreateDevicesError>;

    /// Returns the device with this id, if its merchant is in scope.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; an inconsistent row is [`StorageError::Fault`].
    async fn find(&self, scope: Scope, id: &DeviceId) -> Result<Option<Device>, StorageError>;

    /// Saves one transition, as [`DeviceRepository::save`](crate::device::DeviceRepository::save) does.
    ///
    /// # Errors
    /// As there; and [`SaveError::Conflict`] unless both the merchant of the stored device and the merchant after the
    /// transition are in scope.
    async fn save(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError>;

    /// Returns devices in the order of their ids.
    ///
    /// # Errors
    /// As [`FleetRepository::find`].
    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError>;
}

/// Filter and page of a device list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePage {
    /// Scope of the caller.
    pub scope: Scope,
    /// Only this merchant's.
    pub merchant_id: Option<MerchantId>,
    /// Only those at this location.
    pub location_id: Option<LocationId>,
    /// Only those with this status.
    pub status: Option<DeviceStatus>,
    /// Only those with an id greater than this one: the last id of the previous page.
    pub after: Option<DeviceId>,
    /// Maximum number of devices.
    pub limit: u32,
}

impl DevicePage {
    /// Returns the first page of the devices in scope.
    #[must_use]
    pub fn first(scope: Scope, limit: u32) -> Self {
        Self { scope, merchant_id: None, location_id: None, status: None, after: None, limit }
    }
}

/// Why no device was created.
#[derive(Debug, thiserror::Error)]
pub enum CreateDevicesError {
    /// A request with this key was already processed, with this response.
    #[error("a request with this Idempotency-Key was already processed")]
    Answered(StoredResponse),
    /// A device's merchant does not exist or is out of scope.
    #[error("there is no such merchant")]
    UnknownMerchant,
    /// A device's location does not exist or belongs to another merchant.
    #[error("there is no such location")]
    UnknownLocation,
    /// These ids already exist, or occur twice in the call.
    #[error("the device ids are taken")]
    Taken(Vec<DeviceId>),
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
