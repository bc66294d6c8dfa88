use std::sync::Arc;
use std::time::Duration;

use pos_domain::{Device, DeviceStatus, PairingCodeStatus, PollWindow};
use pos_port_clock::Clock;
use pos_port_storage::{DeviceChanges, DeviceRepository, StorageError, Woken};
use time::OffsetDateTime;

use crate::in_use;
use crate::sighting::{TerminalCall, note_change};

/// Tells a polling terminal whether it has been claimed. The hot path: one look-up.
pub struct CheckStatus {
    devices: Arc<dyn DeviceRepository>,
    changes: Arc<dyn DeviceChanges>,
    clock: Arc<dyn Clock>,
}

/// A waiting terminal looks so often without being woken: word of a change may be lost with a connection.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

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
    pub fn new(devices: Arc<dyn DeviceRepository>, changes: Arc<dyn DeviceChanges>, clock: Arc<dyn Clock>) -> Self {
        Self { devices, changes, clock }
    }

    /// Answers a poll.
    ///
    /// # Errors
    /// [`CheckStatusError`].
    pub async fn execute(&self, call: &TerminalCall) -> Result<CheckedStatus, CheckStatusError> {
        Ok(self.first_look(call).await?.status)
    }

    /// Answers a poll once the status is another than it was when the call came, or when `patience` is over. A terminal
    /// whose code is not pending has nothing to wait for and is answered at once, and so is one too many.
    ///
    /// # Errors
    /// [`CheckStatusError`].
    pub async fn wait(&self, call: &TerminalCall, patience: Duration) -> Result<CheckedStatus, CheckStatusError> {
        // Before the look, so that nothing happens unseen between the two.
        let watch = self.changes.watch(&call.device_id);
        let first = self.first_look(call).await?;
        let Some(mut watch) = watch else {
            return Ok(first.status);
        };
        let (mut now, mut left) = (first, patience);
        while let Some(until_expiry) = now.until_expiry
            && now.status == first.status
            && !left.is_zero()
        {
            let spell = left.min(LOOK_ANYWAY).min(until_expiry);
            if watch.changed(spell).await == Woken::ByTime {
                left = left.saturating_sub(spell);
            }
            now = Look::at(&self.find(call).await?, self.clock.now());
        }
        Ok(now.status)
    }

    async fn first_look(&self, call: &TerminalCall) -> Result<Look, CheckStatusError> {
        let device = self.find(call).await?;
        let now = self.clock.now();
        note_change(&*self.devices, &device, call, now).await;
        Ok(Look::at(&device, now))
    }

    async fn find(&self, call: &TerminalCall) -> Result<Device, CheckStatusError> {
        in_use(self.devices.find(&call.device_id).await?).ok_or(CheckStatusError::UnknownDevice)
    }
}

/// What one look at a device told.
#[derive(Clone, Copy)]
struct Look {
    status: CheckedStatus,
    until_expiry: Option<Duration>,
}

impl Look {
    fn at(device: &Device, now: OffsetDateTime) -> Self {
        let status = CheckedStatus {
            device_status: device.status(),
            pairing_code_status: device.pairing_code_status(now),
            next_poll: device.next_poll(now),
        };
        Self { status, until_expiry: device.code_expires_in(now).map(time::Duration::unsigned_abs) }
    }
}
