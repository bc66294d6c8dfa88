//! The fake's part for imports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;
use pos_domain::{DeviceId, IdempotencyKey, ImportId, ImportMode, ImportedDevice, RowRefusal, Scope};
use time::OffsetDateTime;

use crate::in_memory::{Tables, most};
use crate::in_memory_tenancy::TenancyTables;
use crate::{
    Import, ImportRef, ImportRepository, ImportStaging, ImportState, InMemoryStore, NewImport, RowResult, RowVerdict,
    Seal, SealError, StagedRow, StorageError, UndecidedRow,
};

#[derive(Debug, Default)]
pub(crate) struct ImportTables(BTreeMap<ImportId, KeptImport>);

#[derive(Debug)]
struct KeptImport {
    new: NewImport,
    /// Nobody finds it any more, and its rows go.
    forgotten: bool,
    /// There once it is sealed.
    sealed: Option<(Seal, ImportState)>,
    rows: BTreeMap<u64, KeptRow>,
    /// The first row that names a device.
    first: HashMap<DeviceId, u64>,
}

#[derive(Debug)]
struct KeptRow {
    staged: StagedRow,
    outcome: Option<Result<(), RowRefusal>>,
}

impl KeptImport {
    /// Removes rows, and the import after its last; answers how many went.
    fn removed(&mut self, limit: usize) -> usize {
        self.forgotten = true;
        let mut removed = 0;
        while removed < limit && self.rows.pop_first().is_some() {
            removed += 1;
        }
        removed
    }

    fn after(&self, number: u64) -> impl Iterator<Item = (&u64, &KeptRow)> {
        self.rows.range((Bound::Excluded(number), Bound::Unbounded))
    }

    fn import(&self) -> Option<Import> {
        let (seal, state) = self.sealed.as_ref()?;
        let NewImport { import, mode, act, .. } = self.new.clone();
        Some(Import { import, mode, act, fingerprint: seal.fingerprint, rows: seal.rows, state: *state })
    }

    fn end(&mut self, ended: ImportState) -> Result<Import, StorageError> {
        if let Some((_, state)) = &mut self.sealed {
            *state = ended;
        }
        self.import().ok_or_else(not_there)
    }
}

fn not_there() -> StorageError {
    StorageError::Fault("there is no such import in this state".into())
}

impl ImportTables {
    fn of(&self, import: &ImportRef) -> Option<&KeptImport> {
        self.0.get(&import.id).filter(|kept| kept.new.import.owner == import.owner && !kept.forgotten)
    }

    fn uploading(&mut self, import: &ImportRef) -> Result<&mut KeptImport, StorageError> {
        let kept = self.0.get_mut(&import.id).filter(|kept| kept.new.import.owner == import.owner && !kept.forgotten);
        kept.filter(|kept| kept.sealed.is_none()).ok_or_else(not_there)
    }

    fn sealed(&mut self, import: &ImportRef) -> Result<&mut KeptImport, StorageError> {
        let kept = self.0.get_mut(&import.id).filter(|kept| kept.new.import.owner == import.owner && !kept.forgotten);
        kept.filter(|kept| kept.sealed.is_some()).ok_or_else(not_there)
    }

    fn by_key(&self, owner: Scope, key: &IdempotencyKey, now: OffsetDateTime) -> Option<Import> {
        let same = |kept: &&KeptImport| kept.new.import.owner == owner && kept.new.key.as_ref() == Some(key);
        let found = self
            .0
            .values()
            .filter(same)
            .find(|kept| !kept.forgotten && kept.sealed.is_some() && now < kept.new.keep_until);
        found.and_then(KeptImport::import)
    }

    fn over(&self, now: OffsetDateTime) -> Vec<ImportId> {
        let is_over = |kept: &KeptImport| kept.forgotten || kept.new.keep_until <= now;
        self.0.iter().filter(|(_, kept)| is_over(kept)).map(|(id, _)| *id).collect()
    }

    /// Removes at most so much of an import, the import itself after its last row.
    fn remove(&mut self, id: ImportId, limit: usize) -> usize {
        let Some(kept) = self.0.get_mut(&id) else { return 0 };
        let rows = kept.removed(limit);
        if rows == limit {
            return rows;
        }
        self.0.remove(&id);
        rows + 1
    }
}

