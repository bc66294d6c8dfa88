//! Audit checkpoints in SQLite: each is appended in one transaction, which holds the write lock.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_query;
use pos_domain::audit::{AuditEvent, AuditedRow, Checkpoint, Subject};
use pos_port_storage::audit::{
    AuditTrail, CHECKPOINT_WINDOW, CheckpointOutcome, CheckpointedEvent, StoredAuditEvent, StoredEntry,
};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::rows::audit;
use crate::rows::reader::{CorruptRow, signed};
use crate::rows::trail::{self, AUDITED_ROWS, AuditedRowRecord};
use crate::sqlite::instants::micros;
use crate::sqlite::schema::{audit_checkpoint_entries, audit_checkpoints, audit_events};
use crate::sqlite::shared::audit_insert::insert_audit_event;
use crate::sqlite::store::SqliteStore;
use pos_port_storage::audit::AuditPosition;
use pos_port_storage::shared::TimeRange;

type AuditRow = audit::AuditRow<String, i64>;
type CheckpointRow = trail::CheckpointRow<i64>;
type EntryRow = trail::CheckpointEntryRow<i64>;

fn append(
    connection: &mut SqliteConnection,
    at: OffsetDateTime,
    at_most: u32,
) -> Result<CheckpointOutcome, EngineError> {
    let last = audit_checkpoints::table.order(audit_checkpoints::sequence.desc());
    let last: Option<CheckpointRow> = last.first(connection).optional()?;
    let last = last.ok_or_else(|| EngineError::Storage(StorageError::Fault("audit_checkpoints has no row".into())))?;
    let last = last.checkpoint()?;
    let from = signed(last.covered_through().saturating_sub(CHECKPOINT_WINDOW));
    let covered = audit_checkpoint_entries::table.filter(audit_checkpoint_entries::number.eq(audit_events::number));
    let rows: Vec<AuditRow> = audit_events::table
        .filter(audit_events::number.gt(from).and(diesel::dsl::not(diesel::dsl::exists(covered))))
        .order(audit_events::number)
        .limit(at_most.into())
        .load(connection)?;
    let entries = rows.into_iter().map(|row| Ok(row.stored()?.entry())).collect::<Result<Vec<_>, CorruptRow>>()?;
    if entries.is_empty() {
        return Ok(CheckpointOutcome::Appended(0));
    }
    let next = last.next(&entries, at);
    diesel::insert_into(audit_checkpoints::table)
        .values((
            audit_checkpoints::sequence.eq(signed(next.sequence)),
            audit_checkpoints::through.eq(signed(next.through)),
            audit_checkpoints::events.eq(signed(next.events)),
            audit_checkpoints::at.eq(micros(next.at)),
            audit_checkpoints::hash.eq(next.hash.0.to_vec()),
        ))
        .execute(connection)?;
    for entry in &entries {
        diesel::insert_into(audit_checkpoint_entries::table)
            .values((
                audit_checkpoint_entries::number.eq(signed(entry.number)),
                audit_checkpoint_entries::checkpoint.eq(signed(next.sequence)),
                audit_checkpoint_entries::at.eq(micros(entry.at)),
                audit_checkpoint_entries::hash.eq(entry.hash.0.to_vec()),
            ))
            .execute(connection)?;
    }
    Ok(CheckpointOutcome::Appended(entries.len() as u64))
}

#[async_trait]
impl AuditTrail for SqliteStore {
    async fn append_checkpoint(&self, at: OffsetDateTime, at_most: u32) -> Result<CheckpointOutcome, StorageError> {
        Ok(self.write(move |connection| append(connection, at, at_most)).await?)
    }

    async fn record(&self, event: &AuditEvent) -> Result<(), StorageError> {
        let event = event.clone();
        Ok(self.write(move |connection| insert_audit_event(connection, &event)).await?)
    }

