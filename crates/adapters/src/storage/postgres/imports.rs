//! Sealed imports: what is decided about their rows, and what became of them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, RunQueryDsl, SimpleAsyncConnection as _};
use pos_domain::{ImportMode, Transition};
use pos_port_storage::{
    Import, ImportRef, ImportRepository, ImportState, RowResult, RowVerdict, StorageError, UndecidedRow,
};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::PgStore;
use super::connection::Stop;
use super::create::AddDevices;
use super::import_statements::{FirstRows, SetOutcomes, WrongPlaces};
use super::link::PgLink;
use super::schema::{devices, import_rows, imports};
use crate::storage::failure::{Failure, TooSlow};
use crate::storage::import_rows::{
    APPLIED, FORGOTTEN, ImportRow, NewRows, PAGE, PROVISIONED, REFUSED, RefusedRows, RowRow, SEALED, UPLOADING,
    import_columns, incomplete, once_each, owner_text, parted, placed, provisioned, taken, undecided,
};
use crate::storage::rows::signed;

/// How long the end of an import may take at most. Its caller has a time limit of its own; this one only keeps a
/// connection from being held for ever.
const LONGEST: Duration = Duration::from_secs(3_600);

/// After which pause an import that somebody else ends is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Pages of an import's rows are read along their index. A table that has just grown is not analysed yet: then all that is
/// left of the import would be read and sorted for each page. Nothing is compiled (JIT) for a sort that cannot be left out,
/// which looks immensely expensive then.
const IN_ORDER: &str = "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; SET LOCAL jit = off";

/// Why the end of an import is rolled back.
enum NotConcluded {
    /// These rows are refused, so none is to be imported.
    Refused(RefusedRows),
    Storage(StorageError),
}

impl From<StorageError> for NotConcluded {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

#[async_trait]
impl ImportRepository for PgStore {
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError> {
        let query = imports::table
            .filter(imports::import_id.eq(import.id.0).and(imports::owner.eq(owner_text(import.owner))))
            .filter(imports::state.ne_all([UPLOADING, FORGOTTEN]))
            .select(import_columns!());
        let row: Option<ImportRow<Uuid>> =
            run!(self, bulk, |connection| async { query.first(connection).await.optional() })?;
        Ok(row.map(ImportRow::import).transpose()?)
    }