/// Why the store itself does not create a device.
fn refused(tenancy: &TenancyTables, tables: &Tables, owner: Scope, device: &ImportedDevice) -> Result<(), RowRefusal> {
    if !tenancy.has_merchant(owner, device.merchant_id) {
        return Err(RowRefusal::UnknownMerchant);
    }
    if !tenancy.has_place(device.merchant_id, &device.details) {
        return Err(RowRefusal::UnknownLocation);
    }
    if tables.devices.contains_key(&device.id) { Err(RowRefusal::Taken) } else { Ok(()) }
}

impl InMemoryStore {
    fn imports(&self) -> MutexGuard<'_, ImportTables> {
        self.2.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes rows and imports whose time is over, at most so many; answers how many.
    pub(crate) fn remove_imports(&self, now: OffsetDateTime, limit: u32) -> u64 {
        let mut imports = self.imports();
        let mut removed = 0;
        for id in imports.over(now) {
            if removed < most(limit) {
                removed += imports.remove(id, most(limit) - removed);
            }
        }
        removed as u64
    }

    /// How many rows and imports there are whose time is over.
    pub(crate) fn count_imports(&self, now: OffsetDateTime) -> u64 {
        let imports = self.imports();
        imports.over(now).iter().filter_map(|id| imports.0.get(id)).map(|kept| kept.rows.len() as u64 + 1).sum()
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
        let kept = KeptImport {
            new: import.clone(),
            forgotten: false,
            sealed: None,
            rows: BTreeMap::new(),
            first: HashMap::new(),
        };
        self.imports().0.insert(import.import.id, kept);
        Ok(())
    }

    async fn stage(
        &self,
        import: &ImportRef,
        rows: &[StagedRow],
        keep_until: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let mut imports = self.imports();
        let kept = imports.uploading(import)?;
        if rows.iter().any(|row| kept.rows.contains_key(&row.number)) {
            return Err(not_there());
        }
        kept.new.keep_until = kept.new.keep_until.max(keep_until);
        for staged in rows {
            if let Some(id) = staged.device_id() {
                let first = kept.first.entry(id.clone()).or_insert(staged.number);
                *first = staged.number.min(*first);
            }
            let outcome = staged.read.as_ref().err().map(|unread| Err(unread.refusal.clone()));
            kept.rows.insert(staged.number, KeptRow { staged: staged.clone(), outcome });
        }
        Ok(())
    }

    async fn seal(&self, import: &ImportRef, seal: &Seal) -> Result<Import, SealError> {
        let mut imports = self.imports();
        let key = imports.uploading(import)?.new.key.clone();
        if let Some(kept) = key.and_then(|key| imports.by_key(import.owner, &key, seal.at)) {
            return Err(SealError::Kept(Box::new(kept)));
        }
        let kept = imports.uploading(import)?;
        if kept.new.keep_until <= seal.at || kept.rows.len() as u64 != seal.rows {
            return Err(not_there().into());
        }
        kept.new.keep_until = seal.keep_until;
        kept.sealed = Some((seal.clone(), ImportState::Sealed));
        Ok(kept.import().ok_or_else(not_there)?)
    }

    async fn keep(&self, import: &ImportRef, now: OffsetDateTime, until: OffsetDateTime) -> Result<bool, StorageError> {
        let mut imports = self.imports();
        let Some(kept) = imports.sealed(import).ok().filter(|kept| now < kept.new.keep_until) else {
            return Ok(false);
        };
        kept.new.keep_until = kept.new.keep_until.max(until);
        Ok(true)
    }

    async fn discard(&self, import: &ImportRef, limit: u32) -> Result<u64, StorageError> {
        let mut imports = self.imports();
        let its = |kept: &&KeptImport| kept.new.import.owner == import.owner && kept.sealed.is_none();
        let found = imports.0.get(&import.id).filter(its).is_some();
        Ok(if found { imports.remove(import.id, most(limit)) as u64 } else { 0 })
    }

    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError> {
        Ok(self.remove_imports(now, limit))
    }
}

#[async_trait]
impl ImportRepository for InMemoryStore {
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError> {
        Ok(self.imports().of(import).and_then(KeptImport::import))
    }

