//! Import repository in PostgreSQL: decisions about uploaded rows, completion and results.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, RunQueryDsl, SimpleAsyncConnection as _};
use pos_domain::device::Transition;
use pos_domain::fleet::ImportMode;
use pos_port_storage::fleet::{Import, ImportRef, ImportRepository, ImportState, PendingRow, RowDecision, RowResult};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::engine_error::{EngineError, TooSlow};
use crate::postgres::connection::PgConn;
use crate::postgres::fleet::create::AddDevices;
use crate::postgres::fleet::import_statements::{FirstRows, SetOutcomes, UnknownLocations};
use crate::postgres::pool::Rollback;
use crate::postgres::schema;
use crate::postgres::schema::{devices, import_rows, imports};
use crate::postgres::store::PgStore;
use crate::rows::imports::{
    APPLIED, DISCARDED, ImportRow, ImportRowRecord, NewRows, PAGE, PROVISIONED, REFUSED, RefusedRows, UPLOADED,
    UPLOADING, check_row_counts, import_columns, owner_text, provision_rows, split_by_location, split_decisions,
    split_repeated, split_taken, to_pending_rows,
};
use crate::rows::reader::signed;

/// Timeout for the completion of an import. The caller has its own time limit; this one only frees the connection.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Pause before an import that another transaction completes is read again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Settings that make PostgreSQL read pages of rows in index order. Until a grown table is analysed, the planner would read
/// and sort all remaining rows for each page. JIT is off because an unavoidable sort would appear expensive enough for it.
const INDEX_ORDER: &str = "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; SET LOCAL jit = off";

/// Why the completion of an import is rolled back.
enum CompletionError {
    /// These rows are refused, so no row is imported.
    Refused(RefusedRows),
    Storage(StorageError),
}

impl From<StorageError> for CompletionError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

#[async_trait]
impl ImportRepository for PgStore {
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError> {
        let query = imports::table
            .filter(imports::import_id.eq(import.id.0).and(imports::owner.eq(owner_text(import.owner))))
            .filter(imports::state.ne_all([UPLOADING, DISCARDED]))
            .select(import_columns!());
        let row: Option<ImportRow<Uuid>> =
            self.run_bulk(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(ImportRow::import).transpose()?)
    }

