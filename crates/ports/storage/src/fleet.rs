use async_trait::async_trait;
use pos_domain::{Device, DeviceId, DeviceStatus, LocationId, MerchantId, Scope, Transition};

use crate::{KeptAnswer, Once, SaveError, StorageError};

/// Devices as those see them who provision and manage them: every call says on whose behalf ([`Scope`]), and what is not
/// that party's is not found.
///
/// A terminal that speaks for itself, and a merchant with a code in hand, go through
/// [`DeviceRepository`](crate::DeviceRepository).
#[async_trait]
pub trait FleetRepository: Send + Sync {
    /// Stores new devices with their first events, all or none, in one transaction. With `once`, in the same
    /// transaction, keeps its answer under its key; a call whose key is kept already creates nothing.
    ///
    /// # Errors
    /// In this order: [`CreateDevicesError::Answered`], [`CreateDevicesError::UnknownMerchant`],
    /// [`CreateDevicesError::UnknownLocation`], [`CreateDevicesError::Taken`]. A transition of a device that is not new
    /// ([`Transition::expected_version`] is not 0) is [`StorageError::Fault`].
    async fn create(&self, scope: Scope, devices: &[Transition], once: Option<&Once>)
    -> Result<(), CreateDevicesError>;

    /// The device of this id, as last saved, if the scope sees its merchant.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a row that fits no state is [`StorageError::Fault`].
    async fn find(&self, scope: Scope, id: &DeviceId) -> Result<Option<Device>, StorageError>;

    /// Keeps one transition, as [`DeviceRepository::save`](crate::DeviceRepository::save) does.
    ///
    /// # Errors
    /// As there; and [`SaveError::Conflict`] unless the scope sees the merchant that the stored device has and the one
    /// it has afterwards.
    async fn save(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError>;

    /// Devices in the order of their ids.
    ///
    /// # Errors
    /// As [`FleetRepository::find`].
    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError>;
}

/// Which devices to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePage {
    /// On whose behalf.
    pub scope: Scope,
    /// Only this merchant's.
    pub merchant_id: Option<MerchantId>,
    /// Only those at this location.
    pub location_id: Option<LocationId>,
    /// Only those in this state.
    pub status: Option<DeviceStatus>,
    /// Only those whose id comes after this one: the last id of the page before.
    pub after: Option<DeviceId>,
    /// At most so many.
    pub limit: u32,
}

impl DevicePage {
    /// The first devices that a scope sees.
    #[must_use]
    pub fn first(scope: Scope, limit: u32) -> Self {
        Self { scope, merchant_id: None, location_id: None, status: None, after: None, limit }
    }
}

/// Why no device was created.
#[derive(Debug, thiserror::Error)]
pub enum CreateDevicesError {
    /// The key of the call is kept, with this answer.
    #[error("the call was made before")]
    Answered(KeptAnswer),
    /// A merchant that a device is for has no row, or the scope does not see it.
    #[error("there is no such merchant")]
    UnknownMerchant,
    /// A device is at a location that is not its merchant's, or not there.
    #[error("there is no such location")]
    UnknownLocation,
    /// These ids are taken, or come twice in the call.
    #[error("the device ids are taken")]
    Taken(Vec<DeviceId>),
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
