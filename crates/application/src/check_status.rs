use std::sync::Arc;

use pos_domain::{DeviceStatus, PairingCodeStatus, PollWindow};
use pos_port_clock::Clock;
use pos_port_storage::{DeviceRepository, StorageError};

use crate::in_use;
use crate::sighting::{TerminalCall, note_change};

/// Tells a polling terminal whether it has been claimed. The hot path: one look-up.
pub struct CheckStatus {
    devices: Arc<dyn DeviceRepository>,
    clock: Arc<dyn Clock>,
}

/// How a device and its latest code stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedStatus {
    /// Inactive, claimed or activated.
    pub device_status: DeviceStatus,
    /// How the latest code stands at this instant.
    pub pairing_code_status: PairingCodeStatus,
    /// How soon the terminal should ask again; none when there is nothing to wait for.
    pub next_poll: Option<PollWindow>,
}

/// Why a status could not be told.
#[derive(Debug, thiserror::Error)]
pub enum CheckStatusError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl CheckStatus {
    /// A status check by `clock`.
    #[must_use]
    pub fn new(devices: Arc<dyn DeviceRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { devices, clock }
    }

    /// Answers a poll.
    ///
    /// # Errors
    /// [`CheckStatusError`].
    pub async fn execute(&self, call: &TerminalCall) -> Result<CheckedStatus, CheckStatusError> {
        let device = in_use(self.devices.find(&call.device_id).await?).ok_or(CheckStatusError::UnknownDevice)?;
        let now = self.clock.now();
        note_change(&*self.devices, &device, call, now).await;
        Ok(CheckedStatus {
            device_status: device.status(),
            pairing_code_status: device.pairing_code_status(now),
            next_poll: device.next_poll(now),
        })
    }
}
