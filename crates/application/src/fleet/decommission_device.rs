//! Use case: decommissioning of a device.

use std::sync::Arc;

use pos_domain::device::Device;
use pos_domain::shared::DeviceId;
use pos_domain::tenancy::Action;
use pos_port_clock::Clock;
use pos_port_storage::fleet::FleetRepository;

use crate::support::optimistic_update::OptimisticUpdate;
use crate::support::{Authorization, FleetError, StateRefusal};

/// Decommissions a device permanently, whatever its status.
pub struct DecommissionDevice(OptimisticUpdate);

impl DecommissionDevice {
    /// Creates the use case.
    #[must_use]
    pub(crate) fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>) -> Self {
        Self(OptimisticUpdate { fleet, clock })
    }

    /// Decommissions a device and returns it.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn execute(&self, authorization: &Authorization, id: &DeviceId) -> Result<Device, FleetError> {
        authorization.authorize(Action::DecommissionDevice)?;
        let decommission = |device: Device, now| {
            Ok(device.decommission(authorization.audit_context().clone(), now).map_err(StateRefusal::from)?.into())
        };
        self.0.apply(authorization, id, decommission).await
    }
}
