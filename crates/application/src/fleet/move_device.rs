use std::sync::Arc;

use pos_domain::{Action, Device, DeviceId, MerchantId};
use pos_port_clock::Clock;
use pos_port_storage::{DirectoryRepository, FleetRepository};

use super::change::Changes;
use super::{FleetError, Mandate, StateRefusal};

/// Gives an inactive device from one merchant to another of the same reseller.
pub struct MoveDevice {
    changes: Changes,
    directory: Arc<dyn DirectoryRepository>,
}

impl MoveDevice {
    /// Moves by `clock`, to merchants of `directory`.
    #[must_use]
    pub fn new(
        fleet: Arc<dyn FleetRepository>,
        directory: Arc<dyn DirectoryRepository>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { changes: Changes { fleet, clock }, directory }
    }

    /// Moves a device of the mandate's merchant to the merchant `to`, and answers it as it is afterwards. Both ends are
    /// asked.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::UnknownMerchant`] when there is no merchant of the id `to`, or none of the mandate's
    /// party.
    pub async fn execute(&self, mandate: &Mandate, id: &DeviceId, to: MerchantId) -> Result<Device, FleetError> {
        mandate.permit(Action::MoveDevice)?;
        if mandate.party().is_some() {
            let merchant = self.directory.find_merchant(mandate.scope(), to).await?;
            let merchant = merchant.ok_or(FleetError::UnknownMerchant)?;
            mandate.clone().over(&merchant).permit(Action::MoveDevice)?;
        }
        let relocate = |device: Device, now| {
            Ok(device.move_to(to, mandate.act().clone(), now).map_err(StateRefusal::from)?.into())
        };
        self.changes.apply(mandate, id, relocate).await
    }
}
