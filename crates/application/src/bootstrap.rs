use std::sync::Arc;

use pos_domain::AppVersion;
use pos_port_clock::Clock;
use pos_port_storage::{DeviceRepository, StorageError};
use time::OffsetDateTime;

use crate::in_use;
use crate::sighting::{TerminalCall, note};

/// First contact: tells a known terminal the time and the oldest application version that is still supported.
///
/// Changes nothing that another call depends on; a terminal with a too old application is answered all the same and
/// decides for itself (contract, section 3).
pub struct Bootstrap {
    devices: Arc<dyn DeviceRepository>,
    clock: Arc<dyn Clock>,
    min_supported_version: AppVersion,
}

/// The answer to a bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrapped {
    /// The server's time, for the terminal to set its clock by.
    pub server_time: OffsetDateTime,
    /// The oldest application version that is supported.
    pub min_supported_version: AppVersion,
}

/// Why a bootstrap failed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Bootstrap {
    /// A bootstrap that tells of `min_supported_version`.
    #[must_use]
    pub fn new(devices: Arc<dyn DeviceRepository>, clock: Arc<dyn Clock>, min_supported_version: AppVersion) -> Self {
        Self { devices, clock, min_supported_version }
    }

    /// Answers a terminal's first call.
    ///
    /// # Errors
    /// [`BootstrapError`].
    pub async fn execute(&self, call: &TerminalCall) -> Result<Bootstrapped, BootstrapError> {
        let now = self.clock.now();
        in_use(self.devices.find(&call.device_id).await?).ok_or(BootstrapError::UnknownDevice)?;
        note(&*self.devices, call, now).await;
        Ok(Bootstrapped { server_time: now, min_supported_version: self.min_supported_version.clone() })
    }
}