    async fn undecided(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<UndecidedRow>, StorageError> {
        use import_rows::dsl;
        if self.find(import).await?.is_none() {
            return Ok(Vec::new());
        }
        let query = dsl::import_rows
            .filter(dsl::import_id.eq(import.id.0).and(dsl::row_number.gt(signed(after))))
            .filter(dsl::outcome.is_null())
            .order(dsl::row_number)
            .limit(limit.into());
        let rows: Vec<RowRow<Uuid>> = transact!(self, bulk, async |connection| {
            connection.batch_execute(IN_ORDER).await?;
            Ok::<_, Stop<StorageError>>(query.load(connection).await?)
        })?;
        let ids: HashSet<String> = rows.iter().filter_map(|row| row.device_id.clone()).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let first = FirstRows { import: import.id.0, ids: ids.clone() };
        let first = run!(self, bulk, |connection| first.load(connection))?;
        let known = devices::table.filter(devices::device_id.eq_any(&ids)).select(devices::device_id);
        let known = run!(self, bulk, |connection| known.load(connection))?;
        Ok(undecided(rows, first, known)?)
    }

    async fn decide(&self, import: &ImportRef, verdicts: &[RowVerdict]) -> Result<(), StorageError> {
        transact!(self, bulk, async |connection| {
            let open = open_rows(connection, import, verdicts).await?;
            let (new, mut refused) = parted(verdicts, &open).map_err(|failure| Stop::Refused(failure.into()))?;
            let (created, not_created) = create(connection, import, new).await?;
            refused.extend(not_created);
            if !(created.is_empty() && refused.is_empty()) {
                SetOutcomes::of(import, created, &refused).get_result::<i64>(connection).await?;
            }
            Ok::<_, Stop<StorageError>>(())
        })
    }

    async fn conclude(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Import, StorageError> {
        let missing = || StorageError::Fault(format!("there is no import {}", import.id).into());
        let too_slow = || {
            let what = "waiting for the end of an import";
            StorageError::from(Failure::unavailable(TooSlow { what, limit: self.acquire_timeout }))
        };
        // It bounds the waiting, never the work.
        let patience = sleep(self.acquire_timeout);
        tokio::pin!(patience);
        loop {
            let found = self.find(import).await?.ok_or_else(missing)?;
            if found.state != ImportState::Sealed {
                return Ok(found);
            }
            // Before the connection: those who wait their turn hold none.
            let turn = match found.mode {
                ImportMode::AllOrNothing => tokio::select! {
                    turn = self.shares.long_imports.acquire() => turn?,
                    () = &mut patience => return Err(too_slow()),
                },
                ImportMode::BestEffort => self.shares.bulk.acquire().await?,
            };
            if let Some(ended) = self.end_unless_locked(import, now).await? {
                return Ok(ended);
            }
            drop(turn);
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                () = &mut patience => return Err(too_slow()),
            }
        }
    }

    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError> {
        use import_rows::dsl;
        let Some(found) = self.find(import).await? else { return Ok(Vec::new()) };
        let query = dsl::import_rows
            .filter(dsl::import_id.eq(import.id.0).and(dsl::row_number.gt(signed(after))))
            .order(dsl::row_number)
            .limit(limit.into());
        let rows: Vec<RowRow<Uuid>> = transact!(self, bulk, async |connection| {
            connection.batch_execute(IN_ORDER).await?;
            Ok::<_, Stop<StorageError>>(query.load(connection).await?)
        })?;
        Ok(rows.into_iter().map(|row| row.result(found.state)).collect::<Result<_, _>>()?)
    }
}

impl PgStore {
    /// Ends an import, unless somebody else is at it.
    async fn end_unless_locked(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Option<Import>, StorageError> {
        let mut lease = self.lease().await?;
        let concluded = lease.connection().transaction(async |connection| {
            let Some(row) = locked(connection, import).await? else { return Ok(None) };
            if row.state != ImportState::Sealed {
                return Ok(Some(row));
            }
            complete(connection, &row).await?;
            if row.mode == ImportMode::AllOrNothing {
                if let Some(refused) = first_refused(connection, import).await? {
                    return end(connection, import, Some(refused)).await.map(Some);
                }
                create_all(connection, &row, now).await?;
            }
            end(connection, import, None).await.map(Some)
        });
        let outcome = timeout(LONGEST, concluded).await;
        match lease.settle_transaction(outcome) {
            Ok(ended) => Ok(ended),
            Err(NotConcluded::Storage(error)) => Err(error),
            Err(NotConcluded::Refused(rows)) => self.refuse(import, &rows).await,
        }
    }

    /// Refuses these rows and, because of the first, their import, unless somebody else is at it.
    async fn refuse(&self, import: &ImportRef, rows: &RefusedRows) -> Result<Option<Import>, StorageError> {
        let refused = transact!(self, bulk, async |connection| {
            let Some(row) = locked(connection, import).await? else { return Ok(None) };
            if row.state != ImportState::Sealed {
                return Ok(Some(row));
            }
            SetOutcomes::of(import, Vec::new(), rows).get_result::<i64>(connection).await?;
            let first = first_refused(connection, import).await?;
            end(connection, import, first).await.map(Some)
        });
        refused.map_err(|stopped| match stopped {
            NotConcluded::Storage(error) => error,
            NotConcluded::Refused(_) => StorageError::Fault("a refusal was refused".into()),
        })
    }
}

/// The rows among those judged about which nothing was decided, locked until the end. Everybody locks them in one order.
async fn open_rows(connection: &mut PgLink, import: &ImportRef, verdicts: &[RowVerdict]) -> QueryResult<HashSet<i64>> {
    use import_rows::dsl;
    // One that is just being ended, or forgotten, is not waited for: nothing is decided about it from here.
    let sealed: Option<Uuid> = imports::table
        .filter(imports::import_id.eq(import.id.0).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.eq(SEALED))
        .select(imports::import_id)
        .for_key_share()
        .skip_locked()
        .first(connection)
        .await
        .optional()?;
    if sealed.is_none() {
        return Ok(HashSet::new());
    }
    let numbers: Vec<_> = verdicts.iter().map(|verdict| signed(verdict.number)).collect();
    let open: Vec<i64> = dsl::import_rows
        .filter(dsl::import_id.eq(import.id.0).and(dsl::row_number.eq_any(numbers)))
        .filter(dsl::outcome.is_null())
        .order(dsl::row_number)
        .select(dsl::row_number)
        .for_update()
        .load(connection)
        .await?;
    Ok(open.into_iter().collect())
}

/// Creates what can be created; the others are refused.
async fn create(connection: &mut PgLink, import: &ImportRef, new: NewRows) -> QueryResult<(Vec<i64>, RefusedRows)> {
    if new.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let wrong: Vec<(Uuid, Option<Uuid>, bool)> =
        WrongPlaces::of(import.owner, new.iter().map(|(_, new)| new)).load(connection).await?;
    let wrong: HashMap<_, _> =
        wrong.into_iter().map(|(merchant, location, seen)| ((merchant, location), seen)).collect();
    let (new, mut refused) = placed(new, &wrong);
    let (new, again) = once_each(new);
    refused.extend(again);
    let transitions: Vec<&Transition> = new.iter().map(|(_, new)| new).collect();
    let free: Vec<String> = AddDevices::from(transitions.as_slice()).load(connection).await?;
    let (created, not_free) = taken(new, &free.into_iter().collect());
    refused.extend(not_free);
    Ok((created, refused))
}

/// Creates the devices of all undecided rows, in the order of their ids, so that two imports of some of the same
/// devices wait for each other and never in a circle.
async fn create_all(connection: &mut PgLink, import: &Import, now: OffsetDateTime) -> Result<(), Stop<NotConcluded>> {
    use import_rows::dsl;
    let mut after = (String::new(), 0);
    loop {
        let page: Vec<RowRow<Uuid>> = dsl::import_rows
            .filter(dsl::import_id.eq(import.import.id.0).and(dsl::outcome.is_null()))
            .filter(dsl::device_id.ge(&after.0))
            .filter(dsl::device_id.gt(&after.0).or(dsl::row_number.gt(after.1)))
            .order((dsl::device_id, dsl::row_number))
            .limit(signed(PAGE as u64))
            .load(connection)
            .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.device_id.clone().unwrap_or_default(), last.row_number);
        let new = provisioned(page, &import.act, now)
            .map_err(|corrupt| Stop::Refused(NotConcluded::Storage(corrupt.into())))?;
        let (_, refused) = create(connection, &import.import, new).await?;
        if !refused.is_empty() {
            return Err(Stop::Refused(NotConcluded::Refused(refused)));
        }
    }
}

/// A sealed import, locked until the end of the transaction, which may last; none if somebody else has locked it.
async fn locked(connection: &mut PgLink, import: &ImportRef) -> Result<Option<Import>, Stop<NotConcluded>> {
    connection.batch_execute(&format!("SET LOCAL statement_timeout = 0; {IN_ORDER}")).await?;
    let row: Option<ImportRow<Uuid>> = imports::table
        .filter(imports::import_id.eq(import.id.0).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.ne_all([UPLOADING, FORGOTTEN]))
        .select(import_columns!())
        .for_update()
        .skip_locked()
        .first(connection)
        .await
        .optional()?;
    let read = row.map(ImportRow::import).transpose();
    read.map_err(|corrupt| Stop::Refused(NotConcluded::Storage(corrupt.into())))
}

/// Whether all rows of an import are there, and, if each stands for itself, something was decided about each.
async fn complete(connection: &mut PgLink, import: &Import) -> Result<(), Stop<NotConcluded>> {
    use import_rows::dsl;
    let (rows, decided): (i64, i64) = dsl::import_rows
        .filter(dsl::import_id.eq(import.import.id.0))
        .select((diesel::dsl::count_star(), diesel::dsl::count(dsl::outcome)))
        .first(connection)
        .await?;
    if let Some(error) = incomplete(import, rows, decided) {
        return Err(Stop::Refused(NotConcluded::Storage(error)));
    }
    Ok(())
}

async fn first_refused(connection: &mut PgLink, import: &ImportRef) -> QueryResult<Option<i64>> {
    use import_rows::dsl;
    dsl::import_rows
        .filter(dsl::import_id.eq(import.id.0).and(dsl::outcome.ne(PROVISIONED)))
        .select(diesel::dsl::min(dsl::row_number))
        .first(connection)
        .await
}

/// Ends an import: refused because of a row, or applied.
async fn end(connection: &mut PgLink, import: &ImportRef, refused: Option<i64>) -> Result<Import, Stop<NotConcluded>> {
    let state = if refused.is_some() { REFUSED } else { APPLIED };
    let row: ImportRow<Uuid> = diesel::update(imports::table.find(import.id.0))
        .set((imports::state.eq(state), imports::refused_row.eq(refused)))
        .returning(import_columns!())
        .get_result(connection)
        .await?;
    row.import().map_err(|corrupt| Stop::Refused(NotConcluded::Storage(corrupt.into())))
}