    async fn checkpoints(&self, after: Option<u64>, limit: u32) -> Result<Vec<Checkpoint>, StorageError> {
        use audit_checkpoints::dsl;
        let rows = self.read(move |connection| {
            let query = dsl::audit_checkpoints
                .filter(dsl::sequence.gt(after.map_or(-1, signed)))
                .order(dsl::sequence)
                .limit(limit.into());
            Ok(query.load::<CheckpointRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(CheckpointRow::checkpoint).collect::<Result<_, _>>()?)
    }

    async fn entries(&self, checkpoint: u64) -> Result<Vec<StoredEntry>, StorageError> {
        let rows = self.read(move |connection| {
            let query = audit_checkpoint_entries::table
                .left_join(audit_events::table.on(audit_events::number.eq(audit_checkpoint_entries::number)))
                .filter(audit_checkpoint_entries::checkpoint.eq(signed(checkpoint)))
                .order(audit_checkpoint_entries::number)
                .select((audit_checkpoint_entries::all_columns, audit_events::number.nullable()));
            Ok(query.load::<(EntryRow, Option<i64>)>(connection)?)
        });
        let entry =
            |(row, number): (EntryRow, Option<i64>)| Ok(StoredEntry { entry: row.entry()?, present: number.is_some() });
        Ok(rows.await?.into_iter().map(entry).collect::<Result<_, CorruptRow>>()?)
    }

    async fn audit_by_number(&self, after: u64, limit: u32) -> Result<Vec<CheckpointedEvent>, StorageError> {
        let rows = self.read(move |connection| {
            let query = audit_events::table
                .left_join(
                    audit_checkpoint_entries::table.on(audit_checkpoint_entries::number.eq(audit_events::number)),
                )
                .filter(audit_events::number.gt(signed(after)))
                .order(audit_events::number)
                .limit(limit.into())
                .select((audit_events::all_columns, audit_checkpoint_entries::hash.nullable()));
            Ok(query.load::<(AuditRow, Option<Vec<u8>>)>(connection)?)
        });
        Ok(rows.await?.into_iter().map(trail::checkpointed_event).collect::<Result<_, _>>()?)
    }

    async fn audit_by_time(
        &self,
        span: &TimeRange,
        after: Option<AuditPosition>,
    ) -> Result<Vec<StoredAuditEvent>, StorageError> {
        use audit_events::dsl;
        let span = span.clone();
        let rows = self.read_bulk(move |connection| {
            let mut query = dsl::audit_events.order((dsl::at, dsl::number)).limit(span.limit.into()).into_boxed();
            if let Some(since) = span.since {
                query = query.filter(dsl::at.ge(micros(since)));
            }
            if let Some(until) = span.until {
                query = query.filter(dsl::at.lt(micros(until)));
            }
            if let Some(id) = span.device_id {
                query = query.filter(dsl::subject.eq(Subject::Device(id).to_string()));
            }
            if let Some(mark) = after {
                let at = micros(mark.at);
                query = query.filter(dsl::at.ge(at)).filter(dsl::at.gt(at).or(dsl::number.gt(signed(mark.number))));
            }
            Ok(query.load::<AuditRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(AuditRow::stored).collect::<Result<_, _>>()?)
    }

    async fn audit_about(
        &self,
        subject: &Subject,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<StoredAuditEvent>, StorageError> {
        use audit_events::dsl;
        let subject = subject.to_string();
        let rows = self.read(move |connection| {
            let own = dsl::audit_events.filter(dsl::subject.eq(subject));
            let query = own.filter(dsl::at.ge(since.map_or(i64::MIN, micros))).order(dsl::number);
            Ok(query.load::<AuditRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(AuditRow::stored).collect::<Result<_, _>>()?)
    }

    async fn audited_rows(&self) -> Result<Vec<AuditedRow>, StorageError> {
        let rows = self.read(|connection| Ok(sql_query(AUDITED_ROWS).load::<AuditedRowRecord>(connection)?));
        Ok(rows.await?.into_iter().map(AuditedRowRecord::audited_row).collect::<Result<_, _>>()?)
    }
}
