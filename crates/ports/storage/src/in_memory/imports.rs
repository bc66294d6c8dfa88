//! In-memory fake of imports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;
use pos_domain::fleet::{ImportId, ImportMode, ImportedDevice, RowRefusal};
use pos_domain::shared::{DeviceId, IdempotencyKey, Scope};
use time::OffsetDateTime;

use crate::InMemoryStore;
use crate::fleet::{
    FinalizeError, Import, ImportRef, ImportRepository, ImportStaging, ImportState, NewImport, PendingRow, RowDecision,
    RowResult, StagedRow, UploadSummary,
};
use crate::in_memory::tenancy::TenancyTables;
use crate::in_memory::{Tables, max_rows};
use crate::shared::StorageError;

#[derive(Debug, Default)]
pub(crate) struct ImportTables(BTreeMap<ImportId, StoredImport>);

#[derive(Debug)]
struct StoredImport {
    new: NewImport,
    /// It is not found any more, and its rows are being deleted.
    discarded: bool,
    /// Set once the upload is finalized.
    uploaded: Option<(UploadSummary, ImportState)>,
    rows: BTreeMap<u64, StoredRow>,
    /// First row per device id.
    first: HashMap<DeviceId, u64>,
}

#[derive(Debug)]
struct StoredRow {
    staged: StagedRow,
    outcome: Option<Result<(), RowRefusal>>,
}

impl StoredImport {
    /// Removes up to `limit` rows and returns their number; from then on the import is not found.
    fn remove_rows(&mut self, limit: usize) -> usize {
        self.discarded = true;
        let mut removed = 0;
        while removed < limit && self.rows.pop_first().is_some() {
            removed += 1;
        }
        removed
    }

    fn after(&self, number: u64) -> impl Iterator<Item = (&u64, &StoredRow)> {
        self.rows.range((Bound::Excluded(number), Bound::Unbounded))
    }

    fn import(&self) -> Option<Import> {
        let (summary, state) = self.uploaded.as_ref()?;
        let NewImport { import, mode, audit_context, .. } = self.new.clone();
        Some(Import {
            import,
            mode,
            audit_context,
            fingerprint: summary.fingerprint,
            rows: summary.rows,
            state: *state,
        })
    }

    fn end(&mut self, ended: ImportState) -> Result<Import, StorageError> {
        if let Some((_, state)) = &mut self.uploaded {
            *state = ended;
        }
        self.import().ok_or_else(not_found)
    }
}

fn not_found() -> StorageError {
    StorageError::Fault("there is no such import in this state".into())
}

impl ImportTables {
    fn of(&self, import: &ImportRef) -> Option<&StoredImport> {
        self.0.get(&import.id).filter(|stored| stored.new.import.owner == import.owner && !stored.discarded)
    }

    fn of_mut(&mut self, import: &ImportRef) -> Option<&mut StoredImport> {
        self.0.get_mut(&import.id).filter(|stored| stored.new.import.owner == import.owner && !stored.discarded)
    }

    fn uploading(&mut self, import: &ImportRef) -> Result<&mut StoredImport, StorageError> {
        self.of_mut(import).filter(|stored| stored.uploaded.is_none()).ok_or_else(not_found)
    }

    fn uploaded(&mut self, import: &ImportRef) -> Result<&mut StoredImport, StorageError> {
        self.of_mut(import).filter(|stored| stored.uploaded.is_some()).ok_or_else(not_found)
    }

    fn by_key(&self, owner: Scope, key: &IdempotencyKey, now: OffsetDateTime) -> Option<Import> {
        let same = |stored: &&StoredImport| stored.new.import.owner == owner && stored.new.key.as_ref() == Some(key);
        let found = self
            .0
            .values()
            .filter(same)
            .find(|stored| !stored.discarded && stored.uploaded.is_some() && now < stored.new.expires_at);
        found.and_then(StoredImport::import)
    }

    fn expired(&self, now: OffsetDateTime) -> Vec<ImportId> {
        let is_expired = |stored: &StoredImport| stored.discarded || stored.new.expires_at <= now;
        self.0.iter().filter(|(_, stored)| is_expired(stored)).map(|(id, _)| *id).collect()
    }

    /// Removes up to `limit` rows of an import, and the import itself after its last row.
    fn remove(&mut self, id: ImportId, limit: usize) -> usize {
        let Some(stored) = self.0.get_mut(&id) else { return 0 };
        let rows = stored.remove_rows(limit);
        if rows == limit {
            return rows;
        }
        self.0.remove(&id);
        rows + 1
    }
}

