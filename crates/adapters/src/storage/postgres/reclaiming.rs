//! Room is taken back: each batch in a transaction of its own, under an advisory lock that ends with it.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use pos_domain::{DeviceId, events_reclaimed};
use pos_port_storage::{EventMark, ReclaimBatch, Reclaimable, Reclaimed, ReclaimedBatch, Reclaiming, StorageError};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::PgStore;
use super::audit::insert_audit_event;
use super::connection::Stop;
use super::import_lifetime::{ForgetExpired, RemoveImports, RemoveRows};
use super::link::PgLink;
use super::refusals::BEGINNING;
use crate::storage::reclaiming::{Count, FIRST_KEPT, Sweep, count_text, sweep_of, swept};
use crate::storage::rows::{CorruptRow, Reader, signed};

/// The lock of whoever is in a batch, in one database. It is held by the transaction, not by the connection, so that it
/// also holds behind a pooler that changes connections between transactions.
const LEASE: i64 = 0x706F_735F_726F_6F6D;

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = Bool)]
    held: bool,
}

/// What became of a batch of devices' events: how many were looked at and how many went, and the last that was looked at.
#[derive(QueryableByName)]
struct EventsGone {
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

impl EventsGone {
    fn mark(&self) -> Result<Option<EventMark>, CorruptRow> {
        let (Some(at), Some(device_id), Some(sequence)) = (self.at, &self.device_id, self.sequence) else {
            return Ok(None);
        };
        let reader = Reader { table: "device_events", row: format!("{device_id} {sequence}") };
        Ok(Some(EventMark {
            at,
            device_id: reader.read("device_id", DeviceId::parse(device_id).ok())?,
            sequence: reader.read("sequence", u64::try_from(sequence).ok())?,
        }))
    }
}

/// Rows that somebody is at are left to the next round; none is waited for.
fn sweep_text(Sweep { table, instant, only, .. }: &Sweep) -> String {
    format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table} WHERE {instant} <= $1 AND {only} ORDER BY {instant} LIMIT $2 FOR UPDATE SKIP LOCKED))"
    )
}

/// Looks at the next `$2` events up to `$1`, after the place `$3`, `$4`, `$5`, and removes what lies before them on their
/// devices. Nobody else changes or removes an event, so there is nothing to wait for. Each device is looked up by its key:
/// a join would have the planner read all there are.
fn events_text() -> String {
    format!(
        "WITH page AS (
            SELECT at, device_id, sequence FROM device_events
            WHERE at <= $1 AND (at, device_id, sequence) > ($3, $4, $5)
            ORDER BY at, device_id, sequence LIMIT $2
        ), passed AS (
            SELECT device_id, max(sequence) AS sequence FROM page GROUP BY device_id
        ), bounds AS MATERIALIZED (
            SELECT passed.device_id, least(passed.sequence,
                (SELECT {FIRST_KEPT} FROM devices WHERE devices.device_id = passed.device_id)) AS bound
            FROM passed
        ), going AS (
            SELECT bounds.device_id, one.sequence FROM bounds CROSS JOIN LATERAL (
                SELECT sequence FROM device_events
                WHERE device_events.device_id = bounds.device_id AND sequence < bounds.bound
                ORDER BY sequence LIMIT $2
            ) AS one
            ORDER BY bounds.device_id, one.sequence LIMIT $2
        ), gone AS (
            DELETE FROM device_events AS old USING going
            WHERE old.device_id = going.device_id AND old.sequence = going.sequence
            RETURNING old.device_id, old.sequence, old.hash
        ), anchored AS (
            INSERT INTO reclaimed_events AS known (device_id, through, hash)
            SELECT device_id, max(sequence), (array_agg(hash ORDER BY sequence DESC) FILTER (WHERE hash IS NOT NULL))[1]
            FROM gone GROUP BY device_id
            ON CONFLICT (device_id) DO UPDATE
                SET through = excluded.through, hash = coalesce(excluded.hash, known.hash)
        ), last AS (
            SELECT at, device_id, sequence FROM page ORDER BY at DESC, device_id DESC, sequence DESC LIMIT 1
        )
        SELECT (SELECT count(*) FROM page) AS looked, (SELECT count(*) FROM gone) AS removed,
            (SELECT at FROM last) AS at, (SELECT device_id FROM last) AS device_id,
            (SELECT sequence FROM last) AS sequence"
    )
}

