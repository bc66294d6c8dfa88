//! The fake: a small store that tells the truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pos_domain::{
    AuditEvent, Checkpoint, ClaimLimit, ClaimStanding, Claimant, Device, DeviceEvent, DeviceId, DeviceRecord,
    DeviceStatus, EndedCode, EventAnchor, FailureWindow, MerchantId, PairingCode, RefusalRecord, RefusedClaim, Scope,
    Seal, Sighting, Subject, Transition, UserId,
};
use time::OffsetDateTime;

use crate::in_memory_changes::ChangeCounts;
use crate::in_memory_imports::ImportTables;
use crate::in_memory_tenancy::TenancyTables;
use crate::{
    AuditMark, ClaimFailureRepository, DeviceEventPage, DeviceRepository, EventLog, EventMark, History, KeptAuditEvent,
    Once, SaveError, SaveOnceError, Span, StorageError, StorageHealth,
};

/// Keeps everything in this process, with the conflict semantics of a real store: one lock is one transaction.
#[derive(Debug, Default)]
pub struct InMemoryStore(
    Mutex<Tables>,
    pub(crate) Mutex<TenancyTables>,
    pub(crate) Mutex<ImportTables>,
    pub(crate) ChangeCounts,
);

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) events: Vec<DeviceEvent>,
    /// Each with the sequence of the change that ended it.
    pub(crate) ended_codes: Vec<(u64, EndedCode)>,
    pub(crate) anchors: BTreeMap<DeviceId, EventAnchor>,
    pub(crate) merchant_failures: HashMap<MerchantId, FailureWindow>,
    pub(crate) user_failures: HashMap<UserId, FailureWindow>,
    pub(crate) audit: Vec<KeptAuditEvent>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Each with its checkpoint.
    pub(crate) seals: Vec<(u64, Seal)>,
    /// How many things were ever put on record.
    told: u64,
}

impl InMemoryStore {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
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

    pub(crate) fn code_is_taken(&self, by: &Device) -> bool {
        let record = by.record();
        record.status == DeviceStatus::Inactive
            && record.pairing_code.is_some_and(|code| {
                self.with_code(code)
                    .any(|(device, other)| device.id() != by.id() && other.status == DeviceStatus::Inactive)
            })
    }

    pub(crate) fn tell(&mut self, event: AuditEvent) {
        self.told += 1;
        self.audit.push(KeptAuditEvent { number: self.told, hash: Some(event.digest()), event });
    }

    pub(crate) fn last_checkpoint(&self) -> Checkpoint {
        self.checkpoints.last().copied().unwrap_or_else(|| Checkpoint::first(0, OffsetDateTime::UNIX_EPOCH))
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
        let ends = tables.ended_codes.iter().map(|(_, ended)| ended).filter(|ended| ended.code == code);
        Ok(ends.max_by_key(|ended| ended.at).cloned())
    }

    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        self.keep(Scope::Operator, transition)
    }

    async fn save_once(&self, transition: &Transition, once: &Once) -> Result<(), SaveOnceError> {
        self.keep_once(transition, once)
    }

    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError> {
        let mut tables = self.tables();
        if let Some(device) = tables.devices.get_mut(id) {
            let record = DeviceRecord { last_seen: Some(sighting.clone()), ..device.record() };
            *device = Device::restore(record).map_err(|corrupt| StorageError::Fault(corrupt.into()))?;
        }
        Ok(())
    }
}

fn within(span: &Span, at: OffsetDateTime) -> bool {
    span.since.is_none_or(|since| at >= since) && span.until.is_none_or(|until| at < until)
}

