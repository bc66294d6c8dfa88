//! Use case: verification of the hash chains of device events.

use std::sync::Arc;

use pos_domain::device::{ChainCheckpoint, ChainFinding, ChainVerifier, Device, DeviceEvent};
use pos_domain::shared::{DeviceId, Scope};
use pos_port_clock::Clock;
use pos_port_storage::device::{DeviceEventLog, DeviceEventPage};
use pos_port_storage::fleet::{DevicePage, FleetRepository};
use pos_port_storage::shared::StorageError;

use crate::support::MAX_ATTEMPTS;

/// Devices per page, and events per page.
const PAGE: u32 = 1_000;

/// Verifies the hash chains of device events and reports every fault. Safe while servers write: a device with faults is
/// verified again until it did not change meanwhile.
pub struct VerifyDeviceChains {
    fleet: Arc<dyn FleetRepository>,
    events: Arc<dyn DeviceEventLog>,
    clock: Arc<dyn Clock>,
}

/// Result for a number of devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifiedChains {
    /// Number of verified devices.
    pub devices: u64,
    /// Number of their events, by their versions.
    pub events: u64,
    /// Number of events that were written before the device's chain began; only their count is verified.
    pub unchained: u64,
    /// Number of purged events; the chain checkpoints of their devices replace them.
    pub purged: u64,
    /// Every fault, ordered by device and sequence.
    pub faults: Vec<(DeviceId, ChainFinding)>,
    /// The last verified device, if there may be more.
    pub last: Option<DeviceId>,
}

