//! Checkpoints over the administrative trail: a batch is sealed in one transaction, under an advisory lock.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Timestamptz};
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use pos_domain::{AuditEvent, Holding, Seal, Subject};
use pos_port_storage::{AuditTrail, KeptAuditEvent, KeptSeal, SEAL_WINDOW, Sealed, SealedEvent, StorageError};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::PgStore;
use super::audit::insert_audit_event;
use super::connection::Stop;
use super::refusals::BEGINNING;
use super::schema::{audit_checkpoints, audit_events, audit_seals};
use crate::storage::audit_rows;
use crate::storage::rows::{CorruptRow, signed};
use crate::storage::trail_rows::{self, HOLDINGS, HoldingRow};

type AuditRow = audit_rows::AuditRow<Uuid, OffsetDateTime>;
type CheckpointRow = trail_rows::CheckpointRow<OffsetDateTime>;
type SealRow = trail_rows::SealRow<OffsetDateTime>;

/// The lock of whoever seals, in one database.
const LEASE: i64 = 0x706F_735F_7365_616C;

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = Bool)]
    held: bool,
}

fn refused(corrupt: CorruptRow) -> Stop<StorageError> {
    Stop::Refused(corrupt.into())
}

#[async_trait]
impl AuditTrail for PgStore {
    async fn seal(&self, at: OffsetDateTime, at_most: u32) -> Result<Sealed, StorageError> {
        transact!(self, async |connection| {
            let lease = sql_query("SELECT pg_try_advisory_xact_lock($1) AS held").bind::<BigInt, _>(LEASE);
            if !lease.get_result::<Held>(connection).await?.held {
                return Ok(Sealed::Elsewhere);
            }
            let last = audit_checkpoints::table.order(audit_checkpoints::sequence.desc());
            let last: Option<CheckpointRow> = last.first(connection).await.optional()?;
            let last = last.ok_or_else(|| Stop::Refused(StorageError::Fault("audit_checkpoints has no row".into())))?;
            let last = last.checkpoint().map_err(refused)?;
            let from = signed(last.sealed_through().saturating_sub(SEAL_WINDOW));
            let sealed = audit_seals::table.filter(audit_seals::number.eq(audit_events::number));
            let rows: Vec<AuditRow> = audit_events::table
                .filter(audit_events::number.gt(from).and(diesel::dsl::not(diesel::dsl::exists(sealed))))
                .order(audit_events::number)
                .limit(at_most.into())
                .load(connection)
                .await?;
            let seals = rows.into_iter().map(|row| Ok(row.kept()?.seal()));
            let seals = seals.collect::<Result<Vec<Seal>, CorruptRow>>().map_err(refused)?;
            if seals.is_empty() {
                return Ok(Sealed::Done(0));
            }
            let next = last.next(&seals, at);
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
                "INSERT INTO audit_seals (number, checkpoint, at, hash)
                 SELECT number, $1, at, hash FROM unnest($2, $3, $4) AS seal (number, at, hash)",
            )
            .bind::<BigInt, _>(signed(next.sequence))
            .bind::<Array<BigInt>, _>(seals.iter().map(|seal| signed(seal.number)).collect::<Vec<_>>())
            .bind::<Array<Timestamptz>, _>(seals.iter().map(|seal| seal.at).collect::<Vec<_>>())
            .bind::<Array<Binary>, _>(seals.iter().map(|seal| seal.hash.0.to_vec()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
            Ok(Sealed::Done(seals.len() as u64))
        })
    }

    async fn tell(&self, event: &AuditEvent) -> Result<(), StorageError> {
        run!(self, |connection| insert_audit_event(connection, event))?;
        Ok(())
    }

    async fn checkpoints(&self, after: Option<u64>, limit: u32) -> Result<Vec<pos_domain::Checkpoint>, StorageError> {
        use audit_checkpoints::dsl;
        let query = dsl::audit_checkpoints
            .filter(dsl::sequence.gt(after.map_or(-1, signed)))
            .order(dsl::sequence)
            .limit(limit.into());
        let rows: Vec<CheckpointRow> = run!(self, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(CheckpointRow::checkpoint).collect::<Result<_, _>>()?)
    }

    async fn seals(&self, checkpoint: u64) -> Result<Vec<KeptSeal>, StorageError> {
        let query = audit_seals::table
            .left_join(audit_events::table.on(audit_events::number.eq(audit_seals::number)))
            .filter(audit_seals::checkpoint.eq(signed(checkpoint)))
            .order(audit_seals::number)
            .select((audit_seals::all_columns, audit_events::number.nullable()));
        let rows: Vec<(SealRow, Option<i64>)> = run!(self, |connection| query.load(connection))?;
        let kept =
            |(row, number): (SealRow, Option<i64>)| Ok(KeptSeal { seal: row.seal()?, present: number.is_some() });
        Ok(rows.into_iter().map(kept).collect::<Result<_, CorruptRow>>()?)
    }

    async fn audit_by_number(&self, after: u64, limit: u32) -> Result<Vec<SealedEvent>, StorageError> {
        let query = audit_events::table
            .left_join(audit_seals::table.on(audit_seals::number.eq(audit_events::number)))
            .filter(audit_events::number.gt(signed(after)))
            .order(audit_events::number)
            .limit(limit.into())
            .select((audit_events::all_columns, audit_seals::hash.nullable()));
        let rows: Vec<(AuditRow, Option<Vec<u8>>)> = run!(self, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(trail_rows::sealed_event).collect::<Result<_, _>>()?)
    }

    async fn audit_about(
        &self,
        subject: &Subject,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<KeptAuditEvent>, StorageError> {
        use audit_events::dsl;
        let own = dsl::audit_events.filter(dsl::subject.eq(subject.to_string()));
        let query = own.filter(dsl::at.ge(since.unwrap_or(BEGINNING))).order(dsl::number);
        let rows: Vec<AuditRow> = run!(self, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(AuditRow::kept).collect::<Result<_, _>>()?)
    }

    async fn holdings(&self) -> Result<Vec<Holding>, StorageError> {
        let rows: Vec<HoldingRow> = run!(self, |connection| sql_query(HOLDINGS).load(connection))?;
        Ok(rows.into_iter().map(HoldingRow::holding).collect::<Result<_, _>>()?)
    }
}
