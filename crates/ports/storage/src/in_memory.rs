//! The fake: a small store that tells the truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pos_domain::{
    ClaimLimit, ClaimStanding, Claimant, Device, DeviceEvent, DeviceId, DeviceRecord, DeviceStatus, EndedCode,
    FailureWindow, MerchantId, PairingCode, Sighting, Transition, UserId,
};
use time::OffsetDateTime;

use crate::in_memory_tenancy::TenancyTables;
use crate::{ClaimFailureRepository, DevicePage, DeviceRepository, EventLog, SaveError, StorageError, StorageHealth};

/// Keeps everything in this process, with the conflict semantics of a real store: one lock is one transaction.
#[derive(Debug, Default)]
pub struct InMemoryStore(Mutex<Tables>, pub(crate) Mutex<TenancyTables>);

#[derive(Debug, Default)]
struct Tables {
    devices: BTreeMap<DeviceId, Device>,
    events: Vec<DeviceEvent>,
    ended_codes: Vec<EndedCode>,
    merchant_failures: HashMap<MerchantId, FailureWindow>,
    user_failures: HashMap<UserId, FailureWindow>,
}

impl InMemoryStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn with_code(&self, code: PairingCode) -> impl Iterator<Item = (&Device, DeviceRecord)> {
        self.devices
            .values()
            .map(|device| (device, device.record()))
            .filter(move |(_, record)| record.pairing_code == Some(code))
    }

    fn code_is_taken(&self, by: &Device) -> bool {
        let record = by.record();
        record.status == DeviceStatus::Inactive
            && record.pairing_code.is_some_and(|code| {
                self.with_code(code)
                    .any(|(device, other)| device.id() != by.id() && other.status == DeviceStatus::Inactive)
            })
    }

    fn standing(&self, claimant: &Claimant) -> ClaimStanding {
        ClaimStanding {
            merchant: self.merchant_failures.get(&claimant.merchant_id).copied(),
            user: self.user_failures.get(&claimant.user_id).copied(),
        }
    }
}

#[async_trait]
impl DeviceRepository for InMemoryStore {
    async fn add(&self, devices: &[Transition]) -> Result<Vec<DeviceId>, StorageError> {
        if let Some(known) = devices.iter().find(|transition| transition.expected_version() != 0) {
            return Err(StorageError::Fault(format!("device {} is not new", known.device().id()).into()));
        }
        let mut tables = self.tables();
        let mut taken = Vec::new();
        for transition in devices {
            let device = transition.device();
            if tables.devices.contains_key(device.id()) {
                taken.push(device.id().clone());
                continue;
            }
            tables.devices.insert(device.id().clone(), device.clone());
            tables.events.push(transition.event().clone());
        }
        Ok(taken)
    }

    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        Ok(self.tables().devices.get(id).cloned())
    }

    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        let tables = self.tables();
        let best = tables
            .with_code(code)
            .max_by_key(|(_, record)| (record.status == DeviceStatus::Inactive, record.claimed_at))
            .map(|(device, _)| device.clone());
        Ok(best)
    }

    async fn find_ended_code(&self, code: PairingCode) -> Result<Option<EndedCode>, StorageError> {
        let tables = self.tables();
        Ok(tables.ended_codes.iter().filter(|ended| ended.code == code).max_by_key(|ended| ended.at).cloned())
    }

    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        let mut tables = self.tables();
        let device = transition.device();
        let stored = tables.devices.get(device.id()).ok_or(SaveError::Conflict)?;
        if stored.version() != transition.expected_version() {
            return Err(SaveError::Conflict);
        }
        if tables.code_is_taken(device) {
            return Err(SaveError::CodeTaken);
        }
        let record = DeviceRecord { last_seen: stored.last_seen().cloned(), ..device.record() };
        let kept = Device::restore(record).map_err(|corrupt| StorageError::Fault(corrupt.into()))?;
        tables.devices.insert(kept.id().clone(), kept);
        tables.events.push(transition.event().clone());
        tables.ended_codes.extend(transition.ended_code().cloned());
        Ok(())
    }

    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError> {
        let mut tables = self.tables();
        if let Some(device) = tables.devices.get_mut(id) {
            let record = DeviceRecord { last_seen: Some(sighting.clone()), ..device.record() };
            *device = Device::restore(record).map_err(|corrupt| StorageError::Fault(corrupt.into()))?;
        }
        Ok(())
    }

    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError> {
        let tables = self.tables();
        let after = |device: &&Device| page.after.as_ref().is_none_or(|after| device.id() > after);
        let theirs = |device: &&Device| page.merchant_id.is_none_or(|merchant| device.merchant_id() == merchant);
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        Ok(tables.devices.values().filter(after).filter(theirs).take(limit).cloned().collect())
    }
}

#[async_trait]
impl EventLog for InMemoryStore {
    async fn events_of(&self, id: &DeviceId) -> Result<Vec<DeviceEvent>, StorageError> {
        Ok(self.tables().events.iter().filter(|event| event.device_id == *id).cloned().collect())
    }
}

#[async_trait]
impl ClaimFailureRepository for InMemoryStore {
    async fn standing(&self, claimant: &Claimant) -> Result<ClaimStanding, StorageError> {
        Ok(self.tables().standing(claimant))
    }

    async fn record(
        &self,
        claimant: &Claimant,
        limit: &ClaimLimit,
        now: OffsetDateTime,
    ) -> Result<ClaimStanding, StorageError> {
        let mut tables = self.tables();
        let before = tables.standing(claimant);
        tables.merchant_failures.insert(claimant.merchant_id, limit.count(before.merchant, now));
        tables.user_failures.insert(claimant.user_id.clone(), limit.count(before.user, now));
        Ok(tables.standing(claimant))
    }
}

#[async_trait]
impl StorageHealth for InMemoryStore {
    async fn ping(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
