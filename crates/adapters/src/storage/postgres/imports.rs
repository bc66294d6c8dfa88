//! Sealed imports: what is decided about their rows, and what became of them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use pos_domain::{ImportMode, Transition};
use pos_port_storage::{
    Import, ImportRef, ImportRepository, ImportState, RowResult, RowVerdict, StorageError, UndecidedRow,
};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::PgStore;
use super::connection::Stop;
use super::create::AddDevices;
use super::import_statements::{SetOutcomes, WrongPlaces};
use super::schema::{devices, import_rows, imports};
use crate::storage::import_rows::{
    APPLIED, ImportRow, NewRows, PAGE, PROVISIONED, REFUSED, RefusedRows, RowRow, SEALED, UPLOADING, import_columns,
    once_each, owner_text, parted, placed, provisioned, taken, undecided,
};
use crate::storage::rows::signed;

/// How long the end of an import may take at most. Its caller has a time limit of its own; this one only keeps a
/// connection from being held for ever.
const LONGEST: Duration = Duration::from_secs(3_600);

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
            .filter(imports::state.ne(UPLOADING))
            .select(import_columns!());
        let row: Option<ImportRow<Uuid>> = run!(self, |connection| async { query.first(connection).await.optional() })?;
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
        let rows: Vec<RowRow<Uuid>> = run!(self, |connection| query.load(connection))?;
        let ids: Vec<String> = rows.iter().filter_map(|row| row.device_id.clone()).collect();
        let first = dsl::import_rows
            .filter(dsl::import_id.eq(import.id.0).and(dsl::device_id.eq_any(&ids)))
            .group_by(dsl::device_id)
            .select((dsl::device_id, diesel::dsl::min(dsl::row_number)));
        let first = run!(self, |connection| first.load(connection))?;
        let known = devices::table.filter(devices::device_id.eq_any(&ids)).select(devices::device_id);
        let known = run!(self, |connection| known.load(connection))?;
        Ok(undecided(rows, first, known)?)
    }

    async fn decide(&self, import: &ImportRef, verdicts: &[RowVerdict]) -> Result<(), StorageError> {
        transact!(self, async |connection| {
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
        let mut lease = self.lease().await?;
        let concluded = lease.connection().transaction(async |connection| {
            let row = locked(connection, import).await?;
            if row.state != ImportState::Sealed {
                return Ok(row);
            }
            if row.mode == ImportMode::AllOrNothing {
                if let Some(refused) = first_refused(connection, import).await? {
                    return end(connection, import, Some(refused)).await;
                }
                create_all(connection, &row, now).await?;
            }
            end(connection, import, None).await
        });
        let outcome = timeout(LONGEST, concluded).await;
        match lease.settle_transaction(outcome) {
            Ok(import) => Ok(import),
            Err(NotConcluded::Storage(error)) => Err(error),
            Err(NotConcluded::Refused(rows)) => self.refuse(import, &rows).await,
        }
    }

    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError> {
        use import_rows::dsl;
        let Some(found) = self.find(import).await? else { return Ok(Vec::new()) };
        let query = dsl::import_rows
            .filter(dsl::import_id.eq(import.id.0).and(dsl::row_number.gt(signed(after))))
            .order(dsl::row_number)
            .limit(limit.into());
        let rows: Vec<RowRow<Uuid>> = run!(self, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(|row| row.result(found.state)).collect::<Result<_, _>>()?)
    }
}

impl PgStore {
    /// Refuses these rows and, because of the first, their import.
    async fn refuse(&self, import: &ImportRef, rows: &RefusedRows) -> Result<Import, StorageError> {
        let refused = transact!(self, async |connection| {
            let row = locked(connection, import).await?;
            if row.state != ImportState::Sealed {
                return Ok(row);
            }
            SetOutcomes::of(import, Vec::new(), rows).get_result::<i64>(connection).await?;
            let first = first_refused(connection, import).await?;
            end(connection, import, first).await
        });
        refused.map_err(|stopped| match stopped {
            NotConcluded::Storage(error) => error,
            NotConcluded::Refused(_) => StorageError::Fault("a refusal was refused".into()),
        })
    }
}

/// The rows among those judged about which nothing was decided, locked until the end. Everybody locks them in one order.
async fn open_rows(
    connection: &mut AsyncPgConnection,
    import: &ImportRef,
    verdicts: &[RowVerdict],
) -> QueryResult<HashSet<i64>> {
    use import_rows::dsl;
    let sealed: i64 = imports::table
        .filter(imports::import_id.eq(import.id.0).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.eq(SEALED))
        .count()
        .get_result(connection)
        .await?;
    if sealed == 0 {
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
async fn create(
    connection: &mut AsyncPgConnection,
    import: &ImportRef,
    new: NewRows,
) -> QueryResult<(Vec<i64>, RefusedRows)> {
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
async fn create_all(
    connection: &mut AsyncPgConnection,
    import: &Import,
    now: OffsetDateTime,
) -> Result<(), Stop<NotConcluded>> {
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

/// A sealed import, locked until the end of the transaction: whoever ends it at the same time waits here, without a
/// time limit of the statement's.
async fn locked(connection: &mut AsyncPgConnection, import: &ImportRef) -> Result<Import, Stop<NotConcluded>> {
    connection.batch_execute("SET LOCAL statement_timeout = 0").await?;
    let row: Option<ImportRow<Uuid>> = imports::table
        .filter(imports::import_id.eq(import.id.0).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.ne(UPLOADING))
        .select(import_columns!())
        .for_update()
        .first(connection)
        .await
        .optional()?;
    let refused = |error| Stop::Refused(NotConcluded::Storage(error));
    let not_there = || refused(StorageError::Fault(format!("there is no import {}", import.id).into()));
    row.ok_or_else(not_there)?.import().map_err(|corrupt| refused(corrupt.into()))
}

async fn first_refused(connection: &mut AsyncPgConnection, import: &ImportRef) -> QueryResult<Option<i64>> {
    use import_rows::dsl;
    dsl::import_rows
        .filter(dsl::import_id.eq(import.id.0).and(dsl::outcome.ne(PROVISIONED)))
        .select(diesel::dsl::min(dsl::row_number))
        .first(connection)
        .await
}

/// Ends an import: refused because of a row, or applied.
async fn end(
    connection: &mut AsyncPgConnection,
    import: &ImportRef,
    refused: Option<i64>,
) -> Result<Import, Stop<NotConcluded>> {
    let state = if refused.is_some() { REFUSED } else { APPLIED };
    let row: ImportRow<Uuid> = diesel::update(imports::table.find(import.id.0))
        .set((imports::state.eq(state), imports::refused_row.eq(refused)))
        .returning(import_columns!())
        .get_result(connection)
        .await?;
    row.import().map_err(|corrupt| Stop::Refused(NotConcluded::Storage(corrupt.into())))
}
