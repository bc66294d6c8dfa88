//! Sealed imports: what is decided about their rows, and what became of them.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::result::Error;
use pos_domain::{ImportMode, LocationId, MerchantId};
use pos_port_storage::{
    Import, ImportRef, ImportRepository, ImportState, RowResult, RowVerdict, StorageError, UndecidedRow,
};
use time::OffsetDateTime;

use super::SqliteStore;
use super::fleet::{has_location, insert_device, sees_merchant};
use super::schema::{devices, import_rows, imports};
use crate::storage::failure::Failure;
use crate::storage::import_rows::{
    APPLIED, FORGOTTEN, ImportRow, NewRows, PAGE, PROVISIONED, REFUSED, RefusedRows, RowRow, UPLOADING, import_columns,
    incomplete, once_each, owner_text, parted, place, placed, provisioned, taken, undecided,
};
use crate::storage::rows::signed;

/// Why the end of an import is rolled back.
enum Stop {
    /// These rows are refused, so none is to be imported.
    Refused(RefusedRows),
    Failed(Failure),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) fn find_import(connection: &mut SqliteConnection, import: &ImportRef) -> Result<Option<Import>, Failure> {
    let row: Option<ImportRow<String>> = imports::table
        .filter(imports::import_id.eq(import.id.to_string()).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.ne_all([UPLOADING, FORGOTTEN]))
        .select(import_columns!())
        .first(connection)
        .optional()?;
    Ok(row.map(ImportRow::import).transpose()?)
}

fn not_there(import: &ImportRef) -> Failure {
    Failure::fault(format!("there is no import {}", import.id))
}

fn undecided_rows(
    connection: &mut SqliteConnection,
    import: &ImportRef,
    after: u64,
    limit: u32,
) -> Result<Vec<UndecidedRow>, Failure> {
    use import_rows::dsl;
    if find_import(connection, import)?.is_none() {
        return Ok(Vec::new());
    }
    let id = import.id.to_string();
    let rows: Vec<RowRow<String>> = dsl::import_rows
        .filter(dsl::import_id.eq(&id).and(dsl::row_number.gt(signed(after))).and(dsl::outcome.is_null()))
        .order(dsl::row_number)
        .limit(limit.into())
        .load(connection)?;
    let (mut first, mut known) = (Vec::new(), Vec::new());
    // One at a time, by the same kept statement: a list as long as a page would be another statement each time.
    for device in rows.iter().filter_map(|row| row.device_id.as_deref()) {
        let same = dsl::import_rows.filter(dsl::import_id.eq(&id).and(dsl::device_id.eq(device)));
        let number = same.select(diesel::dsl::min(dsl::row_number)).first(connection)?;
        first.push((Some(device.to_owned()), number));
        if select(exists(devices::table.find(device))).get_result(connection)? {
            known.push(device.to_owned());
        }
    }
    Ok(undecided(rows, first, known)?)
}

/// The rows among those judged about which nothing was decided.
fn open_rows(
    connection: &mut SqliteConnection,
    import: &ImportRef,
    verdicts: &[RowVerdict],
) -> Result<HashSet<i64>, Failure> {
    use import_rows::dsl;
    let is_sealed = find_import(connection, import)?.is_some_and(|found| found.state == ImportState::Sealed);
    let numbers = || verdicts.iter().map(|verdict| signed(verdict.number));
    let (Some(first), Some(last), true) = (numbers().min(), numbers().max(), is_sealed) else {
        return Ok(HashSet::new());
    };
    let open = dsl::import_rows
        .filter(dsl::import_id.eq(import.id.to_string()).and(dsl::row_number.between(first, last)))
        .filter(dsl::outcome.is_null())
        .select(dsl::row_number)
        .load::<i64>(connection)?;
    Ok(open.into_iter().collect())
}

/// Creates what can be created; the others are refused.
fn create(
    connection: &mut SqliteConnection,
    import: &ImportRef,
    new: NewRows,
) -> Result<(Vec<i64>, RefusedRows), Failure> {
    let places: HashSet<_> = new.iter().map(|(_, new)| place(new)).collect();
    let mut wrong = HashMap::new();
    for place in places {
        let merchant = MerchantId(place.0);
        let seen = sees_merchant(connection, import.owner, merchant)?;
        if !(seen && has_location(connection, (merchant, place.1.map(LocationId)))?) {
            wrong.insert(place, seen);
        }
    }
    let (new, mut refused) = placed(new, &wrong);
    let (new, again) = once_each(new);
    refused.extend(again);
    let mut free = HashSet::new();
    for (_, new) in &new {
        let id = new.device().id().as_str();
        if !select(exists(devices::table.find(id))).get_result::<bool>(connection)? {
            insert_device(connection, new)?;
            free.insert(id.to_owned());
        }
    }
    let (created, not_free) = taken(new, &free);
    refused.extend(not_free);
    Ok((created, refused))
}

fn set_outcome(
    connection: &mut SqliteConnection,
    import: &str,
    number: i64,
    (outcome, detail): (&str, Option<String>),
) -> Result<(), Failure> {
    use import_rows::dsl;
    diesel::update(dsl::import_rows.find((import, number)).filter(dsl::outcome.is_null()))
        .set((dsl::outcome.eq(outcome), dsl::detail.eq(detail)))
        .execute(connection)?;
    Ok(())
}

fn set_refused(connection: &mut SqliteConnection, import: &str, refused: &RefusedRows) -> Result<(), Failure> {
    let set = |(number, refusal): &(i64, pos_domain::RowRefusal)| {
        set_outcome(connection, import, *number, (refusal.word(), refusal.detail()))
    };
    refused.iter().try_for_each(set)
}