    async fn pending_rows(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<PendingRow>, StorageError> {
        use import_rows::dsl;
        if self.find(import).await?.is_none() {
            return Ok(Vec::new());
        }
        let query = dsl::import_rows
            .filter(dsl::import_id.eq(import.id.0).and(dsl::row_number.gt(signed(after))))
            .filter(dsl::outcome.is_null())
            .order(dsl::row_number)
            .limit(limit.into());
        let rows: Vec<ImportRowRecord<Uuid>> = self
            .transact_bulk(async |connection| {
                connection.batch_execute(INDEX_ORDER).await?;
                Ok::<_, Rollback<StorageError>>(query.load(connection).await?)
            })
            .await?;
        let ids: HashSet<String> = rows.iter().filter_map(|row| row.device_id.clone()).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let first = FirstRows { import: import.id.0, ids: ids.clone() };
        let first = self.run_bulk(async |connection| first.load(connection).await).await?;
        let known = devices::table.filter(devices::device_id.eq_any(&ids)).select(devices::device_id);
        let known = self.run_bulk(async |connection| known.load(connection).await).await?;
        Ok(to_pending_rows(rows, first, known)?)
    }

    async fn apply_decisions(&self, import: &ImportRef, decisions: &[RowDecision]) -> Result<(), StorageError> {
        self.transact_bulk(async |connection| {
            let pending = lock_pending_rows(connection, import, decisions).await?;
            let (new, mut refused) =
                split_decisions(decisions, &pending).map_err(|failure| Rollback::Refused(failure.into()))?;
            let (created, not_created) = create_devices(connection, import, new).await?;
            refused.extend(not_created);
            if !(created.is_empty() && refused.is_empty()) {
                SetOutcomes::of(import, created, &refused).get_result::<i64>(connection).await?;
            }
            Ok::<_, Rollback<StorageError>>(())
        })
        .await
    }

    async fn complete(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Import, StorageError> {
        let missing = || StorageError::Fault(format!("there is no import {}", import.id).into());
        let too_slow = || {
            let what = "waiting for the completion of an import";
            StorageError::from(EngineError::unavailable(TooSlow { what, limit: self.acquire_timeout }))
        };
        // It bounds the wait, not the work.
        let deadline = sleep(self.acquire_timeout);
        tokio::pin!(deadline);
        loop {
            let found = self.find(import).await?.ok_or_else(missing)?;
            if found.state != ImportState::Uploaded {
                return Ok(found);
            }
            // Acquired before the connection, so that a waiting call holds none.
            let permit = match found.mode {
                ImportMode::AllOrNothing => tokio::select! {
                    permit = self.shares.long_imports.acquire() => permit?,
                    () = &mut deadline => return Err(too_slow()),
                },
                ImportMode::BestEffort => self.shares.bulk.acquire().await?,
            };
            if let Some(completed) = self.complete_unless_locked(import, now).await? {
                return Ok(completed);
            }
            drop(permit);
            tokio::select! {
                () = sleep(RETRY_PAUSE) => {}
                () = &mut deadline => return Err(too_slow()),
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
        let rows: Vec<ImportRowRecord<Uuid>> = self
            .transact_bulk(async |connection| {
                connection.batch_execute(INDEX_ORDER).await?;
                Ok::<_, Rollback<StorageError>>(query.load(connection).await?)
            })
            .await?;
        Ok(rows.into_iter().map(|row| row.result(found.state)).collect::<Result<_, _>>()?)
    }
}

impl PgStore {
    /// Completes an import. `None` if another transaction has locked it.
    async fn complete_unless_locked(
        &self,
        import: &ImportRef,
        now: OffsetDateTime,
    ) -> Result<Option<Import>, StorageError> {
        let mut lease = self.lease().await?;
        let completed = lease.connection().transaction(async |connection| {
            let Some(row) = lock_import(connection, import).await? else { return Ok(None) };
            if row.state != ImportState::Uploaded {
                return Ok(Some(row));
            }
            check_complete(connection, &row).await?;
            if row.mode == ImportMode::AllOrNothing {
                if let Some(refused) = first_refused(connection, import).await? {
                    return set_final_state(connection, import, Some(refused)).await.map(Some);
                }
                create_all(connection, &row, now).await?;
            }
            set_final_state(connection, import, None).await.map(Some)
        });
        let outcome = timeout(COMPLETION_TIMEOUT, completed).await;
        match lease.finish_transaction(outcome) {
            Ok(completed) => Ok(completed),
            Err(CompletionError::Storage(error)) => Err(error),
            Err(CompletionError::Refused(rows)) => self.refuse(import, &rows).await,
        }
    }

    /// Refuses these rows and their import because of the first one. `None` if another transaction has locked it.
    async fn refuse(&self, import: &ImportRef, rows: &RefusedRows) -> Result<Option<Import>, StorageError> {
        let refused = self
            .transact_bulk(async |connection| {
                let Some(row) = lock_import(connection, import).await? else { return Ok(None) };
                if row.state != ImportState::Uploaded {
                    return Ok(Some(row));
                }
                SetOutcomes::of(import, Vec::new(), rows).get_result::<i64>(connection).await?;
                let first = first_refused(connection, import).await?;
                set_final_state(connection, import, first).await.map(Some)
            })
            .await;
        refused.map_err(|error| match error {
            CompletionError::Storage(error) => error,
            CompletionError::Refused(_) => StorageError::Fault("no row is created here, so none can be refused".into()),
        })
    }
}

/// Locks the pending rows among the decided ones until the end of the transaction. All callers lock in the same order.
async fn lock_pending_rows(
    connection: &mut PgConn,
    import: &ImportRef,
    decisions: &[RowDecision],
) -> QueryResult<HashSet<i64>> {
    use import_rows::dsl;
    // A locked import is being completed or discarded. It is not waited for, and its rows are left as they are.
    let uploaded: Option<Uuid> = imports::table
        .filter(imports::import_id.eq(import.id.0).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.eq(UPLOADED))
        .select(imports::import_id)
        .for_key_share()
        .skip_locked()
        .first(connection)
        .await
        .optional()?;
    if uploaded.is_none() {
        return Ok(HashSet::new());
    }
    let numbers: Vec<_> = decisions.iter().map(|decision| signed(decision.number)).collect();
    let pending: Vec<i64> = dsl::import_rows
        .filter(dsl::import_id.eq(import.id.0).and(dsl::row_number.eq_any(numbers)))
        .filter(dsl::outcome.is_null())
        .order(dsl::row_number)
        .select(dsl::row_number)
        .for_update()
        .load(connection)
        .await?;
    Ok(pending.into_iter().collect())
}

/// Creates the devices of valid rows. Returns the numbers of created rows, and the refused rows.
async fn create_devices(
    connection: &mut PgConn,
    import: &ImportRef,
    new: NewRows,
) -> QueryResult<(Vec<i64>, RefusedRows)> {
    if new.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let unknown: Vec<(Uuid, Option<Uuid>, bool)> =
        UnknownLocations::of(import.owner, new.iter().map(|(_, new)| new)).load(connection).await?;
    let unknown: HashMap<_, _> =
        unknown.into_iter().map(|(merchant, location, visible)| ((merchant, location), visible)).collect();
    let (new, mut refused) = split_by_location(new, &unknown);
    let (new, repeated) = split_repeated(new);
    refused.extend(repeated);
    let transitions: Vec<&Transition> = new.iter().map(|(_, new)| new).collect();
    let added: Vec<String> = AddDevices::from(transitions.as_slice()).load(connection).await?;
    let (created, taken) = split_taken(new, &added.into_iter().collect());
    refused.extend(taken);
    Ok((created, refused))
}

/// Creates the devices of all pending rows in the order of their ids, so that two imports with some of the same devices
/// cannot deadlock.
async fn create_all(
    connection: &mut PgConn,
    import: &Import,
    now: OffsetDateTime,
) -> Result<(), Rollback<CompletionError>> {
    use import_rows::dsl;
    let mut after = (String::new(), 0);
    loop {
        let page: Vec<ImportRowRecord<Uuid>> = dsl::import_rows
            .filter(dsl::import_id.eq(import.import.id.0).and(dsl::outcome.is_null()))
            .filter(dsl::device_id.ge(&after.0))
            .filter(dsl::device_id.gt(&after.0).or(dsl::row_number.gt(after.1)))
            .order((dsl::device_id, dsl::row_number))
            .limit(signed(PAGE as u64))
            .load(connection)
            .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.device_id.clone().unwrap_or_default(), last.row_number);
        let new = provision_rows(page, &import.audit_context, now)
            .map_err(|corrupt| Rollback::Refused(CompletionError::Storage(corrupt.into())))?;
        let (_, refused) = create_devices(connection, &import.import, new).await?;
        if !refused.is_empty() {
            return Err(Rollback::Refused(CompletionError::Refused(refused)));
        }
    }
}

/// Locks an uploaded import until the end of the transaction, and removes the statement timeout: the transaction may be
/// long. `None` if another transaction has locked it.
async fn lock_import(connection: &mut PgConn, import: &ImportRef) -> Result<Option<Import>, Rollback<CompletionError>> {
    connection.batch_execute(&format!("SET LOCAL statement_timeout = 0; {INDEX_ORDER}")).await?;
    let row: Option<ImportRow<Uuid>> = imports::table
        .filter(imports::import_id.eq(import.id.0).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.ne_all([UPLOADING, DISCARDED]))
        .select(import_columns!())
        .for_update()
        .skip_locked()
        .first(connection)
        .await
        .optional()?;
    let read = row.map(ImportRow::import).transpose();
    read.map_err(|corrupt| Rollback::Refused(CompletionError::Storage(corrupt.into())))
}

/// Checks that all rows of an import are stored and, in best-effort mode, that no row is pending.
async fn check_complete(connection: &mut PgConn, import: &Import) -> Result<(), Rollback<CompletionError>> {
    use import_rows::dsl;
    let (rows, decided): (i64, i64) = dsl::import_rows
        .filter(dsl::import_id.eq(import.import.id.0))
        .select((diesel::dsl::count_star(), diesel::dsl::count(dsl::outcome)))
        .first(connection)
        .await?;
    if let Some(error) = check_row_counts(import, rows, decided) {
        return Err(Rollback::Refused(CompletionError::Storage(error)));
    }
    Ok(())
}

async fn first_refused(connection: &mut PgConn, import: &ImportRef) -> QueryResult<Option<i64>> {
    use import_rows::dsl;
    dsl::import_rows
        .filter(dsl::import_id.eq(import.id.0).and(dsl::outcome.ne(PROVISIONED)))
        .select(diesel::dsl::min(dsl::row_number))
        .first(connection)
        .await
}

/// Sets the final state of an import: refused because of a row, or applied.
async fn set_final_state(
    connection: &mut PgConn,
    import: &ImportRef,
    refused: Option<i64>,
) -> Result<Import, Rollback<CompletionError>> {
    let state = if refused.is_some() { REFUSED } else { APPLIED };
    let row: ImportRow<Uuid> = diesel::update(imports::table.find(import.id.0))
        .set((imports::state.eq(state), imports::refused_row.eq(refused)))
        .returning(import_columns!())
        .get_result(connection)
        .await?;
    row.import().map_err(|corrupt| Rollback::Refused(CompletionError::Storage(corrupt.into())))
}
