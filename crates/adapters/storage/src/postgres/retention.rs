//! Purge of expired rows in PostgreSQL: each batch is one transaction, under a transaction-level advisory lock.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use pos_domain::audit::events_purged;
use pos_domain::shared::DeviceId;
use pos_port_storage::audit::{ExpiredKind, PurgeBatch, Purged, PurgedBatch, RetentionRepository};
use pos_port_storage::device::EventPosition;
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;

use crate::postgres::connection::PgConn;
use crate::postgres::fleet::import_lifetime::{DeleteImports, DeleteRows, DiscardExpired};
use crate::postgres::pool::Rollback;
use crate::postgres::shared::audit_insert::insert_audit_event;
use crate::postgres::shared::instants::EARLIEST;
use crate::postgres::store::PgStore;
use crate::rows::reader::{CorruptRow, Reader, signed};
use crate::rows::retention::{Count, FIRST_REQUIRED, PurgeTable, count_sql, purged_batch, table_of};

/// Advisory lock of a batch, one per database. The transaction holds it, not the session, so that it also works behind a
/// pooler in transaction mode.
const ADVISORY_LOCK: i64 = 0x706F_735F_726F_6F6D;

#[derive(QueryableByName)]
struct LockResult {
    #[diesel(sql_type = Bool)]
    held: bool,
}

/// Result of a batch of device events: how many were read and how many deleted, and the position of the last one read.
#[derive(QueryableByName)]
struct EventBatchRow {
    #[diesel(sql_type = BigInt)]
    looked: i64,
    #[diesel(sql_type = BigInt)]
    removed: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    device_id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    sequence: Option<i64>,
}

impl EventBatchRow {
    fn position(&self) -> Result<Option<EventPosition>, CorruptRow> {
        let (Some(at), Some(device_id), Some(sequence)) = (self.at, &self.device_id, self.sequence) else {
            return Ok(None);
        };
        let reader = Reader { table: "device_events", row: format!("{device_id} {sequence}") };
        Ok(Some(EventPosition {
            at,
            device_id: reader.read("device_id", DeviceId::parse(device_id).ok())?,
            sequence: reader.read("sequence", u64::try_from(sequence).ok())?,
        }))
    }
}

/// The statement skips locked rows: the next run deletes them.
fn delete_sql(PurgeTable { table, instant, only, .. }: &PurgeTable) -> String {
    format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table} WHERE {instant} <= $1 AND {only} ORDER BY {instant} LIMIT $2 FOR UPDATE SKIP LOCKED))"
    )
}

/// Reads the next `$2` events up to `$1`, after the position `$3`, `$4`, `$5`, and deletes the earlier events of their
/// devices. No other statement changes or deletes events, so there are no lock waits. Each device is looked up by key: the
/// planner would run a join over all devices.
fn events_sql() -> String {
    format!(
        "WITH page AS (
            SELECT at, device_id, sequence FROM device_events
            WHERE at <= $1 AND (at, device_id, sequence) > ($3, $4, $5)
            ORDER BY at, device_id, sequence LIMIT $2
        ), passed AS (
            SELECT device_id, max(sequence) AS sequence FROM page GROUP BY device_id
        ), bounds AS MATERIALIZED (
            SELECT passed.device_id, least(passed.sequence,
                (SELECT {FIRST_REQUIRED} FROM devices WHERE devices.device_id = passed.device_id)) AS bound
            FROM passed
        ), going AS (
            SELECT bounds.device_id, one.sequence FROM bounds CROSS JOIN LATERAL (
                SELECT sequence FROM device_events
                WHERE device_events.device_id = bounds.device_id AND sequence < bounds.bound
                ORDER BY sequence LIMIT $2
            ) AS one
            ORDER BY bounds.device_id, one.sequence LIMIT $2
        ), deleted AS (
            DELETE FROM device_events AS old USING going
            WHERE old.device_id = going.device_id AND old.sequence = going.sequence
            RETURNING old.device_id, old.sequence, old.hash
        ), anchored AS (
            INSERT INTO chain_checkpoints AS known (device_id, through, hash)
            SELECT device_id, max(sequence), (array_agg(hash ORDER BY sequence DESC) FILTER (WHERE hash IS NOT NULL))[1]
            FROM deleted GROUP BY device_id
            ON CONFLICT (device_id) DO UPDATE
                SET through = excluded.through, hash = coalesce(excluded.hash, known.hash)
        ), last AS (
            SELECT at, device_id, sequence FROM page ORDER BY at DESC, device_id DESC, sequence DESC LIMIT 1
        )
        SELECT (SELECT count(*) FROM page) AS looked, (SELECT count(*) FROM deleted) AS removed,
            (SELECT at FROM last) AS at, (SELECT device_id FROM last) AS device_id,
            (SELECT sequence FROM last) AS sequence"
    )
}

