//! Use case: release of a device.

use std::sync::Arc;

use pos_domain::device::Device;
use pos_domain::shared::DeviceId;
use pos_domain::tenancy::Action;
use pos_port_clock::Clock;
use pos_port_storage::fleet::FleetRepository;

use crate::support::optimistic_update::OptimisticUpdate;
use crate::support::{Authorization, FleetError, StateRefusal};

/// Returns a claimed or activated device to inactive, so that it can be paired again.
pub struct ReleaseDevice(OptimisticUpdate);

impl ReleaseDevice {
    /// Creates the use case.
    #[must_use]
    pub(crate) fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>) -> Self {
        Self(OptimisticUpdate { fleet, clock })
    }

    /// Releases a device and returns it.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn execute(&self, authorization: &Authorization, id: &DeviceId) -> Result<Device, FleetError> {
        authorization.authorize(Action::ReleaseDevice)?;
        let release = |device: Device, now| {
            Ok(device.release(authorization.audit_context().clone(), now).map_err(StateRefusal::from)?.into())
        };
        self.0.apply(authorization, id, release).await
    }
}
