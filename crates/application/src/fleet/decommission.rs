use std::sync::Arc;

use pos_domain::{Action, Device, DeviceId};
use pos_port_clock::Clock;
use pos_port_storage::FleetRepository;

use super::change::Changes;
use super::{FleetError, Mandate, StateRefusal};

/// Takes a device out of use for good, whatever it was doing.
pub struct DecommissionDevice(Changes);

impl DecommissionDevice {
    /// Decommissions by `clock`.
    #[must_use]
    pub fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>) -> Self {
        Self(Changes { fleet, clock })
    }

    /// Decommissions a device and answers it as it is afterwards.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn execute(&self, mandate: &Mandate, id: &DeviceId) -> Result<Device, FleetError> {
        mandate.permit(Action::DecommissionDevice)?;
        let decommission = |device: Device, now| {
            Ok(device.decommission(mandate.act().clone(), now).map_err(StateRefusal::from)?.into())
        };
        self.0.apply(mandate, id, decommission).await
    }
}
