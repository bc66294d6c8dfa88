use std::sync::Arc;

use pos_domain::{Action, Device, DeviceId};
use pos_port_clock::Clock;
use pos_port_storage::FleetRepository;

use super::change::Changes;
use super::{FleetError, Mandate, StateRefusal};

/// Takes a claimed or activated device back to inactive, so that it can be paired again.
pub struct ReleaseDevice(Changes);

impl ReleaseDevice {
    /// Releases by `clock`.
    #[must_use]
    pub fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>) -> Self {
        Self(Changes { fleet, clock })
    }

    /// Releases a device and answers it as it is afterwards.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn execute(&self, mandate: &Mandate, id: &DeviceId) -> Result<Device, FleetError> {
        mandate.permit(Action::ReleaseDevice)?;
        let release =
            |device: Device, now| Ok(device.release(mandate.act().clone(), now).map_err(StateRefusal::from)?.into());
        self.0.apply(mandate, id, release).await
    }
}