/// Checks whether the store itself refuses to create a device.
fn check_creatable(
    tenancy: &TenancyTables,
    tables: &Tables,
    owner: Scope,
    device: &ImportedDevice,
) -> Result<(), RowRefusal> {
    if !tenancy.has_merchant(owner, device.merchant_id) {
        return Err(RowRefusal::UnknownMerchant);
    }
    if !tenancy.has_location(device.merchant_id, &device.details) {
        return Err(RowRefusal::UnknownLocation);
    }
    if tables.devices.contains_key(&device.id) { Err(RowRefusal::Taken) } else { Ok(()) }
}

impl InMemoryStore {
    fn imports(&self) -> MutexGuard<'_, ImportTables> {
        self.2.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes rows and imports that are expired, at most `limit`, and returns their number.
    pub(crate) fn remove_imports(&self, now: OffsetDateTime, limit: u32) -> u64 {
        let mut imports = self.imports();
        let mut removed = 0;
        for id in imports.expired(now) {
            if removed < max_rows(limit) {
                removed += imports.remove(id, max_rows(limit) - removed);
            }
        }
        removed as u64
    }

    /// Returns the number of expired rows and imports.
    pub(crate) fn count_imports(&self, now: OffsetDateTime) -> u64 {
        let imports = self.imports();
        imports.expired(now).iter().filter_map(|id| imports.0.get(id)).map(|stored| stored.rows.len() as u64 + 1).sum()
    }
}