/// Why a verification failed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyDeviceChainsError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The device changed during every attempt.
    #[error("device {0} was modified during every attempt")]
    Contended(DeviceId),
    /// The store is unavailable or failed, or it has a row that cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl VerifyDeviceChains {
    /// Creates the use case on these stores. An event that was purged before its retention, by the clock, is a fault.
    #[must_use]
    pub(crate) fn new(fleet: Arc<dyn FleetRepository>, events: Arc<dyn DeviceEventLog>, clock: Arc<dyn Clock>) -> Self {
        Self { fleet, events, clock }
    }

    /// Verifies the next page of devices, those after `after`. The caller repeats it with [`VerifiedChains::last`] until that is
    /// `None`.
    ///
    /// # Errors
    /// [`VerifyDeviceChainsError`].
    pub async fn page(&self, after: Option<DeviceId>) -> Result<VerifiedChains, VerifyDeviceChainsError> {
        let devices = self.fleet.list(&DevicePage { after, ..DevicePage::first(Scope::Operator, PAGE) }).await?;
        let mut verified = VerifiedChains::default();
        let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
            return Ok(verified);
        };
        if devices.len() as u64 == u64::from(PAGE) {
            verified.last = Some(last.id().clone());
        }
        // Read before the events: events that a chain checkpoint replaces are deleted before this point.
        let checkpoints = self.events.chain_checkpoints(first.id(), last.id()).await?;
        let mut checkpoints = checkpoints.into_iter().peekable();
        let mut reader = self.read(first.id().clone(), last.id().clone());
        let mut event = reader.next().await?;
        for device in &devices {
            while checkpoints.next_if(|checkpoint| checkpoint.device_id < *device.id()).is_some() {}
            let checkpoint = checkpoints.next_if(|checkpoint| checkpoint.device_id == *device.id());
            let mut check = self.begin(device, checkpoint.as_ref());
            while let Some(one) = event.take_if(|event| event.device_id <= *device.id()) {
                if one.device_id == *device.id() {
                    check.see(&one);
                }
                event = reader.next().await?;
            }
            self.record_result(device, checkpoint, check, &mut verified).await?;
        }
        Ok(verified)
    }

    /// Verifies one device.
    ///
    /// # Errors
    /// [`VerifyDeviceChainsError`].
    pub async fn device(&self, id: &DeviceId) -> Result<VerifiedChains, VerifyDeviceChainsError> {
        let mut verified = VerifiedChains::default();
        let device = self.fleet.find(Scope::Operator, id).await?.ok_or(VerifyDeviceChainsError::UnknownDevice)?;
        let checkpoint = self.chain_checkpoint(id).await?;
        let check = self.check(&device, checkpoint.as_ref()).await?;
        self.record_result(&device, checkpoint, check, &mut verified).await?;
        Ok(verified)
    }

    /// Adds the result of a device. A check with faults is repeated unless the device and its chain checkpoint have not changed
    /// since they were read.
    async fn record_result(
        &self,
        device: &Device,
        mut checkpoint: Option<ChainCheckpoint>,
        check: ChainVerifier,
        verified: &mut VerifiedChains,
    ) -> Result<(), VerifyDeviceChainsError> {
        let (mut version, mut purged, mut outcome) = (device.version(), check.purged(), check.finish());
        for _ in 0..MAX_ATTEMPTS {
            let unchanged = outcome.1.is_empty() || {
                let now = self
                    .fleet
                    .find(Scope::Operator, device.id())
                    .await?
                    .ok_or(VerifyDeviceChainsError::UnknownDevice)?;
                let checkpoint_now = self.chain_checkpoint(device.id()).await?;
                let unchanged = now.version() == version && checkpoint_now == checkpoint;
                if !unchanged {
                    let check = self.check(&now, checkpoint_now.as_ref()).await?;
                    (version, purged, outcome) = (now.version(), check.purged(), check.finish());
                    checkpoint = checkpoint_now;
                }
                unchanged
            };
            if unchanged {
                let (unchained, faults) = outcome;
                verified.devices += 1;
                verified.events += version;
                verified.unchained += unchained;
                verified.purged += purged;
                verified.faults.extend(faults.into_iter().map(|fault| (device.id().clone(), fault)));
                return Ok(());
            }
        }
        Err(VerifyDeviceChainsError::Contended(device.id().clone()))
    }

    async fn chain_checkpoint(&self, id: &DeviceId) -> Result<Option<ChainCheckpoint>, StorageError> {
        Ok(self.events.chain_checkpoints(id, id).await?.pop())
    }

    fn begin(&self, device: &Device, checkpoint: Option<&ChainCheckpoint>) -> ChainVerifier {
        let check = ChainVerifier::of(device);
        match checkpoint {
            Some(checkpoint) => check.after(checkpoint, Some(self.clock.now())),
            None => check,
        }
    }

    async fn check(
        &self,
        device: &Device,
        checkpoint: Option<&ChainCheckpoint>,
    ) -> Result<ChainVerifier, StorageError> {
        let mut check = self.begin(device, checkpoint);
        let mut reader = self.read(device.id().clone(), device.id().clone());
        while let Some(event) = reader.next().await? {
            check.see(&event);
        }
        Ok(check)
    }

    fn read(&self, first: DeviceId, through: DeviceId) -> Reader<'_> {
        let page = DeviceEventPage { after: (first, 0), through, limit: PAGE };
        Reader { events: &*self.events, page, buffered: Vec::new().into_iter(), at_end: false }
    }
}

/// Events of some devices, read page by page.
struct Reader<'a> {
    events: &'a dyn DeviceEventLog,
    page: DeviceEventPage,
    buffered: std::vec::IntoIter<DeviceEvent>,
    at_end: bool,
}

impl Reader<'_> {
    async fn next(&mut self) -> Result<Option<DeviceEvent>, StorageError> {
        if self.buffered.len() == 0 && !self.at_end {
            let events = self.events.events_by_device(&self.page).await?;
            self.at_end = (events.len() as u64) < u64::from(self.page.limit);
            if let Some(last) = events.last() {
                self.page.after = (last.device_id.clone(), last.sequence);
            }
            self.buffered = events.into_iter();
        }
        Ok(self.buffered.next())
    }
}
