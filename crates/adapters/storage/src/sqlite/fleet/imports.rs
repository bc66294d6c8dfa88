//! Import repository in SQLite: decisions about uploaded rows, completion and results.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::result::Error;
use pos_domain::fleet::ImportMode;
use pos_domain::shared::{LocationId, MerchantId};
use pos_port_storage::fleet::{Import, ImportRef, ImportRepository, ImportState, PendingRow, RowDecision, RowResult};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::rows::imports::{
    APPLIED, DISCARDED, ImportRow, ImportRowRecord, NewRows, PAGE, PROVISIONED, REFUSED, RefusedRows, UPLOADING,
    check_row_counts, import_columns, merchant_and_location, owner_text, provision_rows, split_by_location,
    split_decisions, split_repeated, split_taken, to_pending_rows,
};
use crate::rows::reader::signed;
use crate::sqlite::fleet::devices::{has_location, insert_device};
use crate::sqlite::schema;
use crate::sqlite::schema::{devices, import_rows, imports};
use crate::sqlite::shared::visibility::is_merchant_visible;
use crate::sqlite::store::SqliteStore;

/// Why the completion of an import is rolled back.
enum Rollback {
    /// These rows are refused, so no row is imported.
    Refused(RefusedRows),
    Failed(EngineError),
}

