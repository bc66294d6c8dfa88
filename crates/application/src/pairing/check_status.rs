//! Use case: device status, with and without waiting for a change (long polling).

use std::sync::Arc;
use std::time::Duration;

use pos_domain::device::{Device, DeviceStatus, PairingCodeStatus};
use pos_domain::pairing::PollInterval;
use pos_port_clock::Clock;
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::pairing::{DeviceChangeNotifier, DeviceSubscription, Wake};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;

use crate::pairing::in_use::in_use;
use crate::pairing::terminal_info::{TerminalCall, is_changed, store_terminal_info};

/// Returns to a polling terminal whether it has been claimed. The hot path: one look-up.
pub struct CheckStatus {
    devices: Arc<dyn DeviceRepository>,
    changes: Arc<dyn DeviceChangeNotifier>,
    clock: Arc<dyn Clock>,
    recheck: Duration,
}

/// Status of a device and of its latest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedStatus {
    /// Status of the device: inactive, claimed or activated.
    pub device_status: DeviceStatus,
    /// Status of the latest code at this time.
    pub pairing_code_status: PairingCodeStatus,
    /// When the terminal should poll again; `None` if there is nothing to wait for.
    pub next_poll: Option<PollInterval>,
}

/// Result of a status check that may wait for a change.
pub enum StatusAnswer {
    /// The final status: there is nothing to wait for, or the wait has ended.
    Ready(CheckedStatus),
    /// The status has not changed yet.
    Waiting(WaitingStatus),
}

/// A status check that waits for a change.
///
/// The caller awaits [`WaitingStatus::changed`] and passes the value to [`CheckStatus::look_again`], until the answer is ready.
/// To stop earlier, it answers with [`WaitingStatus::status`] and drops the value.
pub struct WaitingStatus {
    status: CheckedStatus,
    /// When the wait ends, by the monotonic clock.
    deadline: Duration,
    /// Remaining wait, reduced by the time that was actually slept.
    remaining: Duration,
    /// Time until the next check, with or without a notification.
    next_check: Duration,
    subscription: Box<dyn DeviceSubscription>,
}

impl WaitingStatus {
    /// The latest known status.
    #[must_use]
    pub fn status(&self) -> CheckedStatus {
        self.status
    }

    /// Returns when the next check is due.
    pub async fn changed(&mut self) -> Wake {
        self.subscription.changed(self.next_check).await
    }
}

/// Why a status check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckStatusError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl CheckStatus {
    /// Creates a status check. While it waits, the status is read every `recheck` even without a notification, because
    /// notifications can be lost with a connection.
    #[must_use]
    pub(crate) fn new(
        devices: Arc<dyn DeviceRepository>,
        changes: Arc<dyn DeviceChangeNotifier>,
        clock: Arc<dyn Clock>,
        recheck: Duration,
    ) -> Self {
        Self { devices, changes, clock, recheck }
    }

    /// Handles a poll.
    ///
    /// # Errors
    /// [`CheckStatusError`].
    pub async fn execute(&self, call: &TerminalCall) -> Result<CheckedStatus, CheckStatusError> {
        Ok(self.first_check(call).await?.status)
    }

    /// Handles a poll that may wait for up to `max_wait`. It is answered at once if the code is not pending, because there is
    /// nothing to wait for, or if too many polls are held already.
    ///
    /// # Errors
    /// [`CheckStatusError`].
    pub async fn begin_wait(&self, call: &TerminalCall, max_wait: Duration) -> Result<StatusAnswer, CheckStatusError> {
        // Subscribes before the read, so that no change between the two is missed.
        let subscription = self.changes.subscribe(&call.device_id);
        let snapshot = self.first_check(call).await?;
        let Some(subscription) = subscription else { return Ok(StatusAnswer::Ready(snapshot.status)) };
        let deadline = self.clock.since_start() + max_wait;
        let waiting = WaitingStatus {
            status: snapshot.status,
            deadline,
            remaining: max_wait,
            next_check: Duration::ZERO,
            subscription,
        };
        Ok(self.answer_or_wait(waiting, snapshot))
    }

    /// Checks the status again after the wait was interrupted. The answer is ready when the status has changed or the wait has
    /// ended. If the store fails during the wait, the answer is the last known status.
    pub async fn look_again(&self, call: &TerminalCall, mut waiting: WaitingStatus, woken: Wake) -> StatusAnswer {
        match woken {
            Wake::Changed => {}
            Wake::TimedOut => waiting.remaining = waiting.remaining.saturating_sub(waiting.next_check),
        }
        match self.find(call).await {
            Ok(device) => {
                let snapshot = Snapshot::at(&device, self.clock.now());
                self.answer_or_wait(waiting, snapshot)
            }
            Err(_) => StatusAnswer::Ready(waiting.status),
        }
    }

    fn answer_or_wait(&self, mut waiting: WaitingStatus, snapshot: Snapshot) -> StatusAnswer {
        let remaining = waiting.deadline.saturating_sub(self.clock.since_start()).min(waiting.remaining);
        match snapshot.until_expiry {
            Some(until_expiry) if snapshot.status == waiting.status && !remaining.is_zero() => {
                waiting.next_check = remaining.min(self.recheck).min(until_expiry);
                StatusAnswer::Waiting(waiting)
            }
            Some(_) | None => StatusAnswer::Ready(snapshot.status),
        }
    }

    async fn first_check(&self, call: &TerminalCall) -> Result<Snapshot, CheckStatusError> {
        let device = self.find(call).await?;
        let now = self.clock.now();
        if is_changed(&device, call) {
            store_terminal_info(&*self.devices, call, now).await;
        }
        Ok(Snapshot::at(&device, now))
    }

    async fn find(&self, call: &TerminalCall) -> Result<Device, CheckStatusError> {
        in_use(self.devices.find(&call.device_id).await?).ok_or(CheckStatusError::UnknownDevice)
    }
}

/// Result of one read.
#[derive(Clone, Copy)]
struct Snapshot {
    status: CheckedStatus,
    until_expiry: Option<Duration>,
}

impl Snapshot {
    fn at(device: &Device, now: OffsetDateTime) -> Self {
        let status = CheckedStatus {
            device_status: device.status(),
            pairing_code_status: device.pairing_code_status(now),
            next_poll: device.next_poll(now),
        };
        Self { status, until_expiry: device.code_expires_in(now).map(time::Duration::unsigned_abs) }
    }
}
