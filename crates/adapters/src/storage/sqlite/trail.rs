//! Checkpoints over the administrative trail: a batch is sealed in one transaction, which holds the write lock.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_query;
use pos_domain::{AuditEvent, Checkpoint, Holding, Subject};
use pos_port_storage::{AuditTrail, KeptAuditEvent, KeptSeal, SEAL_WINDOW, Sealed, SealedEvent, StorageError};
use time::OffsetDateTime;

use super::audit::insert_audit_event;
use super::schema::{audit_checkpoints, audit_events, audit_seals};
use super::{SqliteStore, micros};
use crate::storage::audit_rows;
use crate::storage::failure::Failure;
use crate::storage::rows::{CorruptRow, signed};
use crate::storage::trail_rows::{self, HOLDINGS, HoldingRow};

type AuditRow = audit_rows::AuditRow<String, i64>;
type CheckpointRow = trail_rows::CheckpointRow<i64>;
type SealRow = trail_rows::SealRow<i64>;

fn seal(connection: &mut SqliteConnection, at: OffsetDateTime, at_most: u32) -> Result<Sealed, Failure> {
    let last = audit_checkpoints::table.order(audit_checkpoints::sequence.desc());
    let last: Option<CheckpointRow> = last.first(connection).optional()?;
    let last = last.ok_or_else(|| Failure::Storage(StorageError::Fault("audit_checkpoints has no row".into())))?;
    let last = last.checkpoint()?;
    let from = signed(last.sealed_through().saturating_sub(SEAL_WINDOW));
    let sealed = audit_seals::table.filter(audit_seals::number.eq(audit_events::number));
    let rows: Vec<AuditRow> = audit_events::table
        .filter(audit_events::number.gt(from).and(diesel::dsl::not(diesel::dsl::exists(sealed))))
        .order(audit_events::number)
        .limit(at_most.into())
        .load(connection)?;
    let seals = rows.into_iter().map(|row| Ok(row.kept()?.seal())).collect::<Result<Vec<_>, CorruptRow>>()?;
    if seals.is_empty() {
        return Ok(Sealed::Done(0));
    }
    let next = last.next(&seals, at);
    diesel::insert_into(audit_checkpoints::table)
        .values((
            audit_checkpoints::sequence.eq(signed(next.sequence)),
            audit_checkpoints::through.eq(signed(next.through)),
            audit_checkpoints::events.eq(signed(next.events)),
            audit_checkpoints::at.eq(micros(next.at)),
            audit_checkpoints::hash.eq(next.hash.0.to_vec()),
        ))
        .execute(connection)?;
    for seal in &seals {
        diesel::insert_into(audit_seals::table)
            .values((
                audit_seals::number.eq(signed(seal.number)),
                audit_seals::checkpoint.eq(signed(next.sequence)),
                audit_seals::at.eq(micros(seal.at)),
                audit_seals::hash.eq(seal.hash.0.to_vec()),
            ))
            .execute(connection)?;
    }
    Ok(Sealed::Done(seals.len() as u64))
}

#[async_trait]
impl AuditTrail for SqliteStore {
    async fn seal(&self, at: OffsetDateTime, at_most: u32) -> Result<Sealed, StorageError> {
        Ok(self.write(move |connection| seal(connection, at, at_most)).await?)
    }

    async fn tell(&self, event: &AuditEvent) -> Result<(), StorageError> {
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

    async fn seals(&self, checkpoint: u64) -> Result<Vec<KeptSeal>, StorageError> {
        let rows = self.read(move |connection| {
            let query = audit_seals::table
                .left_join(audit_events::table.on(audit_events::number.eq(audit_seals::number)))
                .filter(audit_seals::checkpoint.eq(signed(checkpoint)))
                .order(audit_seals::number)
                .select((audit_seals::all_columns, audit_events::number.nullable()));
            Ok(query.load::<(SealRow, Option<i64>)>(connection)?)
        });
        let kept =
            |(row, number): (SealRow, Option<i64>)| Ok(KeptSeal { seal: row.seal()?, present: number.is_some() });
        Ok(rows.await?.into_iter().map(kept).collect::<Result<_, CorruptRow>>()?)
    }

    async fn audit_by_number(&self, after: u64, limit: u32) -> Result<Vec<SealedEvent>, StorageError> {
        let rows = self.read(move |connection| {
            let query = audit_events::table
                .left_join(audit_seals::table.on(audit_seals::number.eq(audit_events::number)))
                .filter(audit_events::number.gt(signed(after)))
                .order(audit_events::number)
                .limit(limit.into())
                .select((audit_events::all_columns, audit_seals::hash.nullable()));
            Ok(query.load::<(AuditRow, Option<Vec<u8>>)>(connection)?)
        });
        Ok(rows.await?.into_iter().map(trail_rows::sealed_event).collect::<Result<_, _>>()?)
    }

    async fn audit_about(
        &self,
        subject: &Subject,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<KeptAuditEvent>, StorageError> {
        use audit_events::dsl;
        let subject = subject.to_string();
        let rows = self.read(move |connection| {
            let own = dsl::audit_events.filter(dsl::subject.eq(subject));
            let query = own.filter(dsl::at.ge(since.map_or(i64::MIN, micros))).order(dsl::number);
            Ok(query.load::<AuditRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(AuditRow::kept).collect::<Result<_, _>>()?)
    }

    async fn holdings(&self) -> Result<Vec<Holding>, StorageError> {
        let rows = self.read(|connection| Ok(sql_query(HOLDINGS).load::<HoldingRow>(connection)?));
        Ok(rows.await?.into_iter().map(HoldingRow::holding).collect::<Result<_, _>>()?)
    }
}
