use std::sync::Arc;
use std::time::Duration;

use pos_domain::{Device, DeviceStatus, PairingCodeStatus, PollWindow};
use pos_port_clock::Clock;
use pos_port_storage::{DeviceChanges, DeviceRepository, StorageError, Watch, Woken};
use time::OffsetDateTime;

use crate::in_use;
use crate::sighting::{TerminalCall, is_change, note};

/// Tells a polling terminal whether it has been claimed. The hot path: one look-up.
pub struct CheckStatus {
    devices: Arc<dyn DeviceRepository>,
    changes: Arc<dyn DeviceChanges>,
    clock: Arc<dyn Clock>,
    recheck: Duration,
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

/// The answer to a poll whose caller is willing to wait for a change.
pub enum StatusAnswer {
    /// Nothing to wait for, or no longer.
    Ready(CheckedStatus),
    /// Nothing has changed yet.
    Waiting(WaitingStatus),
}

/// A status that may change yet.
///
/// Whoever holds it waits for [`WaitingStatus::changed`] and passes it on to [`CheckStatus::look_again`], until the answer is
/// ready. To stop earlier is to answer [`WaitingStatus::status`] and drop it.
pub struct WaitingStatus {
    status: CheckedStatus,
    /// When the wait ends, by the monotonic clock.
    deadline: Duration,
    /// How much of the wait is left, counted by what was slept.
    left: Duration,
    /// How long until the next look, with or without word of a change.
    next_look: Duration,
    watch: Box<dyn Watch>,
}

impl WaitingStatus {
    /// How it stands, as far as is known.
    #[must_use]
    pub fn status(&self) -> CheckedStatus {
        self.status
    }

    /// Returns when it is time for the next look.
    pub async fn changed(&mut self) -> Woken {
        self.watch.changed(self.next_look).await
    }
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
    /// A status check by `clock`. Who waits looks every `recheck` without word of a change, which may be lost with a
    /// connection.
    #[must_use]
    pub fn new(
        devices: Arc<dyn DeviceRepository>,
        changes: Arc<dyn DeviceChanges>,
        clock: Arc<dyn Clock>,
        recheck: Duration,
    ) -> Self {
        Self { devices, changes, clock, recheck }
    }

    /// Answers a poll.
    ///
    /// # Errors
    /// [`CheckStatusError`].
    pub async fn execute(&self, call: &TerminalCall) -> Result<CheckedStatus, CheckStatusError> {
        Ok(self.first_look(call).await?.status)
    }

    /// Answers a poll whose caller is willing to wait for `patience`. A terminal whose code is not pending has nothing to
    /// wait for and is answered at once, and so is one too many.
    ///
    /// # Errors
    /// [`CheckStatusError`].
    pub async fn begin_wait(&self, call: &TerminalCall, patience: Duration) -> Result<StatusAnswer, CheckStatusError> {
        // Before the look, so that nothing happens unseen between the two.
        let watch = self.changes.watch(&call.device_id);
        let look = self.first_look(call).await?;
        let Some(watch) = watch else { return Ok(StatusAnswer::Ready(look.status)) };
        let deadline = self.clock.since_start() + patience;
        let begun = WaitingStatus { status: look.status, deadline, left: patience, next_look: Duration::ZERO, watch };
        Ok(self.go_on(begun, look))
    }

    /// Looks after the wait was woken: the answer is ready once the status is another, or when the time is up. A store
    /// that fails during the wait ends it with what was known.
    pub async fn look_again(&self, call: &TerminalCall, mut waiting: WaitingStatus, woken: Woken) -> StatusAnswer {
        match woken {
            Woken::ByChange => {}
            Woken::ByTime => waiting.left = waiting.left.saturating_sub(waiting.next_look),
        }
        match self.find(call).await {
            Ok(device) => {
                let look = Look::at(&device, self.clock.now());
                self.go_on(waiting, look)
            }
            Err(_) => StatusAnswer::Ready(waiting.status),
        }
    }

    fn go_on(&self, mut waiting: WaitingStatus, look: Look) -> StatusAnswer {
        let left = waiting.deadline.saturating_sub(self.clock.since_start()).min(waiting.left);
        match look.until_expiry {
            Some(until_expiry) if look.status == waiting.status && !left.is_zero() => {
                waiting.next_look = left.min(self.recheck).min(until_expiry);
                StatusAnswer::Waiting(waiting)
            }
            Some(_) | None => StatusAnswer::Ready(look.status),
        }
    }

    async fn first_look(&self, call: &TerminalCall) -> Result<Look, CheckStatusError> {
        let device = self.find(call).await?;
        let now = self.clock.now();
        if is_change(&device, call) {
            note(&*self.devices, call, now).await;
        }
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