impl From<Error> for Rollback {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<EngineError> for Rollback {
    fn from(failure: EngineError) -> Self {
        Self::Failed(failure)
    }
}

pub(crate) fn find_import(
    connection: &mut SqliteConnection,
    import: &ImportRef,
) -> Result<Option<Import>, EngineError> {
    let row: Option<ImportRow<String>> = imports::table
        .filter(imports::import_id.eq(import.id.to_string()).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.ne_all([UPLOADING, DISCARDED]))
        .select(import_columns!())
        .first(connection)
        .optional()?;
    Ok(row.map(ImportRow::import).transpose()?)
}

fn unknown_import(import: &ImportRef) -> EngineError {
    EngineError::fault(format!("there is no import {}", import.id))
}

fn load_pending_rows(
    connection: &mut SqliteConnection,
    import: &ImportRef,
    after: u64,
    limit: u32,
) -> Result<Vec<PendingRow>, EngineError> {
    use import_rows::dsl;
    if find_import(connection, import)?.is_none() {
        return Ok(Vec::new());
    }
    let id = import.id.to_string();
    let rows: Vec<ImportRowRecord<String>> = dsl::import_rows
        .filter(dsl::import_id.eq(&id).and(dsl::row_number.gt(signed(after))).and(dsl::outcome.is_null()))
        .order(dsl::row_number)
        .limit(limit.into())
        .load(connection)?;
    let (mut first, mut known) = (Vec::new(), Vec::new());
    // One id at a time with the same cached statement: each list length would be another statement.
    for device in rows.iter().filter_map(|row| row.device_id.as_deref()) {
        let same = dsl::import_rows.filter(dsl::import_id.eq(&id).and(dsl::device_id.eq(device)));
        let number = same.select(diesel::dsl::min(dsl::row_number)).first(connection)?;
        first.push((Some(device.to_owned()), number));
        if select(exists(devices::table.find(device))).get_result(connection)? {
            known.push(device.to_owned());
        }
    }
    Ok(to_pending_rows(rows, first, known)?)
}

/// The pending rows among the decided ones.
fn pending_numbers(
    connection: &mut SqliteConnection,
    import: &ImportRef,
    decisions: &[RowDecision],
) -> Result<HashSet<i64>, EngineError> {
    use import_rows::dsl;
    let is_uploaded = find_import(connection, import)?.is_some_and(|found| found.state == ImportState::Uploaded);
    let numbers = || decisions.iter().map(|decision| signed(decision.number));
    let (Some(first), Some(last), true) = (numbers().min(), numbers().max(), is_uploaded) else {
        return Ok(HashSet::new());
    };
    let pending = dsl::import_rows
        .filter(dsl::import_id.eq(import.id.to_string()).and(dsl::row_number.between(first, last)))
        .filter(dsl::outcome.is_null())
        .select(dsl::row_number)
        .load::<i64>(connection)?;
    Ok(pending.into_iter().collect())
}

/// Creates the devices of valid rows. Returns the numbers of created rows, and the refused rows.
fn create_devices(
    connection: &mut SqliteConnection,
    import: &ImportRef,
    new: NewRows,
) -> Result<(Vec<i64>, RefusedRows), EngineError> {
    let pairs: HashSet<_> = new.iter().map(|(_, new)| merchant_and_location(new)).collect();
    let mut unknown = HashMap::new();
    for pair in pairs {
        let merchant = MerchantId(pair.0);
        let visible = is_merchant_visible(connection, import.owner, merchant)?;
        if !(visible && has_location(connection, (merchant, pair.1.map(LocationId)))?) {
            unknown.insert(pair, visible);
        }
    }
    let (new, mut refused) = split_by_location(new, &unknown);
    let (new, repeated) = split_repeated(new);
    refused.extend(repeated);
    let mut added = HashSet::new();
    for (_, new) in &new {
        let id = new.device().id().as_str();
        if !select(exists(devices::table.find(id))).get_result::<bool>(connection)? {
            insert_device(connection, new)?;
            added.insert(id.to_owned());
        }
    }
    let (created, taken) = split_taken(new, &added);
    refused.extend(taken);
    Ok((created, refused))
}

fn set_outcome(
    connection: &mut SqliteConnection,
    import: &str,
    number: i64,
    (outcome, detail): (&str, Option<String>),
) -> Result<(), EngineError> {
    use import_rows::dsl;
    diesel::update(dsl::import_rows.find((import, number)).filter(dsl::outcome.is_null()))
        .set((dsl::outcome.eq(outcome), dsl::detail.eq(detail)))
        .execute(connection)?;
    Ok(())
}

fn set_refused(connection: &mut SqliteConnection, import: &str, refused: &RefusedRows) -> Result<(), EngineError> {
    let set = |(number, refusal): &(i64, pos_domain::fleet::RowRefusal)| {
        set_outcome(connection, import, *number, (refusal.word(), refusal.detail()))
    };
    refused.iter().try_for_each(set)
}

fn first_refused(connection: &mut SqliteConnection, import: &ImportRef) -> Result<Option<i64>, EngineError> {
    use import_rows::dsl;
    let refused = dsl::import_rows.filter(dsl::import_id.eq(import.id.to_string()).and(dsl::outcome.ne(PROVISIONED)));
    Ok(refused.select(diesel::dsl::min(dsl::row_number)).first(connection)?)
}

/// Sets the final state of an import: refused because of a row, or applied.
fn set_final_state(
    connection: &mut SqliteConnection,
    import: &ImportRef,
    refused: Option<i64>,
) -> Result<Import, EngineError> {
    let state = if refused.is_some() { REFUSED } else { APPLIED };
    diesel::update(imports::table.find(import.id.to_string()))
        .set((imports::state.eq(state), imports::refused_row.eq(refused)))
        .execute(connection)?;
    find_import(connection, import)?.ok_or_else(|| unknown_import(import))
}

/// Creates the devices of all pending rows in the order of their ids, so that the tables grow at their ends.
fn create_all(connection: &mut SqliteConnection, import: &Import, now: OffsetDateTime) -> Result<(), Rollback> {
    use import_rows::dsl;
    let id = import.import.id.to_string();
    let mut after = (String::new(), 0);
    loop {
        let page: Vec<ImportRowRecord<String>> = dsl::import_rows
            .filter(dsl::import_id.eq(&id).and(dsl::outcome.is_null()).and(dsl::device_id.ge(&after.0)))
            .filter(dsl::device_id.gt(&after.0).or(dsl::row_number.gt(after.1)))
            .order((dsl::device_id, dsl::row_number))
            .limit(signed(PAGE as u64))
            .load(connection)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.device_id.clone().unwrap_or_default(), last.row_number);
        let new = provision_rows(page, &import.audit_context, now).map_err(EngineError::from)?;
        let (_, refused) = create_devices(connection, &import.import, new)?;
        if !refused.is_empty() {
            return Err(Rollback::Refused(refused));
        }
    }
}

