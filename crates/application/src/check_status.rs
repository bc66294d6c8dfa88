use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pos_domain::{Device, DeviceStatus, PairingCodeStatus, PollWindow};
use pos_port_clock::Clock;
use pos_port_storage::{DeviceChanges, DeviceRepository, StorageError, Woken};
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

/// What became of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// How it stands.
    pub status: CheckedStatus,
    /// Whether the answer was held back at all.
    pub held: bool,
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

    /// Answers a poll once the status is another than it was when the call came, or when `patience` is over. A terminal
    /// whose code is not pending has nothing to wait for and is answered at once, and so is one too many. A store that
    /// fails during the wait ends it with what was known, and so does `stop`. `on_hold` is called once, when the answer
    /// begins to be held back.
    ///
    /// # Errors
    /// [`CheckStatusError`], of the first look.
    pub async fn wait(
        &self,
        call: &TerminalCall,
        patience: Duration,
        on_hold: impl FnOnce(),
        stop: impl Future<Output = ()>,
    ) -> Result<Waited, CheckStatusError> {
        // Before the look, so that nothing happens unseen between the two.
        let watch = self.changes.watch(&call.device_id);
        let first = self.first_look(call).await?;
        let Some(mut watch) = watch else {
            return Ok(Waited { status: first.status, held: false });
        };
        let mut stop = pin!(stop);
        let deadline = self.clock.since_start() + patience;
        let (mut now, mut on_hold, mut spells) = (first, Some(on_hold), patience);
        while let Some(until_expiry) = now.until_expiry
            && now.status == first.status
        {
            let left = deadline.saturating_sub(self.clock.since_start()).min(spells);
            if left.is_zero() {
                break;
            }
            if let Some(begins) = on_hold.take() {
                begins();
            }
            let spell = left.min(self.recheck).min(until_expiry);
            match until(&mut stop, watch.changed(spell)).await {
                Some(Woken::ByChange) => {}
                Some(Woken::ByTime) => spells = spells.saturating_sub(spell),
                None => break,
            }
            let Ok(device) = self.find(call).await else { break };
            now = Look::at(&device, self.clock.now());
        }
        Ok(Waited { status: now.status, held: on_hold.is_none() })
    }

    async fn first_look(&self, call: &TerminalCall) -> Result<Look, CheckStatusError> {
        let (look, now, changed) = {
            let device = self.find(call).await?;
            let now = self.clock.now();
            (Look::at(&device, now), now, is_change(&device, call))
        };
        if changed {
            // Boxed: what few calls need is not to be moved about with each.
            Box::pin(note(&*self.devices, call, now)).await;
        }
        Ok(look)
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

/// What `work` comes to, unless `stop` is over first.
async fn until<T>(stop: &mut Pin<&mut impl Future<Output = ()>>, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}