    async fn undecided(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<UndecidedRow>, StorageError> {
        let tables = self.tables();
        let imports = self.imports();
        let Some(kept) = imports.of(import).filter(|kept| kept.sealed.is_some()) else { return Ok(Vec::new()) };
        let undecided = kept.after(after).filter(|(_, row)| row.outcome.is_none());
        let rows = undecided.filter_map(|(number, row)| {
            let device = row.staged.read.clone().ok()?;
            let earlier = kept.first.get(&device.id).copied().filter(|first| first < number);
            let taken = tables.devices.contains_key(&device.id);
            Some(UndecidedRow { number: *number, device, earlier, taken })
        });
        Ok(rows.take(most(limit)).collect())
    }

    async fn decide(&self, import: &ImportRef, verdicts: &[RowVerdict]) -> Result<(), StorageError> {
        let known = |verdict: &RowVerdict| verdict.verdict.as_ref().is_ok_and(|new| new.expected_version() != 0);
        if verdicts.iter().any(known) {
            return Err(StorageError::Fault("a device is not new".into()));
        }
        let tenancy = self.tenancy();
        let mut tables = self.tables();
        let mut imports = self.imports();
        let kept = imports.sealed(import)?;
        if kept.sealed.as_ref().is_none_or(|(_, state)| *state != ImportState::Sealed) {
            return Ok(());
        }
        for RowVerdict { number, verdict } in verdicts {
            let Some(row) = kept.rows.get_mut(number).filter(|row| row.outcome.is_none()) else { continue };
            let created = verdict.clone().and_then(|new| {
                let device = new.device();
                let asked = ImportedDevice {
                    id: device.id().clone(),
                    merchant_id: device.merchant_id(),
                    details: device.details().clone(),
                };
                refused(&tenancy, &tables, import.owner, &asked)?;
                tables.events.push(new.event().clone());
                tables.devices.insert(asked.id, device.clone());
                Ok(())
            });
            row.outcome = Some(created);
        }
        Ok(())
    }

    async fn conclude(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Import, StorageError> {
        let tenancy = self.tenancy();
        let mut tables = self.tables();
        let mut imports = self.imports();
        let kept = imports.sealed(import)?;
        if kept.sealed.as_ref().is_none_or(|(_, state)| *state != ImportState::Sealed) {
            return kept.import().ok_or_else(not_there);
        }
        if kept.new.mode == ImportMode::BestEffort && kept.rows.values().any(|row| row.outcome.is_none()) {
            return Err(StorageError::Unavailable("rows of the import are undecided".into()));
        }
        if kept.new.mode == ImportMode::AllOrNothing {
            let mut seen = BTreeSet::new();
            for row in kept.rows.values_mut().filter(|row| row.outcome.is_none()) {
                if let Ok(device) = &row.staged.read {
                    let again = if seen.insert(device.id.clone()) { Ok(()) } else { Err(RowRefusal::Taken) };
                    row.outcome = refused(&tenancy, &tables, import.owner, device).and(again).err().map(Err);
                }
            }
            let refused = kept.rows.iter().find(|(_, row)| matches!(row.outcome, Some(Err(_))));
            if let Some(row) = refused.map(|(number, _)| *number) {
                return kept.end(ImportState::Refused { row });
            }
            for row in kept.rows.values_mut().filter(|row| row.outcome.is_none()) {
                if let Ok(device) = row.staged.read.clone() {
                    let new = device.provision(kept.new.act.clone(), now);
                    tables.events.push(new.event().clone());
                    tables.devices.insert(new.device().id().clone(), new.into_device());
                    row.outcome = Some(Ok(()));
                }
            }
        }
        kept.end(ImportState::Applied)
    }

    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError> {
        let imports = self.imports();
        let Some((kept, (_, state))) = imports.of(import).and_then(|kept| Some((kept, kept.sealed.as_ref()?))) else {
            return Ok(Vec::new());
        };
        let rows = kept.after(after).take(most(limit));
        let results = rows.map(|(number, row)| {
            let outcome = match (&row.outcome, state) {
                (Some(outcome), _) => outcome.clone(),
                (None, ImportState::Refused { row }) => Err(RowRefusal::NotImported { because_of: *row }),
                (None, ImportState::Sealed | ImportState::Applied) => return Err(not_there()),
            };
            Ok(RowResult { number: *number, device_id: row.staged.device_id().cloned(), outcome })
        });
        results.collect()
    }
}