fn complete_import(
    connection: &mut SqliteConnection,
    import: &ImportRef,
    now: OffsetDateTime,
) -> Result<Import, Rollback> {
    let found = find_import(connection, import)?.ok_or_else(|| unknown_import(import))?;
    if found.state != ImportState::Uploaded {
        return Ok(found);
    }
    let (rows, decided): (i64, i64) = import_rows::table
        .filter(import_rows::import_id.eq(import.id.to_string()))
        .select((diesel::dsl::count_star(), diesel::dsl::count(import_rows::outcome)))
        .first(connection)?;
    if let Some(error) = check_row_counts(&found, rows, decided) {
        return Err(Rollback::Failed(EngineError::Storage(error)));
    }
    if found.mode == ImportMode::AllOrNothing {
        if let Some(refused) = first_refused(connection, import)? {
            return Ok(set_final_state(connection, import, Some(refused))?);
        }
        create_all(connection, &found, now)?;
    }
    Ok(set_final_state(connection, import, None)?)
}

/// Refuses these rows, and their import because of the first one.
fn refuse(connection: &mut SqliteConnection, import: &ImportRef, rows: &RefusedRows) -> Result<Import, EngineError> {
    set_refused(connection, &import.id.to_string(), rows)?;
    let first = first_refused(connection, import)?;
    set_final_state(connection, import, first)
}

#[async_trait]
impl ImportRepository for SqliteStore {
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError> {
        let import = *import;
        Ok(self.read_bulk(move |connection| find_import(connection, &import)).await?)
    }

    async fn pending_rows(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<PendingRow>, StorageError> {
        let import = *import;
        Ok(self.read_bulk(move |connection| load_pending_rows(connection, &import, after, limit)).await?)
    }

    async fn apply_decisions(&self, import: &ImportRef, decisions: &[RowDecision]) -> Result<(), StorageError> {
        let (import, decisions) = (*import, decisions.to_vec());
        let decided = self.writer.write_many(move |connection| {
            let pending = pending_numbers(connection, &import, &decisions)?;
            let (new, mut refused) = split_decisions(&decisions, &pending)?;
            let (created, not_created) = create_devices(connection, &import, new)?;
            refused.extend(not_created);
            let id = import.id.to_string();
            for number in created {
                set_outcome(connection, &id, number, (PROVISIONED, None))?;
            }
            set_refused(connection, &id, &refused)
        });
        Ok(decided.await?)
    }

    async fn complete(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Import, StorageError> {
        let import = *import;
        let completed = self.writer.write_long(move |connection| {
            match connection.immediate_transaction(|connection| complete_import(connection, &import, now)) {
                Ok(import) => Ok(import),
                Err(Rollback::Failed(failure)) => Err(failure),
                // No other connection of this process writes. Another process that writes in between also completes the
                // import, with the same result.
                Err(Rollback::Refused(rows)) => {
                    connection.immediate_transaction(|connection| match find_import(connection, &import)? {
                        Some(found) if found.state != ImportState::Uploaded => Ok(found),
                        _ => refuse(connection, &import, &rows),
                    })
                }
            }
        });
        Ok(completed.await?)
    }

    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError> {
        use import_rows::dsl;
        let import = *import;
        let results = self.read_bulk(move |connection| {
            let Some(found) = find_import(connection, &import)? else { return Ok(Vec::new()) };
            let rows: Vec<ImportRowRecord<String>> = dsl::import_rows
                .filter(dsl::import_id.eq(import.id.to_string()).and(dsl::row_number.gt(signed(after))))
                .order(dsl::row_number)
                .limit(limit.into())
                .load(connection)?;
            Ok(rows.into_iter().map(|row| row.result(found.state)).collect::<Result<_, _>>()?)
        });
        Ok(results.await?)
    }
}
