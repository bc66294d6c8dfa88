//! Rows of imports as they arrive.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use pos_domain::{IdempotencyKey, Scope};
use pos_port_storage::{
    Import, ImportRef, ImportRepository as _, ImportStaging, NewImport, Seal, SealError, StagedRow, StorageError,
};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::PgStore;
use super::connection::Stop;
use super::import_lifetime::{Forget, ForgetExpired, KeepImport, RemoveImports, RemoveRows};
use super::import_statements::{SealImport, StageRows};
use super::schema::imports::dsl;
use crate::storage::audit_rows::{origin_text, trace_text};
use crate::storage::failure::Failure;
use crate::storage::import_rows::{ImportRow, UPLOADING, import_columns, owner_text};
use crate::storage::rows::signed;

/// The unique index over the keys of sealed imports.
const KEY: &str = "imports_key";

/// How often a key is looked at again that was kept a moment ago and is free now.
const ATTEMPTS: usize = 8;

#[async_trait]
impl ImportStaging for PgStore {
    async fn find_by_key(
        &self,
        owner: Scope,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<Import>, StorageError> {
        let query = dsl::imports
            .filter(dsl::owner.eq(owner_text(owner)).and(dsl::idempotency_key.eq(key.as_str())))
            .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state <> 'uploading'"))
            .filter(dsl::keep_until.gt(now))
            .select(import_columns!());
        let row: Option<ImportRow<Uuid>> =
            run!(self, bulk, |connection| async { query.first(connection).await.optional() })?;
        Ok(row.map(ImportRow::import).transpose()?)
    }

    async fn open(&self, new: &NewImport) -> Result<(), StorageError> {
        let statement = diesel::insert_into(dsl::imports).values((
            dsl::import_id.eq(new.import.id.0),
            dsl::owner.eq(owner_text(new.import.owner)),
            dsl::mode.eq(new.mode.as_str()),
            dsl::actor.eq(new.act.actor.to_string()),
            dsl::origin.eq(origin_text(&new.act)),
            dsl::trace_id.eq(trace_text(&new.act)),
            dsl::idempotency_key.eq(new.key.as_ref().map(IdempotencyKey::as_str)),
            dsl::state.eq(UPLOADING),
            dsl::created_at.eq(new.created_at),
            dsl::keep_until.eq(new.keep_until),
        ));
        run!(self, bulk, |connection| statement.execute(connection))?;
        Ok(())
    }

    async fn stage(
        &self,
        import: &ImportRef,
        rows: &[StagedRow],
        keep_until: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let statement = StageRows::of(import, rows, keep_until);
        let kept: i64 = run!(self, bulk, |connection| statement.get_result(connection))?;
        if kept == signed(rows.len() as u64) {
            return Ok(());
        }
        Err(StorageError::Fault(format!("import {} is not being uploaded", import.id).into()))
    }

    async fn seal(&self, import: &ImportRef, seal: &Seal) -> Result<Import, SealError> {
        let own =
            || dsl::imports.filter(dsl::import_id.eq(import.id.0)).filter(dsl::owner.eq(owner_text(import.owner)));
        let query = own().filter(dsl::state.eq(UPLOADING)).select(dsl::idempotency_key);
        let found: Result<Option<Option<String>>, Failure> =
            async { run!(self, bulk, |connection| async { query.first(connection).await.optional() }) }.await;
        let not_there = || StorageError::Fault(format!("import {} is not being uploaded", import.id).into());
        let found = found.map_err(StorageError::from)?;
        let key = found.ok_or_else(not_there)?.and_then(|key| IdempotencyKey::parse(&key).ok());
        for _ in 0..ATTEMPTS {
            if let Some(key) = &key {
                self.free(import.owner, key, seal.at).await?;
            }
            let statement = SealImport::of(import, seal);
            let sealed: Result<i64, Failure> =
                async { run!(self, bulk, |connection| statement.get_result(connection)) }.await;
            match sealed {
                Ok(0) => return Err(not_there().into()),
                Ok(_) => return Ok(self.find(import).await?.ok_or_else(not_there)?),
                Err(Failure::Taken { place, .. }) if place == KEY => {}
                Err(failure) => return Err(StorageError::from(failure).into()),
            }
            if let Some(key) = &key
                && let Some(kept) = self.find_by_key(import.owner, key, seal.at).await?
            {
                return Err(SealError::Kept(Box::new(kept)));
            }
        }
        Err(StorageError::Unavailable("the key of an import changes hands all the time".into()).into())
    }

    async fn keep(&self, import: &ImportRef, now: OffsetDateTime, until: OffsetDateTime) -> Result<bool, StorageError> {
        let statement = KeepImport { import: import.id.0, owner: owner_text(import.owner), now, until };
        let there: i64 = run!(self, bulk, |connection| statement.get_result(connection))?;
        Ok(there > 0)
    }

    async fn discard(&self, import: &ImportRef, limit: u32) -> Result<u64, StorageError> {
        let forget = Forget { import: import.id.0, owner: owner_text(import.owner) };
        let forgotten: i64 = run!(self, bulk, |connection| forget.get_result(connection))?;
        if forgotten == 0 { Ok(0) } else { self.remove_forgotten(Some(import.id.0), limit).await }
    }

    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError> {
        let forget = ForgetExpired { now, limit: limit.into() };
        run!(self, bulk, |connection| forget.get_result::<i64>(connection))?;
        self.remove_forgotten(None, limit).await
    }
}

impl PgStore {
    /// Removes rows of imports that are forgotten, of one of them or of all, and those that have none any more.
    async fn remove_forgotten(&self, only: Option<Uuid>, limit: u32) -> Result<u64, StorageError> {
        let removed: i64 = transact!(self, bulk, async |connection| {
            let limit = i64::from(limit);
            let rows: i64 = RemoveRows { only, limit }.get_result(connection).await?;
            let imports: i64 = RemoveImports { only, limit: limit - rows }.get_result(connection).await?;
            Ok::<_, Stop<StorageError>>(rows + imports)
        })?;
        Ok(u64::try_from(removed).unwrap_or(0))
    }

    /// Takes a key from an import whose time is over.
    async fn free(&self, owner: Scope, key: &IdempotencyKey, now: OffsetDateTime) -> Result<(), StorageError> {
        let over = dsl::imports
            .filter(dsl::owner.eq(owner_text(owner)).and(dsl::idempotency_key.eq(key.as_str())))
            .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state <> 'uploading'"))
            .filter(dsl::keep_until.le(now));
        let statement = diesel::update(over).set(dsl::idempotency_key.eq(None::<String>));
        run!(self, bulk, |connection| statement.execute(connection))?;
        Ok(())
    }
}
