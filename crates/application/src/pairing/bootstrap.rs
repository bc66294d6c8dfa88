//! Use case: bootstrap, the first request of a terminal.

use std::sync::Arc;

use pos_domain::device::AppVersion;
use pos_port_clock::Clock;
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;

use crate::pairing::in_use::in_use;
use crate::pairing::terminal_info::{TerminalCall, store_terminal_info};

/// Returns the server time and the oldest supported application version to a known terminal.
///
/// Changes nothing that another request depends on. A terminal with an older application gets the same response and decides
/// itself how to react (contract, section 3).
pub struct Bootstrap {
    devices: Arc<dyn DeviceRepository>,
    clock: Arc<dyn Clock>,
    min_supported_version: AppVersion,
}

/// Result of a bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrapped {
    /// Server time, for the terminal to set its clock.
    pub server_time: OffsetDateTime,
    /// Oldest supported application version.
    pub min_supported_version: AppVersion,
}

/// Why a bootstrap failed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Bootstrap {
    /// Creates a bootstrap that returns `min_supported_version`.
    #[must_use]
    pub(crate) fn new(
        devices: Arc<dyn DeviceRepository>,
        clock: Arc<dyn Clock>,
        min_supported_version: AppVersion,
    ) -> Self {
        Self { devices, clock, min_supported_version }
    }

    /// Handles the first request of a terminal.
    ///
    /// # Errors
    /// [`BootstrapError`].
    pub async fn execute(&self, call: &TerminalCall) -> Result<Bootstrapped, BootstrapError> {
        let now = self.clock.now();
        in_use(self.devices.find(&call.device_id).await?).ok_or(BootstrapError::UnknownDevice)?;
        store_terminal_info(&*self.devices, call, now).await;
        Ok(Bootstrapped { server_time: now, min_supported_version: self.min_supported_version.clone() })
    }
}
