//! Import staging in PostgreSQL: upload, finalization, extension and removal.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::shared::{IdempotencyKey, Scope};
use pos_port_storage::fleet::{
    FinalizeError, Import, ImportRef, ImportRepository as _, ImportStaging, NewImport, StagedRow, UploadSummary,
};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::engine_error::EngineError;
use crate::postgres::fleet::import_lifetime::{DeleteImports, DeleteRows, DiscardExpired, DiscardUpload, ExtendImport};
use crate::postgres::fleet::import_statements::{FinalizeUpload, StageRows};
use crate::postgres::pool::Rollback;
use crate::postgres::schema;
use crate::postgres::schema::imports::dsl;
use crate::postgres::store::PgStore;
use crate::rows::audit::{client_ip_text, trace_text};
use crate::rows::imports::{ImportRow, UPLOADING, import_columns, owner_text};
use crate::rows::reader::signed;

/// The unique index on the idempotency keys of uploaded imports.
const KEY_INDEX: &str = "imports_key";

/// How often finalization is attempted if the key conflicts, but the conflicting import no longer exists at the next read.
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
            .filter(dsl::expires_at.gt(now))
            .select(import_columns!());
        let row: Option<ImportRow<Uuid>> =
            self.run_bulk(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(ImportRow::import).transpose()?)
    }

    async fn open(&self, new: &NewImport) -> Result<(), StorageError> {
        let statement = diesel::insert_into(dsl::imports).values((
            dsl::import_id.eq(new.import.id.0),
            dsl::owner.eq(owner_text(new.import.owner)),
            dsl::mode.eq(new.mode.as_str()),
            dsl::actor.eq(new.audit_context.actor.to_string()),
            dsl::client_ip.eq(client_ip_text(&new.audit_context)),
            dsl::trace_id.eq(trace_text(&new.audit_context)),
            dsl::idempotency_key.eq(new.key.as_ref().map(IdempotencyKey::as_str)),
            dsl::state.eq(UPLOADING),
            dsl::created_at.eq(new.created_at),
            dsl::expires_at.eq(new.expires_at),
        ));
        self.run_bulk(async |connection| statement.execute(connection).await).await?;
        Ok(())
    }

    async fn stage(
        &self,
        import: &ImportRef,
        rows: &[StagedRow],
        expires_at: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let statement = StageRows::of(import, rows, expires_at);
        let stored: i64 = self.run_bulk(async |connection| statement.get_result(connection).await).await?;
        if stored == signed(rows.len() as u64) {
            return Ok(());
        }
        Err(StorageError::Fault(format!("import {} is not being uploaded", import.id).into()))
    }

    async fn finalize_upload(&self, import: &ImportRef, summary: &UploadSummary) -> Result<Import, FinalizeError> {
        let own =
            || dsl::imports.filter(dsl::import_id.eq(import.id.0)).filter(dsl::owner.eq(owner_text(import.owner)));
        let query = own().filter(dsl::state.eq(UPLOADING)).select(dsl::idempotency_key);
        let found: Result<Option<Option<String>>, EngineError> =
            self.run_bulk(async |connection| query.first(connection).await.optional()).await;
        let not_uploading = || StorageError::Fault(format!("import {} is not being uploaded", import.id).into());
        let found = found.map_err(StorageError::from)?;
        let key = found.ok_or_else(not_uploading)?.and_then(|key| IdempotencyKey::parse(&key).ok());
        for _ in 0..ATTEMPTS {
            if let Some(key) = &key {
                self.release_expired_key(import.owner, key, summary.at).await?;
            }
            let statement = FinalizeUpload::of(import, summary);
            let finalized: Result<i64, EngineError> =
                self.run_bulk(async |connection| statement.get_result(connection).await).await;
            match finalized {
                Ok(0) => return Err(not_uploading().into()),
                Ok(_) => return Ok(self.find(import).await?.ok_or_else(not_uploading)?),
                Err(EngineError::UniqueViolation { constraint, .. }) if constraint == KEY_INDEX => {}
                Err(failure) => return Err(StorageError::from(failure).into()),
            }
            if let Some(key) = &key
                && let Some(existing) = self.find_by_key(import.owner, key, summary.at).await?
            {
                return Err(FinalizeError::Kept(Box::new(existing)));
            }
        }
        Err(StorageError::Unavailable("gave up after repeated conflicts of an idempotency key".into()).into())
    }

    async fn extend(
        &self,
        import: &ImportRef,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<bool, StorageError> {
        let statement = ExtendImport { import: import.id.0, owner: owner_text(import.owner), now, until };
        let found: i64 = self.run_bulk(async |connection| statement.get_result(connection).await).await?;
        Ok(found > 0)
    }

    async fn discard(&self, import: &ImportRef, limit: u32) -> Result<u64, StorageError> {
        let statement = DiscardUpload { import: import.id.0, owner: owner_text(import.owner) };
        let discarded: i64 = self.run_bulk(async |connection| statement.get_result(connection).await).await?;
        if discarded == 0 { Ok(0) } else { self.delete_discarded(Some(import.id.0), limit).await }
    }

    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError> {
        let statement = DiscardExpired { now, limit: limit.into() };
        self.run_bulk(async |connection| statement.get_result::<i64>(connection).await).await?;
        self.delete_discarded(None, limit).await
    }
}

impl PgStore {
    /// Deletes rows of discarded imports, of one import or of all, and then the imports without rows.
    async fn delete_discarded(&self, only: Option<Uuid>, limit: u32) -> Result<u64, StorageError> {
        let removed: i64 = self
            .transact_bulk(async |connection| {
                let limit = i64::from(limit);
                let rows: i64 = DeleteRows { only, limit }.get_result(connection).await?;
                let imports: i64 = DeleteImports { only, limit: limit - rows }.get_result(connection).await?;
                Ok::<_, Rollback<StorageError>>(rows + imports)
            })
            .await?;
        Ok(u64::try_from(removed).unwrap_or(0))
    }

    /// Removes an idempotency key from an expired import.
    async fn release_expired_key(
        &self,
        owner: Scope,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let expired = dsl::imports
            .filter(dsl::owner.eq(owner_text(owner)).and(dsl::idempotency_key.eq(key.as_str())))
            .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state <> 'uploading'"))
            .filter(dsl::expires_at.le(now));
        let statement = diesel::update(expired).set(dsl::idempotency_key.eq(None::<String>));
        self.run_bulk(async |connection| statement.execute(connection).await).await?;
        Ok(())
    }
}
