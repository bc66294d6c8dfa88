//! Room is taken back: each batch holds the write lock from its start, so nobody else is in one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::{SqliteConnection, sql_query};
use pos_domain::{DeviceId, events_reclaimed};
use pos_port_storage::{EventMark, ReclaimBatch, Reclaimable, Reclaimed, ReclaimedBatch, Reclaiming, StorageError};
use time::OffsetDateTime;

use super::audit::insert_audit_event;
use super::schema::{device_events, reclaimed_events};
use super::staging::remove_over;
use super::{SqliteStore, micros};
use crate::storage::failure::Failure;
use crate::storage::reclaiming::{Count, FIRST_KEPT, Sweep, count_text, sweep_of, swept};
use crate::storage::rows::{Reader, signed};

fn sweep(
    connection: &mut SqliteConnection,
    batch: &ReclaimBatch,
    Sweep { table, key, instant, only }: &Sweep,
) -> Result<Reclaimed, Failure> {
    let text = format!(
        "DELETE FROM {table} WHERE ({key}) IN (
            SELECT {key} FROM {table} WHERE {instant} <= $1 AND {only} ORDER BY {instant} LIMIT $2)"
    );
    let removed = sql_query(text)
        .bind::<BigInt, _>(micros(batch.before))
        .bind::<BigInt, _>(i64::from(batch.at_most))
        .execute(connection)? as u64;
    if removed > 0 && batch.what == Reclaimable::AuditEvents {
        insert_audit_event(connection, &events_reclaimed(batch.what.as_str(), removed, batch.before, batch.now))?;
    }
    Ok(swept(removed, batch.at_most))
}

/// The next events up to the cut-off, after the place where the batch before ended.
fn page(connection: &mut SqliteConnection, batch: &ReclaimBatch) -> Result<Vec<(i64, String, i64)>, Failure> {
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

/// Removes the oldest events of a device before `bound`, at most so many, and leaves an anchor; answers how many went.
fn remove_events(connection: &mut SqliteConnection, device: &str, bound: i64, limit: i64) -> Result<usize, Failure> {
    use device_events::dsl;
    let own = dsl::device_events.filter(dsl::device_id.eq(device));
    let going = own
        .filter(dsl::sequence.lt(bound))
        .order(dsl::sequence)
        .select((dsl::sequence, dsl::hash))
        .limit(limit)
        .load::<(i64, Option<Vec<u8>>)>(connection)?;
    let Some((through, _)) = going.last().cloned() else { return Ok(0) };
    let hash = going.into_iter().rev().find_map(|(_, hash)| hash);
    let known = reclaimed_events::table.find(device).select(reclaimed_events::hash);
    let known: Option<Option<Vec<u8>>> = known.first(connection).optional()?;
    diesel::replace_into(reclaimed_events::table)
        .values((
            reclaimed_events::device_id.eq(device),
            reclaimed_events::through.eq(through),
            reclaimed_events::hash.eq(hash.or(known.flatten())),
        ))
        .execute(connection)?;
    Ok(diesel::delete(own.filter(dsl::sequence.le(through))).execute(connection)?)
}

fn events(connection: &mut SqliteConnection, batch: &ReclaimBatch) -> Result<Reclaimed, Failure> {
    let page = page(connection, batch)?;
    let mut passed = BTreeMap::new();
    for (_, device, sequence) in &page {
        let last = passed.entry(device.as_str()).or_insert(0);
        *last = (*sequence).max(*last);
    }
    let first_kept = format!("SELECT {FIRST_KEPT} AS count FROM devices WHERE device_id = $1");
    let limit = batch.at_most as usize;
    let mut removed = 0;
    for (device, last) in passed {
        if removed < limit {
            let kept = sql_query(&first_kept).bind::<Text, _>(device).get_result::<Count>(connection)?;
            let left = i64::try_from(limit - removed).unwrap_or(0);
            removed += remove_events(connection, device, last.min(kept.count), left)?;
        }
    }
    if removed > 0 {
        let told = events_reclaimed(batch.what.as_str(), removed as u64, batch.before, batch.now);
        insert_audit_event(connection, &told)?;
    }
    let last = page.last().map(|(at, device, sequence)| {
        let reader = Reader { table: "device_events", row: format!("{device} {sequence}") };
        Ok::<_, Failure>(EventMark {
            at: reader.instant("at", *at)?,
            device_id: reader.read("device_id", DeviceId::parse(device).ok())?,
            sequence: reader.read("sequence", u64::try_from(*sequence).ok())?,
        })
    });
    // A batch that is full may have left something of the devices it looked at: the next looks at them again.
    let cut_short = removed >= limit;
    let mark = if cut_short { None } else { last.transpose()? };
    Ok(Reclaimed::Done(ReclaimedBatch {
        removed: removed as u64,
        more: cut_short || page.len() >= limit,
        through: mark.or_else(|| batch.after.clone()),
    }))
}

#[async_trait]
impl Reclaiming for SqliteStore {
    async fn reclaim(&self, batch: &ReclaimBatch) -> Result<Reclaimed, StorageError> {
        let batch = batch.clone();
        let reclaimed = self.writer.write_many(move |connection| match (sweep_of(batch.what), batch.what) {
            (Some(table), _) => sweep(connection, &batch, &table),
            (None, Reclaimable::Imports) => {
                Ok(swept(remove_over(connection, batch.before, batch.at_most)?, batch.at_most))
            }
            (None, _) => events(connection, &batch),
        });
        Ok(reclaimed.await?)
    }

    async fn reclaimable(&self, what: Reclaimable, before: OffsetDateTime, at_most: u32) -> Result<u64, StorageError> {
        let counted = self.read_bulk(move |connection| {
            let query = sql_query(count_text(what)).bind::<BigInt, _>(micros(before));
            Ok(query.bind::<BigInt, _>(i64::from(at_most)).get_result::<Count>(connection)?)
        });
        Ok(u64::try_from(counted.await?.count).unwrap_or(0))
    }
}