fn first_refused(connection: &mut SqliteConnection, import: &ImportRef) -> Result<Option<i64>, Failure> {
    use import_rows::dsl;
    let refused = dsl::import_rows.filter(dsl::import_id.eq(import.id.to_string()).and(dsl::outcome.ne(PROVISIONED)));
    Ok(refused.select(diesel::dsl::min(dsl::row_number)).first(connection)?)
}

/// Ends an import: refused because of a row, or applied.
fn end(connection: &mut SqliteConnection, import: &ImportRef, refused: Option<i64>) -> Result<Import, Failure> {
    let state = if refused.is_some() { REFUSED } else { APPLIED };
    diesel::update(imports::table.find(import.id.to_string()))
        .set((imports::state.eq(state), imports::refused_row.eq(refused)))
        .execute(connection)?;
    find_import(connection, import)?.ok_or_else(|| not_there(import))
}

/// Creates the devices of all undecided rows, in the order of their ids, in which the tables grow at their ends.
fn create_all(connection: &mut SqliteConnection, import: &Import, now: OffsetDateTime) -> Result<(), Stop> {
    use import_rows::dsl;
    let id = import.import.id.to_string();
    let mut after = (String::new(), 0);
    loop {
        let page: Vec<RowRow<String>> = dsl::import_rows
            .filter(dsl::import_id.eq(&id).and(dsl::outcome.is_null()).and(dsl::device_id.ge(&after.0)))
            .filter(dsl::device_id.gt(&after.0).or(dsl::row_number.gt(after.1)))
            .order((dsl::device_id, dsl::row_number))
            .limit(signed(PAGE as u64))
            .load(connection)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.device_id.clone().unwrap_or_default(), last.row_number);
        let new = provisioned(page, &import.act, now).map_err(Failure::from)?;
        let (_, refused) = create(connection, &import.import, new)?;
        if !refused.is_empty() {
            return Err(Stop::Refused(refused));
        }
    }
}

fn conclude(connection: &mut SqliteConnection, import: &ImportRef, now: OffsetDateTime) -> Result<Import, Stop> {
    let found = find_import(connection, import)?.ok_or_else(|| not_there(import))?;
    if found.state != ImportState::Sealed {
        return Ok(found);
    }
    let (rows, decided): (i64, i64) = import_rows::table
        .filter(import_rows::import_id.eq(import.id.to_string()))
        .select((diesel::dsl::count_star(), diesel::dsl::count(import_rows::outcome)))
        .first(connection)?;
    if let Some(error) = incomplete(&found, rows, decided) {
        return Err(Stop::Failed(Failure::Storage(error)));
    }
    if found.mode == ImportMode::AllOrNothing {
        if let Some(refused) = first_refused(connection, import)? {
            return Ok(end(connection, import, Some(refused))?);
        }
        create_all(connection, &found, now)?;
    }
    Ok(end(connection, import, None)?)
}

/// Refuses these rows and, because of the first, their import.
fn refuse(connection: &mut SqliteConnection, import: &ImportRef, rows: &RefusedRows) -> Result<Import, Failure> {
    set_refused(connection, &import.id.to_string(), rows)?;
    let first = first_refused(connection, import)?;
    end(connection, import, first)
}

#[async_trait]
impl ImportRepository for SqliteStore {
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError> {
        let import = *import;
        Ok(self.read_bulk(move |connection| find_import(connection, &import)).await?)
    }

    async fn undecided(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<UndecidedRow>, StorageError> {
        let import = *import;
        Ok(self.read_bulk(move |connection| undecided_rows(connection, &import, after, limit)).await?)
    }

    async fn decide(&self, import: &ImportRef, verdicts: &[RowVerdict]) -> Result<(), StorageError> {
        let (import, verdicts) = (*import, verdicts.to_vec());
        let decided = self.writer.write_many(move |connection| {
            let open = open_rows(connection, &import, &verdicts)?;
            let (new, mut refused) = parted(&verdicts, &open)?;
            let (created, not_created) = create(connection, &import, new)?;
            refused.extend(not_created);
            let id = import.id.to_string();
            for number in created {
                set_outcome(connection, &id, number, (PROVISIONED, None))?;
            }
            set_refused(connection, &id, &refused)
        });
        Ok(decided.await?)
    }

    async fn conclude(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Import, StorageError> {
        let import = *import;
        let concluded = self.writer.write_long(move |connection| {
            match connection.immediate_transaction(|connection| conclude(connection, &import, now)) {
                Ok(import) => Ok(import),
                Err(Stop::Failed(failure)) => Err(failure),
                // The connection is the only one that writes in this process. Another process that comes between is
                // one that concludes the import as well, and finds the same.
                Err(Stop::Refused(rows)) => {
                    connection.immediate_transaction(|connection| match find_import(connection, &import)? {
                        Some(found) if found.state != ImportState::Sealed => Ok(found),
                        _ => refuse(connection, &import, &rows),
                    })
                }
            }
        });
        Ok(concluded.await?)
    }

    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError> {
        use import_rows::dsl;
        let import = *import;
        let results = self.read_bulk(move |connection| {
            let Some(found) = find_import(connection, &import)? else { return Ok(Vec::new()) };
            let rows: Vec<RowRow<String>> = dsl::import_rows
                .filter(dsl::import_id.eq(import.id.to_string()).and(dsl::row_number.gt(signed(after))))
                .order(dsl::row_number)
                .limit(limit.into())
                .load(connection)?;
            Ok(rows.into_iter().map(|row| row.result(found.state)).collect::<Result<_, _>>()?)
        });
        Ok(results.await?)
    }
}
