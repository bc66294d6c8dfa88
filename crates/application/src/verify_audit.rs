use std::sync::Arc;

use pos_domain::{ChainCheck, ChainLink, Device, DeviceEvent, DeviceId, EventAnchor, Scope};
use pos_port_clock::Clock;
use pos_port_storage::{DeviceEventPage, DevicePage, EventLog, FleetRepository, StorageError};

use crate::MAX_ATTEMPTS;

/// How many devices, and how many events, are in memory at once.
const PAGE: u32 = 1_000;

/// Follows the chains of devices' events and tells every fault. Safe while servers write: what looks wrong is looked at
/// again until the device stood still meanwhile.
pub struct VerifyAudit {
    fleet: Arc<dyn FleetRepository>,
    events: Arc<dyn EventLog>,
    clock: Option<Arc<dyn Clock>>,
}

/// What came of a number of devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifiedChains {
    /// How many devices were looked at.
    pub devices: u64,
    /// How many changes they have seen, by their own account.
    pub events: u64,
    /// How many of these were written before the device's chain began, and are held by nothing but their count.
    pub unsealed: u64,
    /// How many of these were reclaimed since: their devices' anchors stand for them.
    pub reclaimed: u64,
    /// Every fault, in the order of devices and sequences.
    pub faults: Vec<(DeviceId, ChainLink)>,
    /// The last device that was looked at, when there may be more.
    pub last: Option<DeviceId>,
}

/// Why a verification could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyAuditError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The device changed all the time.
    #[error("device {0} kept changing")]
    Contended(DeviceId),
    /// The store did not answer, or holds a row that cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl VerifyAudit {
    /// Verifies what these hold.
    #[must_use]
    pub fn new(fleet: Arc<dyn FleetRepository>, events: Arc<dyn EventLog>) -> Self {
        Self { fleet, events, clock: None }
    }

    /// Holds reclaimed events against this clock as well: those that are gone too early are a fault.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Verifies the next page of devices, those after `after`. Ask again with [`VerifiedChains::last`] until that is
    /// none.
    ///
    /// # Errors
    /// [`VerifyAuditError`].
    pub async fn page(&self, after: Option<DeviceId>) -> Result<VerifiedChains, VerifyAuditError> {
        let devices = self.fleet.list(&DevicePage { after, ..DevicePage::first(Scope::Operator, PAGE) }).await?;
        let mut found = VerifiedChains::default();
        let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
            return Ok(found);
        };
        if devices.len() as u64 == u64::from(PAGE) {
            found.last = Some(last.id().clone());
        }
        // Before the events: whatever an anchor stands for is gone from then on.
        let anchors = self.events.anchors(first.id(), last.id()).await?;
        let mut anchors = anchors.into_iter().peekable();
        let mut reader = self.read(first.id().clone(), last.id().clone());
        let mut event = reader.next().await?;
        for device in &devices {
            while anchors.next_if(|anchor| anchor.device_id < *device.id()).is_some() {}
            let anchor = anchors.next_if(|anchor| anchor.device_id == *device.id());
            let mut check = self.begin(device, anchor.as_ref());
            while let Some(one) = event.take_if(|event| event.device_id <= *device.id()) {
                if one.device_id == *device.id() {
                    check.see(&one);
                }
                event = reader.next().await?;
            }
            self.judge(device, anchor, check, &mut found).await?;
        }
        Ok(found)
    }

    /// Verifies one device.
    ///
    /// # Errors
    /// [`VerifyAuditError`].
    pub async fn device(&self, id: &DeviceId) -> Result<VerifiedChains, VerifyAuditError> {
        let mut found = VerifiedChains::default();
        let device = self.fleet.find(Scope::Operator, id).await?.ok_or(VerifyAuditError::UnknownDevice)?;
        let anchor = self.anchor(id).await?;
        let check = self.check(&device, anchor.as_ref()).await?;
        self.judge(&device, anchor, check, &mut found).await?;
        Ok(found)
    }

    /// Counts a check in. One with faults is made again unless neither the device nor its anchor has changed since they
    /// were read.
    async fn judge(
        &self,
        device: &Device,
        mut anchor: Option<EventAnchor>,
        check: ChainCheck,
        found: &mut VerifiedChains,
    ) -> Result<(), VerifyAuditError> {
        let (mut version, mut reclaimed, mut outcome) = (device.version(), check.reclaimed(), check.finish());
        for _ in 0..MAX_ATTEMPTS {
            let still = outcome.1.is_empty() || {
                let now =
                    self.fleet.find(Scope::Operator, device.id()).await?.ok_or(VerifyAuditError::UnknownDevice)?;
                let anchor_now = self.anchor(device.id()).await?;
                let still = now.version() == version && anchor_now == anchor;
                if !still {
                    let check = self.check(&now, anchor_now.as_ref()).await?;
                    (version, reclaimed, outcome) = (now.version(), check.reclaimed(), check.finish());
                    anchor = anchor_now;
                }
                still
            };
            if still {
                let (unsealed, faults) = outcome;
                found.devices += 1;
                found.events += version;
                found.unsealed += unsealed;
                found.reclaimed += reclaimed;
                found.faults.extend(faults.into_iter().map(|fault| (device.id().clone(), fault)));
                return Ok(());
            }
        }
        Err(VerifyAuditError::Contended(device.id().clone()))
    }

    async fn anchor(&self, id: &DeviceId) -> Result<Option<EventAnchor>, StorageError> {
        Ok(self.events.anchors(id, id).await?.pop())
    }

    fn begin(&self, device: &Device, anchor: Option<&EventAnchor>) -> ChainCheck {
        let check = ChainCheck::of(device);
        match anchor {
            Some(anchor) => check.after(anchor, self.clock.as_ref().map(|clock| clock.now())),
            None => check,
        }
    }

    async fn check(&self, device: &Device, anchor: Option<&EventAnchor>) -> Result<ChainCheck, StorageError> {
        let mut check = self.begin(device, anchor);
        let mut reader = self.read(device.id().clone(), device.id().clone());
        while let Some(event) = reader.next().await? {
            check.see(&event);
        }
        Ok(check)
    }

    fn read(&self, first: DeviceId, through: DeviceId) -> Reader<'_> {
        let page = DeviceEventPage { after: (first, 0), through, limit: PAGE };
        Reader { events: &*self.events, page, waiting: Vec::new().into_iter(), dry: false }
    }
}

/// The events of some devices, a page at a time.
struct Reader<'a> {
    events: &'a dyn EventLog,
    page: DeviceEventPage,
    waiting: std::vec::IntoIter<DeviceEvent>,
    dry: bool,
}

impl Reader<'_> {
    async fn next(&mut self) -> Result<Option<DeviceEvent>, StorageError> {
        if self.waiting.len() == 0 && !self.dry {
            let events = self.events.events_by_device(&self.page).await?;
            self.dry = (events.len() as u64) < u64::from(self.page.limit);
            if let Some(last) = events.last() {
                self.page.after = (last.device_id.clone(), last.sequence);
            }
            self.waiting = events.into_iter();
        }
        Ok(self.waiting.next())
    }
}