#[async_trait]
impl ImportStaging for InMemoryStore {
    async fn find_by_key(
        &self,
        owner: Scope,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<Import>, StorageError> {
        Ok(self.imports().by_key(owner, key, now))
    }

    async fn open(&self, import: &NewImport) -> Result<(), StorageError> {
        let stored = StoredImport {
            new: import.clone(),
            discarded: false,
            uploaded: None,
            rows: BTreeMap::new(),
            first: HashMap::new(),
        };
        self.imports().0.insert(import.import.id, stored);
        Ok(())
    }

    async fn stage(
        &self,
        import: &ImportRef,
        rows: &[StagedRow],
        expires_at: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let mut imports = self.imports();
        let stored = imports.uploading(import)?;
        if rows.iter().any(|row| stored.rows.contains_key(&row.number)) {
            return Err(not_found());
        }
        stored.new.expires_at = stored.new.expires_at.max(expires_at);
        for staged in rows {
            if let Some(id) = staged.device_id() {
                let first = stored.first.entry(id.clone()).or_insert(staged.number);
                *first = staged.number.min(*first);
            }
            let outcome = staged.read.as_ref().err().map(|unread| Err(unread.refusal.clone()));
            stored.rows.insert(staged.number, StoredRow { staged: staged.clone(), outcome });
        }
        Ok(())
    }

    async fn finalize_upload(&self, import: &ImportRef, summary: &UploadSummary) -> Result<Import, FinalizeError> {
        let mut imports = self.imports();
        let key = imports.uploading(import)?.new.key.clone();
        if let Some(stored) = key.and_then(|key| imports.by_key(import.owner, &key, summary.at)) {
            return Err(FinalizeError::Kept(Box::new(stored)));
        }
        let stored = imports.uploading(import)?;
        if stored.new.expires_at <= summary.at || stored.rows.len() as u64 != summary.rows {
            return Err(not_found().into());
        }
        stored.new.expires_at = summary.expires_at;
        stored.uploaded = Some((summary.clone(), ImportState::Uploaded));
        Ok(stored.import().ok_or_else(not_found)?)
    }

    async fn extend(
        &self,
        import: &ImportRef,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<bool, StorageError> {
        let mut imports = self.imports();
        let Some(stored) = imports.uploaded(import).ok().filter(|stored| now < stored.new.expires_at) else {
            return Ok(false);
        };
        stored.new.expires_at = stored.new.expires_at.max(until);
        Ok(true)
    }

    async fn discard(&self, import: &ImportRef, limit: u32) -> Result<u64, StorageError> {
        let mut imports = self.imports();
        let its = |stored: &&StoredImport| stored.new.import.owner == import.owner && stored.uploaded.is_none();
        let found = imports.0.get(&import.id).filter(its).is_some();
        Ok(if found { imports.remove(import.id, max_rows(limit)) as u64 } else { 0 })
    }

    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError> {
        Ok(self.remove_imports(now, limit))
    }
}

#[async_trait]
impl ImportRepository for InMemoryStore {
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError> {
        Ok(self.imports().of(import).and_then(StoredImport::import))
    }

    async fn pending_rows(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<PendingRow>, StorageError> {
        let tables = self.tables();
        let imports = self.imports();
        let Some(stored) = imports.of(import).filter(|stored| stored.uploaded.is_some()) else { return Ok(Vec::new()) };
        let pending_rows = stored.after(after).filter(|(_, row)| row.outcome.is_none());
        let rows = pending_rows.filter_map(|(number, row)| {
            let device = row.staged.read.clone().ok()?;
            let earlier = stored.first.get(&device.id).copied().filter(|first| first < number);
            let taken = tables.devices.contains_key(&device.id);
            Some(PendingRow { number: *number, device, earlier, taken })
        });
        Ok(rows.take(max_rows(limit)).collect())
    }

    async fn apply_decisions(&self, import: &ImportRef, decisions: &[RowDecision]) -> Result<(), StorageError> {
        let known = |decision: &RowDecision| decision.decision.as_ref().is_ok_and(|new| new.expected_version() != 0);
        if decisions.iter().any(known) {
            return Err(StorageError::Fault("a device is not new".into()));
        }
        let tenancy = self.tenancy();
        let mut tables = self.tables();
        let mut imports = self.imports();
        let stored = imports.uploaded(import)?;
        if stored.uploaded.as_ref().is_none_or(|(_, state)| *state != ImportState::Uploaded) {
            return Ok(());
        }
        for RowDecision { number, decision } in decisions {
            let Some(row) = stored.rows.get_mut(number).filter(|row| row.outcome.is_none()) else { continue };
            let created = decision.clone().and_then(|new| {
                let device = new.device();
                let asked = ImportedDevice {
                    id: device.id().clone(),
                    merchant_id: device.merchant_id(),
                    details: device.details().clone(),
                };
                check_creatable(&tenancy, &tables, import.owner, &asked)?;
                tables.events.push(new.event().clone());
                tables.devices.insert(asked.id, device.clone());
                Ok(())
            });
            row.outcome = Some(created);
        }
        Ok(())
    }

    async fn complete(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Import, StorageError> {
        let tenancy = self.tenancy();
        let mut tables = self.tables();
        let mut imports = self.imports();
        let stored = imports.uploaded(import)?;
        if stored.uploaded.as_ref().is_none_or(|(_, state)| *state != ImportState::Uploaded) {
            return stored.import().ok_or_else(not_found);
        }
        if stored.new.mode == ImportMode::BestEffort && stored.rows.values().any(|row| row.outcome.is_none()) {
            return Err(StorageError::Unavailable("rows of the import are pending".into()));
        }
        if stored.new.mode == ImportMode::AllOrNothing {
            let mut seen = BTreeSet::new();
            for row in stored.rows.values_mut().filter(|row| row.outcome.is_none()) {
                if let Ok(device) = &row.staged.read {
                    let first = if seen.insert(device.id.clone()) { Ok(()) } else { Err(RowRefusal::Taken) };
                    row.outcome = check_creatable(&tenancy, &tables, import.owner, device).and(first).err().map(Err);
                }
            }
            let refused = stored.rows.iter().find(|(_, row)| matches!(row.outcome, Some(Err(_))));
            if let Some(row) = refused.map(|(number, _)| *number) {
                return stored.end(ImportState::Refused { row });
            }
            for row in stored.rows.values_mut().filter(|row| row.outcome.is_none()) {
                if let Ok(device) = row.staged.read.clone() {
                    let new = device.provision(stored.new.audit_context.clone(), now);
                    tables.events.push(new.event().clone());
                    tables.devices.insert(new.device().id().clone(), new.into_device());
                    row.outcome = Some(Ok(()));
                }
            }
        }
        stored.end(ImportState::Applied)
    }

    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError> {
        let imports = self.imports();
        let uploaded = imports.of(import).and_then(|stored| Some((stored, stored.uploaded.as_ref()?)));
        let Some((stored, (_, state))) = uploaded else { return Ok(Vec::new()) };
        let rows = stored.after(after).take(max_rows(limit));
        let results = rows.map(|(number, row)| {
            let outcome = match (&row.outcome, state) {
                (Some(outcome), _) => outcome.clone(),
                (None, ImportState::Refused { row }) => Err(RowRefusal::NotImported { because_of: *row }),
                (None, ImportState::Uploaded | ImportState::Applied) => return Err(not_found()),
            };
            Ok(RowResult { number: *number, device_id: row.staged.device_id().cloned(), outcome })
        });
        results.collect()
    }
}
