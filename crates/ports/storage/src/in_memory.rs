//! In-memory fake of the device store, the event log and the claim failure counter.

pub(crate) mod audit;
pub(crate) mod fleet;
pub(crate) mod imports;
pub(crate) mod pairing;
pub(crate) mod retention;
pub(crate) mod sessions;
pub(crate) mod tenancy;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pos_domain::audit::{AuditEvent, Checkpoint, CheckpointEntry};
use pos_domain::device::{
    ChainCheckpoint, Device, DeviceEvent, DeviceRecord, DeviceStatus, PairingCode, PastCode, TerminalInfo, Transition,
};
use pos_domain::pairing::RefusedClaim;
use pos_domain::shared::Claimant;
use pos_domain::shared::{
    AttemptCounts, AttemptLimit, AuditDecision, DeviceId, FailureWindow, MerchantId, Scope, UserId,
};
use time::OffsetDateTime;

use crate::audit::{AuditPosition, StoredAuditEvent};
use crate::device::{DeviceEventLog, DeviceEventPage, DeviceHistory, DeviceRepository, EventPosition};
use crate::in_memory::imports::ImportTables;
use crate::in_memory::pairing::ChangeCounts;
use crate::in_memory::tenancy::TenancyTables;
use crate::pairing::ClaimFailureRepository;
use crate::shared::{IdempotencyRecord, SaveError, SaveIdempotentError, StorageError, StorageHealth, TimeRange};

/// In-memory store with the conflict semantics of a real store: one lock is one transaction.
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
    /// Past codes, each with the sequence of the change that invalidated it.
    pub(crate) past_codes: Vec<(u64, PastCode)>,
    pub(crate) chain_checkpoints: BTreeMap<DeviceId, ChainCheckpoint>,
    pub(crate) merchant_failures: HashMap<MerchantId, FailureWindow>,
    pub(crate) user_failures: HashMap<UserId, FailureWindow>,
    pub(crate) audit: Vec<StoredAuditEvent>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Checkpoint entries, each with the sequence of its checkpoint.
    pub(crate) entries: Vec<(u64, CheckpointEntry)>,
    /// Number of the last audit event.
    last_audit_number: u64,
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

    pub(crate) fn insert_audit_event(&mut self, event: AuditEvent) {
        self.last_audit_number += 1;
        self.audit.push(StoredAuditEvent { number: self.last_audit_number, hash: Some(event.digest()), event });
    }

    pub(crate) fn last_checkpoint(&self) -> Checkpoint {
        self.checkpoints.last().copied().unwrap_or_else(|| Checkpoint::first(0, OffsetDateTime::UNIX_EPOCH))
    }

    fn attempt_counts(&self, claimant: &Claimant) -> AttemptCounts {
        AttemptCounts {
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
        let found = tables
            .with_code(code)
            .max_by_key(|(_, record)| (record.status == DeviceStatus::Inactive, record.claimed_at))
            .map(|(device, _)| device.clone());
        Ok(found)
    }

    async fn find_past_code(&self, code: PairingCode) -> Result<Option<PastCode>, StorageError> {
        let tables = self.tables();
        let past = tables.past_codes.iter().map(|(_, past)| past).filter(|past| past.code == code);
        Ok(past.max_by_key(|past| past.at).cloned())
    }

    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        self.save_in_scope(Scope::Operator, transition)
    }

    async fn save_idempotent(
        &self,
        transition: &Transition,
        idempotency: &IdempotencyRecord,
    ) -> Result<(), SaveIdempotentError> {
        self.save_with_key(transition, idempotency)
    }

    async fn update_terminal_info(&self, id: &DeviceId, terminal_info: &TerminalInfo) -> Result<(), StorageError> {
        let mut tables = self.tables();
        if let Some(device) = tables.devices.get_mut(id) {
            let record = DeviceRecord { last_seen: Some(terminal_info.clone()), ..device.record() };
            *device = Device::restore(record).map_err(|corrupt| StorageError::Fault(corrupt.into()))?;
        }
        Ok(())
    }
}

fn within(span: &TimeRange, at: OffsetDateTime) -> bool {
    span.since.is_none_or(|since| at >= since) && span.until.is_none_or(|until| at < until)
}

pub(crate) fn max_rows(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[async_trait]
impl DeviceEventLog for InMemoryStore {
    async fn events_of(&self, history: &DeviceHistory) -> Result<Vec<DeviceEvent>, StorageError> {
        let tenancy = self.tenancy();
        let tables = self.tables();
        let own = |event: &&DeviceEvent| {
            event.device_id == history.device_id
                && event.sequence > history.after
                && tenancy.sees(history.scope, event.merchant_id)
        };
        Ok(tables.events.iter().filter(own).take(max_rows(history.limit)).cloned().collect())
    }

    async fn events_by_device(&self, page: &DeviceEventPage) -> Result<Vec<DeviceEvent>, StorageError> {
        let tables = self.tables();
        let position = |event: &DeviceEvent| (event.device_id.clone(), event.sequence);
        let mut events: Vec<_> = tables
            .events
            .iter()
            .filter(|event| position(event) > page.after && event.device_id <= page.through)
            .cloned()
            .collect();
        events.sort_by_key(position);
        events.truncate(max_rows(page.limit));
        Ok(events)
    }

    async fn chain_checkpoints(&self, first: &DeviceId, last: &DeviceId) -> Result<Vec<ChainCheckpoint>, StorageError> {
        let in_range = |chain_checkpoint: &&ChainCheckpoint| (first..=last).contains(&&chain_checkpoint.device_id);
        Ok(self.tables().chain_checkpoints.values().filter(in_range).cloned().collect())
    }

    async fn events_by_time(
        &self,
        span: &TimeRange,
        after: Option<&EventPosition>,
    ) -> Result<Vec<DeviceEvent>, StorageError> {
        let tables = self.tables();
        let position = |event: &DeviceEvent| EventPosition {
            at: event.at,
            device_id: event.device_id.clone(),
            sequence: event.sequence,
        };
        let mut events: Vec<_> = tables
            .events
            .iter()
            .filter(|event| within(span, event.at) && after.is_none_or(|after| position(event) > *after))
            .filter(|event| span.device_id.as_ref().is_none_or(|id| event.device_id == *id))
            .cloned()
            .collect();
        events.sort_by_key(position);
        events.truncate(max_rows(span.limit));
        Ok(events)
    }
}

#[async_trait]
impl ClaimFailureRepository for InMemoryStore {
    async fn attempt_counts(&self, claimant: &Claimant) -> Result<AttemptCounts, StorageError> {
        Ok(self.tables().attempt_counts(claimant))
    }

    async fn record(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<AttemptCounts, StorageError> {
        let mut tables = self.tables();
        let (by, now) = (&refused.by, refused.at);
        let before = tables.attempt_counts(by);
        tables.merchant_failures.insert(by.merchant_id, limit.count(before.merchant, now));
        tables.user_failures.insert(by.user_id.clone(), limit.count(before.user, now));
        let counted = tables.attempt_counts(by);
        match limit.audit_decision(&counted) {
            AuditDecision::Record => tables.insert_audit_event(refused.event()),
            AuditDecision::RecordAsRateLimited => tables.insert_audit_event(refused.as_too_many().event()),
            AuditDecision::None => {}
        }
        Ok(counted)
    }

    async fn record_blocked(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<bool, StorageError> {
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
            tables.insert_audit_event(refused.as_too_many().event());
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
