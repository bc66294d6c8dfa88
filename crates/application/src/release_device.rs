use std::sync::Arc;

use pos_domain::{Act, Device, DeviceId, ReleaseRefusal, Scope};
use pos_port_clock::Clock;
use pos_port_storage::{FleetRepository, SaveError, StorageError};

use crate::MAX_ATTEMPTS;

/// Takes a claimed or activated device back to inactive, so that it can be paired again.
pub struct ReleaseDevice {
    fleet: Arc<dyn FleetRepository>,
    clock: Arc<dyn Clock>,
}

/// Why a device was not released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseDeviceError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The device's state forbids it.
    #[error(transparent)]
    Refused(#[from] ReleaseRefusal),
    /// Every attempt lost a race.
    #[error("the device kept changing")]
    Contended,
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ReleaseDevice {
    /// Releases by `clock`.
    #[must_use]
    pub fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { fleet, clock }
    }

    /// Releases a device and answers it as it is afterwards.
    ///
    /// # Errors
    /// [`ReleaseDeviceError`].
    pub async fn execute(&self, id: &DeviceId, by: &Act) -> Result<Device, ReleaseDeviceError> {
        for _ in 0..MAX_ATTEMPTS {
            let device = self.fleet.find(Scope::Operator, id).await?.ok_or(ReleaseDeviceError::UnknownDevice)?;
            let transition = device.release(by.clone(), self.clock.now())?;
            match self.fleet.save(Scope::Operator, &transition).await {
                Ok(()) => {
                    tracing::info!(device_id = %id, actor = %by.actor, "device released");
                    return Ok(transition.into_device());
                }
                Err(SaveError::Conflict | SaveError::CodeTaken | SaveError::UnknownLocation) => {}
                Err(SaveError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(ReleaseDeviceError::Contended)
    }
}
