//! Audit checkpoints in PostgreSQL: each is appended in one transaction, under an advisory lock.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Timestamptz};
use diesel_async::RunQueryDsl;
use pos_domain::audit::{AuditEvent, AuditedRow, CheckpointEntry, Subject};
use pos_port_storage::audit::{
    AuditTrail, CHECKPOINT_WINDOW, CheckpointOutcome, CheckpointedEvent, StoredAuditEvent, StoredEntry,
};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::pool::Rollback;
use crate::postgres::schema::{audit_checkpoint_entries, audit_checkpoints, audit_events};
use crate::postgres::shared::audit_insert::insert_audit_event;
use crate::postgres::shared::instants::EARLIEST;
use crate::postgres::store::PgStore;
use crate::rows::audit;
use crate::rows::reader::{CorruptRow, signed};
use crate::rows::trail::{self, AUDITED_ROWS, AuditedRowRecord};
use pos_port_storage::audit::AuditPosition;
use pos_port_storage::shared::TimeRange;

type AuditRow = audit::AuditRow<Uuid, OffsetDateTime>;
type CheckpointRow = trail::CheckpointRow<OffsetDateTime>;
type EntryRow = trail::CheckpointEntryRow<OffsetDateTime>;

/// Advisory lock for appending a checkpoint, one per database.
const ADVISORY_LOCK: i64 = 0x706F_735F_7365_616C;

#[derive(QueryableByName)]
struct LockResult {
    #[diesel(sql_type = Bool)]
    held: bool,
}

fn refused(corrupt: CorruptRow) -> Rollback<StorageError> {
    Rollback::Refused(corrupt.into())
}

