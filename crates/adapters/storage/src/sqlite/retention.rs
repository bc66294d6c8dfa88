//! Purge of expired rows in SQLite: each batch holds the write lock from its start, so batches never overlap.

use std::collections::BTreeMap;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::{SqliteConnection, sql_query};
use pos_domain::audit::events_purged;
use pos_domain::shared::DeviceId;
use pos_port_storage::audit::{ExpiredKind, PurgeBatch, Purged, PurgedBatch, RetentionRepository};
use pos_port_storage::device::EventPosition;
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::rows::reader::{Reader, signed};
use crate::rows::retention::{Count, FIRST_REQUIRED, PurgeTable, count_sql, purged_batch, table_of};
use crate::sqlite::fleet::staging::delete_expired;
use crate::sqlite::instants::micros;
use crate::sqlite::schema::{chain_checkpoints, device_events};
use crate::sqlite::shared::audit_insert::insert_audit_event;
use crate::sqlite::store::SqliteStore;

fn purge_table(
    connection: &mut SqliteConnection,
    batch: &PurgeBatch,
    PurgeTable { table, key, instant, only }: &PurgeTable,
) -> Result<Purged, EngineError> {
    let text = format!(
        "DELETE FROM {table} WHERE ({key}) IN (
            SELECT {key} FROM {table} WHERE {instant} <= $1 AND {only} ORDER BY {instant} LIMIT $2)"
    );
    let removed = sql_query(text)
        .bind::<BigInt, _>(micros(batch.before))
        .bind::<BigInt, _>(i64::from(batch.at_most))
        .execute(connection)? as u64;
    if removed > 0 && batch.what == ExpiredKind::AuditEvents {
        insert_audit_event(connection, &events_purged(batch.what.as_str(), removed, batch.before, batch.now))?;
    }
    Ok(purged_batch(removed, batch.at_most))
}

/// Loads the next events up to the cut-off, after the position at which the previous batch ended.
fn load_page(connection: &mut SqliteConnection, batch: &PurgeBatch) -> Result<Vec<(i64, String, i64)>, EngineError> {
    use device_events::dsl;
    let mut query = dsl::device_events
        .filter(dsl::at.le(micros(batch.before)))
        .select((dsl::at, dsl::device_id, dsl::sequence))
        .order((dsl::at, dsl::device_id, dsl::sequence))
        .limit(batch.at_most.into())
        .into_boxed();
    if let Some(mark) = &batch.after {
        let (at, device) = (micros(mark.at), mark.device_id.as_str().to_owned());
        let same_device = dsl::device_id.eq(device.clone()).and(dsl::sequence.gt(signed(mark.sequence)));
        query = query.filter(dsl::at.ge(at)).filter(dsl::at.gt(at).or(dsl::device_id.gt(device)).or(same_device));
    }
    Ok(query.load(connection)?)
}

/// Deletes at most `limit` of the oldest events of a device before `bound`, and stores a chain checkpoint. Returns how many.
fn delete_events(
    connection: &mut SqliteConnection,
    device: &str,
    bound: i64,
    limit: i64,
) -> Result<usize, EngineError> {
    use device_events::dsl;
    let own = dsl::device_events.filter(dsl::device_id.eq(device));
    let expired = own
        .filter(dsl::sequence.lt(bound))
        .order(dsl::sequence)
        .select((dsl::sequence, dsl::hash))
        .limit(limit)
        .load::<(i64, Option<Vec<u8>>)>(connection)?;
    let Some((through, _)) = expired.last().cloned() else { return Ok(0) };
    let hash = expired.into_iter().rev().find_map(|(_, hash)| hash);
    let known = chain_checkpoints::table.find(device).select(chain_checkpoints::hash);
    let known: Option<Option<Vec<u8>>> = known.first(connection).optional()?;
    diesel::replace_into(chain_checkpoints::table)
        .values((
            chain_checkpoints::device_id.eq(device),
            chain_checkpoints::through.eq(through),
            chain_checkpoints::hash.eq(hash.or(known.flatten())),
        ))
        .execute(connection)?;
    Ok(diesel::delete(own.filter(dsl::sequence.le(through))).execute(connection)?)
}

fn purge_events(connection: &mut SqliteConnection, batch: &PurgeBatch) -> Result<Purged, EngineError> {
    let page = load_page(connection, batch)?;
    let mut last_read = BTreeMap::new();
    for (_, device, sequence) in &page {
        let last = last_read.entry(device.as_str()).or_insert(0);
        *last = (*sequence).max(*last);
    }
    let first_required = format!("SELECT {FIRST_REQUIRED} AS count FROM devices WHERE device_id = $1");
    let limit = batch.at_most as usize;
    let mut removed = 0;
    for (device, last) in last_read {
        if removed < limit {
            let required = sql_query(&first_required).bind::<Text, _>(device).get_result::<Count>(connection)?;
            let left = i64::try_from(limit - removed).unwrap_or(0);
            removed += delete_events(connection, device, last.min(required.count), left)?;
        }
    }
    if removed > 0 {
        let audit = events_purged(batch.what.as_str(), removed as u64, batch.before, batch.now);
        insert_audit_event(connection, &audit)?;
    }
    let last = page.last().map(|(at, device, sequence)| {
        let reader = Reader { table: "device_events", row: format!("{device} {sequence}") };
        Ok::<_, EngineError>(EventPosition {
            at: reader.instant("at", *at)?,
            device_id: reader.read("device_id", DeviceId::parse(device).ok())?,
            sequence: reader.read("sequence", u64::try_from(*sequence).ok())?,
        })
    });
    // A full batch may have left events of the devices that it read, so the next batch reads them again.
    let is_full = removed >= limit;
    let position = if is_full { None } else { last.transpose()? };
    Ok(Purged::Done(PurgedBatch {
        removed: removed as u64,
        more: is_full || page.len() >= limit,
        through: position.or_else(|| batch.after.clone()),
    }))
}

#[async_trait]
impl RetentionRepository for SqliteStore {
    async fn purge(&self, batch: &PurgeBatch) -> Result<Purged, StorageError> {
        let batch = batch.clone();
        let purged = self.writer.write_many(move |connection| match (table_of(batch.what), batch.what) {
            (Some(table), _) => purge_table(connection, &batch, &table),
            (None, ExpiredKind::Imports) => {
                Ok(purged_batch(delete_expired(connection, batch.before, batch.at_most)?, batch.at_most))
            }
            (None, _) => purge_events(connection, &batch),
        });
        Ok(purged.await?)
    }

    async fn count_expired(
        &self,
        what: ExpiredKind,
        before: OffsetDateTime,
        at_most: u32,
    ) -> Result<u64, StorageError> {
        let counted = self.read_bulk(move |connection| {
            let query = sql_query(count_sql(what)).bind::<BigInt, _>(micros(before));
            Ok(query.bind::<BigInt, _>(i64::from(at_most)).get_result::<Count>(connection)?)
        });
        Ok(u64::try_from(counted.await?.count).unwrap_or(0))
    }
}
