//! Use case: transfer of a device to another merchant.

use std::sync::Arc;

use pos_domain::device::Device;
use pos_domain::shared::{DeviceId, MerchantId};
use pos_domain::tenancy::Action;
use pos_port_clock::Clock;
use pos_port_storage::fleet::FleetRepository;
use pos_port_storage::tenancy::DirectoryRepository;

use crate::support::optimistic_update::OptimisticUpdate;
use crate::support::{Authorization, FleetError, StateRefusal};

/// Transfers an inactive device to another merchant of the same reseller.
pub struct TransferDevice {
    changes: OptimisticUpdate,
    directory: Arc<dyn DirectoryRepository>,
}

impl TransferDevice {
    /// Creates the use case; the new merchant is looked up in `directory`.
    #[must_use]
    pub(crate) fn new(
        fleet: Arc<dyn FleetRepository>,
        directory: Arc<dyn DirectoryRepository>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { changes: OptimisticUpdate { fleet, clock }, directory }
    }

    /// Transfers a device to the merchant `to`, and returns it. Both merchants must be authorized.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::UnknownMerchant`] if the merchant `to` does not exist or does not belong to the caller's
    /// party.
    pub async fn execute(
        &self,
        authorization: &Authorization,
        id: &DeviceId,
        to: MerchantId,
    ) -> Result<Device, FleetError> {
        authorization.authorize(Action::TransferDevice)?;
        if authorization.party().is_some() {
            let merchant = self.directory.find_merchant(authorization.scope(), to).await?;
            let merchant = merchant.ok_or(FleetError::UnknownMerchant)?;
            authorization.clone().for_merchant(&merchant).authorize(Action::TransferDevice)?;
        }
        let transfer = |device: Device, now| {
            Ok(device.transfer_to(to, authorization.audit_context().clone(), now).map_err(StateRefusal::from)?.into())
        };
        self.changes.apply(authorization, id, transfer).await
    }
}