async fn purge_table(connection: &mut PgConn, batch: &PurgeBatch, table: &PurgeTable) -> QueryResult<Purged> {
    let removed = sql_query(delete_sql(table))
        .bind::<Timestamptz, _>(batch.before)
        .bind::<BigInt, _>(i64::from(batch.at_most))
        .execute(connection)
        .await? as u64;
    if removed > 0 && batch.what == ExpiredKind::AuditEvents {
        let audit = events_purged(batch.what.as_str(), removed, batch.before, batch.now);
        insert_audit_event(connection, &audit).await?;
    }
    Ok(purged_batch(removed, batch.at_most))
}

async fn purge_imports(connection: &mut PgConn, batch: &PurgeBatch) -> QueryResult<Purged> {
    let limit = i64::from(batch.at_most);
    DiscardExpired { now: batch.before, limit }.get_result::<i64>(connection).await?;
    let rows: i64 = DeleteRows { only: None, limit }.get_result(connection).await?;
    let imports: i64 = DeleteImports { only: None, limit: limit - rows }.get_result(connection).await?;
    Ok(purged_batch(u64::try_from(rows + imports).unwrap_or(0), batch.at_most))
}

async fn purge_events(connection: &mut PgConn, batch: &PurgeBatch) -> Result<Purged, Rollback<StorageError>> {
    let (at, device, sequence) = match &batch.after {
        Some(mark) => (mark.at, mark.device_id.as_str(), signed(mark.sequence)),
        None => (EARLIEST, "", 0),
    };
    let row: EventBatchRow = sql_query(events_sql())
        .bind::<Timestamptz, _>(batch.before)
        .bind::<BigInt, _>(i64::from(batch.at_most))
        .bind::<Timestamptz, _>(at)
        .bind::<Text, _>(device)
        .bind::<BigInt, _>(sequence)
        .get_result(connection)
        .await?;
    let removed = u64::try_from(row.removed).unwrap_or(0);
    if removed > 0 {
        let audit = events_purged(batch.what.as_str(), removed, batch.before, batch.now);
        insert_audit_event(connection, &audit).await?;
    }
    // A full batch may have left events of the devices that it read, so the next batch reads them again.
    let is_full = removed >= u64::from(batch.at_most);
    let position = row.position().map_err(|corrupt| Rollback::Refused(corrupt.into()))?;
    Ok(Purged::Done(PurgedBatch {
        removed,
        more: is_full || row.looked >= i64::from(batch.at_most),
        through: if is_full { batch.after.clone() } else { position.or_else(|| batch.after.clone()) },
    }))
}

#[async_trait]
impl RetentionRepository for PgStore {
    async fn purge(&self, batch: &PurgeBatch) -> Result<Purged, StorageError> {
        self.transact_bulk(async |connection| {
            let lock = sql_query("SELECT pg_try_advisory_xact_lock($1) AS held").bind::<BigInt, _>(ADVISORY_LOCK);
            if !lock.get_result::<LockResult>(connection).await?.held {
                return Ok(Purged::Busy);
            }
            match (table_of(batch.what), batch.what) {
                (Some(table), _) => Ok(purge_table(connection, batch, &table).await?),
                (None, ExpiredKind::Imports) => Ok(purge_imports(connection, batch).await?),
                (None, _) => purge_events(connection, batch).await,
            }
        })
        .await
    }

    async fn count_expired(
        &self,
        what: ExpiredKind,
        before: OffsetDateTime,
        at_most: u32,
    ) -> Result<u64, StorageError> {
        let query = sql_query(count_sql(what)).bind::<Timestamptz, _>(before).bind::<BigInt, _>(i64::from(at_most));
        let counted: Count = self.run_bulk(async |connection| query.get_result(connection).await).await?;
        Ok(u64::try_from(counted.count).unwrap_or(0))
    }
}