#[async_trait]
impl AuditTrail for PgStore {
    async fn append_checkpoint(&self, at: OffsetDateTime, at_most: u32) -> Result<CheckpointOutcome, StorageError> {
        self.transact(async |connection| {
            let lock = sql_query("SELECT pg_try_advisory_xact_lock($1) AS held").bind::<BigInt, _>(ADVISORY_LOCK);
            if !lock.get_result::<LockResult>(connection).await?.held {
                return Ok(CheckpointOutcome::Busy);
            }
            let last = audit_checkpoints::table.order(audit_checkpoints::sequence.desc());
            let last: Option<CheckpointRow> = last.first(connection).await.optional()?;
            let last =
                last.ok_or_else(|| Rollback::Refused(StorageError::Fault("audit_checkpoints has no row".into())))?;
            let last = last.checkpoint().map_err(refused)?;
            let from = signed(last.covered_through().saturating_sub(CHECKPOINT_WINDOW));
            let covered =
                audit_checkpoint_entries::table.filter(audit_checkpoint_entries::number.eq(audit_events::number));
            let rows: Vec<AuditRow> = audit_events::table
                .filter(audit_events::number.gt(from).and(diesel::dsl::not(diesel::dsl::exists(covered))))
                .order(audit_events::number)
                .limit(at_most.into())
                .load(connection)
                .await?;
            let entries = rows.into_iter().map(|row| Ok(row.stored()?.entry()));
            let entries = entries.collect::<Result<Vec<CheckpointEntry>, CorruptRow>>().map_err(refused)?;
            if entries.is_empty() {
                return Ok(CheckpointOutcome::Appended(0));
            }
            let next = last.next(&entries, at);
            diesel::insert_into(audit_checkpoints::table)
                .values((
                    audit_checkpoints::sequence.eq(signed(next.sequence)),
                    audit_checkpoints::through.eq(signed(next.through)),
                    audit_checkpoints::events.eq(signed(next.events)),
                    audit_checkpoints::at.eq(next.at),
                    audit_checkpoints::hash.eq(next.hash.0.to_vec()),
                ))
                .execute(connection)
                .await?;
            sql_query(
                "INSERT INTO audit_checkpoint_entries (number, checkpoint, at, hash)
                 SELECT number, $1, at, hash FROM unnest($2, $3, $4) AS entry (number, at, hash)",
            )
            .bind::<BigInt, _>(signed(next.sequence))
            .bind::<Array<BigInt>, _>(entries.iter().map(|entry| signed(entry.number)).collect::<Vec<_>>())
            .bind::<Array<Timestamptz>, _>(entries.iter().map(|entry| entry.at).collect::<Vec<_>>())
            .bind::<Array<Binary>, _>(entries.iter().map(|entry| entry.hash.0.to_vec()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
            Ok(CheckpointOutcome::Appended(entries.len() as u64))
        })
        .await
    }

    async fn record(&self, event: &AuditEvent) -> Result<(), StorageError> {
        self.run(async |connection| insert_audit_event(connection, event).await).await?;
        Ok(())
    }

    async fn checkpoints(
        &self,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<pos_domain::audit::Checkpoint>, StorageError> {
        use audit_checkpoints::dsl;
        let query = dsl::audit_checkpoints
            .filter(dsl::sequence.gt(after.map_or(-1, signed)))
            .order(dsl::sequence)
            .limit(limit.into());
        let rows: Vec<CheckpointRow> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(CheckpointRow::checkpoint).collect::<Result<_, _>>()?)
    }

    async fn entries(&self, checkpoint: u64) -> Result<Vec<StoredEntry>, StorageError> {
        let query = audit_checkpoint_entries::table
            .left_join(audit_events::table.on(audit_events::number.eq(audit_checkpoint_entries::number)))
            .filter(audit_checkpoint_entries::checkpoint.eq(signed(checkpoint)))
            .order(audit_checkpoint_entries::number)
            .select((audit_checkpoint_entries::all_columns, audit_events::number.nullable()));
        let rows: Vec<(EntryRow, Option<i64>)> = self.run(async |connection| query.load(connection).await).await?;
        let entry =
            |(row, number): (EntryRow, Option<i64>)| Ok(StoredEntry { entry: row.entry()?, present: number.is_some() });
        Ok(rows.into_iter().map(entry).collect::<Result<_, CorruptRow>>()?)
    }

    async fn audit_by_number(&self, after: u64, limit: u32) -> Result<Vec<CheckpointedEvent>, StorageError> {
        let query = audit_events::table
            .left_join(audit_checkpoint_entries::table.on(audit_checkpoint_entries::number.eq(audit_events::number)))
            .filter(audit_events::number.gt(signed(after)))
            .order(audit_events::number)
            .limit(limit.into())
            .select((audit_events::all_columns, audit_checkpoint_entries::hash.nullable()));
        let rows: Vec<(AuditRow, Option<Vec<u8>>)> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(trail::checkpointed_event).collect::<Result<_, _>>()?)
    }

    async fn audit_by_time(
        &self,
        span: &TimeRange,
        after: Option<AuditPosition>,
    ) -> Result<Vec<StoredAuditEvent>, StorageError> {
        use audit_events::dsl;
        let mut query = dsl::audit_events.order((dsl::at, dsl::number)).limit(span.limit.into()).into_boxed();
        if let Some(since) = span.since {
            query = query.filter(dsl::at.ge(since));
        }
        if let Some(until) = span.until {
            query = query.filter(dsl::at.lt(until));
        }
        if let Some(id) = &span.device_id {
            query = query.filter(dsl::subject.eq(Subject::Device(id.clone()).to_string()));
        }
        if let Some(mark) = after {
            query =
                query.filter(dsl::at.ge(mark.at)).filter(dsl::at.gt(mark.at).or(dsl::number.gt(signed(mark.number))));
        }
        let rows: Vec<AuditRow> = self.run_bulk(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(AuditRow::stored).collect::<Result<_, _>>()?)
    }

    async fn audit_about(
        &self,
        subject: &Subject,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<StoredAuditEvent>, StorageError> {
        use audit_events::dsl;
        let own = dsl::audit_events.filter(dsl::subject.eq(subject.to_string()));
        let query = own.filter(dsl::at.ge(since.unwrap_or(EARLIEST))).order(dsl::number);
        let rows: Vec<AuditRow> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(AuditRow::stored).collect::<Result<_, _>>()?)
    }

    async fn audited_rows(&self) -> Result<Vec<AuditedRow>, StorageError> {
        let rows: Vec<AuditedRowRecord> =
            self.run(async |connection| sql_query(AUDITED_ROWS).load(connection).await).await?;
        Ok(rows.into_iter().map(AuditedRowRecord::audited_row).collect::<Result<_, _>>()?)
    }
}