async fn sweep(connection: &mut PgLink, batch: &ReclaimBatch, sweep: &Sweep) -> QueryResult<Reclaimed> {
    let removed = sql_query(sweep_text(sweep))
        .bind::<Timestamptz, _>(batch.before)
        .bind::<BigInt, _>(i64::from(batch.at_most))
        .execute(connection)
        .await? as u64;
    if removed > 0 && batch.what == Reclaimable::AuditEvents {
        let told = events_reclaimed(batch.what.as_str(), removed, batch.before, batch.now);
        insert_audit_event(connection, &told).await?;
    }
    Ok(swept(removed, batch.at_most))
}

async fn imports(connection: &mut PgLink, batch: &ReclaimBatch) -> QueryResult<Reclaimed> {
    let limit = i64::from(batch.at_most);
    ForgetExpired { now: batch.before, limit }.get_result::<i64>(connection).await?;
    let rows: i64 = RemoveRows { only: None, limit }.get_result(connection).await?;
    let imports: i64 = RemoveImports { only: None, limit: limit - rows }.get_result(connection).await?;
    Ok(swept(u64::try_from(rows + imports).unwrap_or(0), batch.at_most))
}

async fn events(connection: &mut PgLink, batch: &ReclaimBatch) -> Result<Reclaimed, Stop<StorageError>> {
    let (at, device, sequence) = match &batch.after {
        Some(mark) => (mark.at, mark.device_id.as_str(), signed(mark.sequence)),
        None => (BEGINNING, "", 0),
    };
    let gone: EventsGone = sql_query(events_text())
        .bind::<Timestamptz, _>(batch.before)
        .bind::<BigInt, _>(i64::from(batch.at_most))
        .bind::<Timestamptz, _>(at)
        .bind::<Text, _>(device)
        .bind::<BigInt, _>(sequence)
        .get_result(connection)
        .await?;
    let removed = u64::try_from(gone.removed).unwrap_or(0);
    if removed > 0 {
        let told = events_reclaimed(batch.what.as_str(), removed, batch.before, batch.now);
        insert_audit_event(connection, &told).await?;
    }
    // A batch that is full may have left something of the devices it looked at: the next looks at them again.
    let cut_short = removed >= u64::from(batch.at_most);
    let mark = gone.mark().map_err(|corrupt| Stop::Refused(corrupt.into()))?;
    Ok(Reclaimed::Done(ReclaimedBatch {
        removed,
        more: cut_short || gone.looked >= i64::from(batch.at_most),
        through: if cut_short { batch.after.clone() } else { mark.or_else(|| batch.after.clone()) },
    }))
}

#[async_trait]
impl Reclaiming for PgStore {
    async fn reclaim(&self, batch: &ReclaimBatch) -> Result<Reclaimed, StorageError> {
        transact!(self, bulk, async |connection| {
            let lease = sql_query("SELECT pg_try_advisory_xact_lock($1) AS held").bind::<BigInt, _>(LEASE);
            if !lease.get_result::<Held>(connection).await?.held {
                return Ok(Reclaimed::Elsewhere);
            }
            match (sweep_of(batch.what), batch.what) {
                (Some(table), _) => Ok(sweep(connection, batch, &table).await?),
                (None, Reclaimable::Imports) => Ok(imports(connection, batch).await?),
                (None, _) => events(connection, batch).await,
            }
        })
    }

    async fn reclaimable(&self, what: Reclaimable, before: OffsetDateTime, at_most: u32) -> Result<u64, StorageError> {
        let query = sql_query(count_text(what)).bind::<Timestamptz, _>(before).bind::<BigInt, _>(i64::from(at_most));
        let counted: Count = run!(self, bulk, |connection| query.get_result(connection))?;
        Ok(u64::try_from(counted.count).unwrap_or(0))
    }
}