pub(crate) fn most(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[async_trait]
impl EventLog for InMemoryStore {
    async fn events_of(&self, history: &History) -> Result<Vec<DeviceEvent>, StorageError> {
        let tenancy = self.tenancy();
        let tables = self.tables();
        let own = |event: &&DeviceEvent| {
            event.device_id == history.device_id
                && event.sequence > history.after
                && tenancy.sees(history.scope, event.merchant_id)
        };
        Ok(tables.events.iter().filter(own).take(most(history.limit)).cloned().collect())
    }

    async fn events_by_device(&self, page: &DeviceEventPage) -> Result<Vec<DeviceEvent>, StorageError> {
        let tables = self.tables();
        let place = |event: &DeviceEvent| (event.device_id.clone(), event.sequence);
        let mut events: Vec<_> = tables
            .events
            .iter()
            .filter(|event| place(event) > page.after && event.device_id <= page.through)
            .cloned()
            .collect();
        events.sort_by_key(place);
        events.truncate(most(page.limit));
        Ok(events)
    }

    async fn anchors(&self, first: &DeviceId, last: &DeviceId) -> Result<Vec<EventAnchor>, StorageError> {
        let kept = |anchor: &&EventAnchor| (first..=last).contains(&&anchor.device_id);
        Ok(self.tables().anchors.values().filter(kept).cloned().collect())
    }

    async fn events_by_time(&self, span: &Span, after: Option<&EventMark>) -> Result<Vec<DeviceEvent>, StorageError> {
        let tables = self.tables();
        let mark = |event: &DeviceEvent| EventMark {
            at: event.at,
            device_id: event.device_id.clone(),
            sequence: event.sequence,
        };
        let mut events: Vec<_> = tables
            .events
            .iter()
            .filter(|event| within(span, event.at) && after.is_none_or(|after| mark(event) > *after))
            .filter(|event| span.device_id.as_ref().is_none_or(|id| event.device_id == *id))
            .cloned()
            .collect();
        events.sort_by_key(mark);
        events.truncate(most(span.limit));
        Ok(events)
    }

    async fn audit_by_time(&self, span: &Span, after: Option<AuditMark>) -> Result<Vec<KeptAuditEvent>, StorageError> {
        let tables = self.tables();
        let mark = |kept: &KeptAuditEvent| AuditMark { at: kept.event.at, number: kept.number };
        let wanted = span.device_id.clone().map(Subject::Device);
        let mut events: Vec<_> = tables
            .audit
            .iter()
            .filter(|kept| within(span, kept.event.at) && after.is_none_or(|after| mark(kept) > after))
            .filter(|kept| wanted.is_none() || kept.event.subject == wanted)
            .cloned()
            .collect();
        events.sort_by_key(mark);
        events.truncate(most(span.limit));
        Ok(events)
    }
}

#[async_trait]
impl ClaimFailureRepository for InMemoryStore {
    async fn standing(&self, claimant: &Claimant) -> Result<ClaimStanding, StorageError> {
        Ok(self.tables().standing(claimant))
    }

    async fn record(&self, refused: &RefusedClaim, limit: &ClaimLimit) -> Result<ClaimStanding, StorageError> {
        let mut tables = self.tables();
        let (by, now) = (&refused.by, refused.at);
        let before = tables.standing(by);
        tables.merchant_failures.insert(by.merchant_id, limit.count(before.merchant, now));
        tables.user_failures.insert(by.user_id.clone(), limit.count(before.user, now));
        let counted = tables.standing(by);
        match limit.record_of(&counted) {
            RefusalRecord::AsItIs => tables.tell(refused.event()),
            RefusalRecord::AsTooMany => tables.tell(refused.as_too_many().event()),
            RefusalRecord::None => {}
        }
        Ok(counted)
    }

    async fn record_blocked(&self, refused: &RefusedClaim, limit: &ClaimLimit) -> Result<bool, StorageError> {
        let mut tables = self.tables();
        let Claimant { merchant_id: merchant, user_id: user } = &refused.by;
        let Tables { merchant_failures, user_failures, .. } = &mut *tables;
        let windows = [merchant_failures.get_mut(merchant), user_failures.get_mut(user)];
        let mut first = false;
        for window in windows.into_iter().flatten().filter(|window| limit.is_just_full(window, refused.at)) {
            window.failures = window.failures.saturating_add(1);
            first = true;
        }
        if first {
            tables.tell(refused.as_too_many().event());
        }
        Ok(first)
    }
}

#[async_trait]
impl StorageHealth for InMemoryStore {
    async fn ping(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
