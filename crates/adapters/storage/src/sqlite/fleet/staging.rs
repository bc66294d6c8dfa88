//! Import staging in SQLite: upload, finalization, extension and removal.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::shared::{IdempotencyKey, Scope};
use pos_port_storage::fleet::{FinalizeError, Import, ImportRef, ImportStaging, NewImport, StagedRow, UploadSummary};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::rows::audit::{client_ip_text, trace_text};
use crate::rows::imports::{DISCARDED, ImportRow, UPLOADED, UPLOADING, import_columns, owner_text};
use crate::rows::reader::signed;
use crate::sqlite::fleet::imports::find_import;
use crate::sqlite::instants::micros;
use crate::sqlite::schema;
use crate::sqlite::schema::{import_rows, imports};
use crate::sqlite::store::SqliteStore;

/// The import, if it is being uploaded.
#[diesel::dsl::auto_type(no_type_alias)]
fn uploading(import: &ImportRef) -> _ {
    let (id, owner, state): (String, String, String) =
        (import.id.to_string(), owner_text(import.owner), UPLOADING.to_owned());
    imports::table.filter(imports::import_id.eq(id)).filter(imports::owner.eq(owner)).filter(imports::state.eq(state))
}

fn not_uploading(import: &ImportRef) -> EngineError {
    EngineError::fault(format!("import {} is not being uploaded", import.id))
}

fn load_by_key(
    connection: &mut SqliteConnection,
    owner: Scope,
    key: &IdempotencyKey,
    now: OffsetDateTime,
) -> Result<Option<Import>, EngineError> {
    let row: Option<ImportRow<String>> = imports::table
        .filter(imports::owner.eq(owner_text(owner)).and(imports::idempotency_key.eq(key.as_str())))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state <> 'uploading'"))
        .filter(imports::expires_at.gt(micros(now)))
        .select(import_columns!())
        .first(connection)
        .optional()?;
    Ok(row.map(ImportRow::import).transpose()?)
}

fn stage_row(connection: &mut SqliteConnection, import: &str, row: &StagedRow) -> Result<(), EngineError> {
    use import_rows::dsl;
    let (device, unread) = (row.read.as_ref().ok(), row.read.as_ref().err());
    let details = device.map(|device| &device.details);
    diesel::insert_into(dsl::import_rows)
        .values((
            dsl::import_id.eq(import),
            dsl::row_number.eq(signed(row.number)),
            dsl::device_id.eq(row.device_id().map(pos_domain::shared::DeviceId::as_str)),
            dsl::merchant_id.eq(device.map(|device| device.merchant_id.to_string())),
            dsl::label.eq(details.and_then(|details| details.label.as_ref()).map(pos_domain::shared::Name::as_str)),
            dsl::location_id.eq(details.and_then(|details| details.location_id).map(|id| id.to_string())),
            dsl::outcome.eq(unread.map(|unread| unread.refusal.word())),
            dsl::detail.eq(unread.and_then(|unread| unread.refusal.detail())),
        ))
        .execute(connection)?;
    Ok(())
}

#[async_trait]
impl ImportStaging for SqliteStore {
    async fn find_by_key(
        &self,
        owner: Scope,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<Import>, StorageError> {
        let key = key.clone();
        Ok(self.read_bulk(move |connection| load_by_key(connection, owner, &key, now)).await?)
    }

    async fn open(&self, new: &NewImport) -> Result<(), StorageError> {
        use imports::dsl;
        let new = new.clone();
        let opened = self.write(move |connection| {
            diesel::insert_into(dsl::imports)
                .values((
                    dsl::import_id.eq(new.import.id.to_string()),
                    dsl::owner.eq(owner_text(new.import.owner)),
                    dsl::mode.eq(new.mode.as_str()),
                    dsl::actor.eq(new.audit_context.actor.to_string()),
                    dsl::client_ip.eq(client_ip_text(&new.audit_context)),
                    dsl::trace_id.eq(trace_text(&new.audit_context)),
                    dsl::idempotency_key.eq(new.key.as_ref().map(IdempotencyKey::as_str)),
                    dsl::state.eq(UPLOADING),
                    dsl::created_at.eq(micros(new.created_at)),
                    dsl::expires_at.eq(micros(new.expires_at)),
                ))
                .execute(connection)?;
            Ok(())
        });
        Ok(opened.await?)
    }

    async fn stage(
        &self,
        import: &ImportRef,
        rows: &[StagedRow],
        expires_at: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let (import, rows) = (*import, rows.to_vec());
        let staged = self.writer.write_many(move |connection| {
            let stored = uploading(&import).select(imports::expires_at).first::<i64>(connection).optional()?;
            let expires_at = stored.ok_or_else(|| not_uploading(&import))?.max(micros(expires_at));
            diesel::update(imports::table.find(import.id.to_string()))
                .set(imports::expires_at.eq(expires_at))
                .execute(connection)?;
            let id = import.id.to_string();
            rows.iter().try_for_each(|row| stage_row(connection, &id, row))
        });
        Ok(staged.await?)
    }

    async fn finalize_upload(&self, import: &ImportRef, summary: &UploadSummary) -> Result<Import, FinalizeError> {
        use imports::dsl;
        let (import, summary) = (*import, summary.clone());
        // The transaction holds the write lock from its start, so no other write occurs between the read and the write.
        let finalized = self.write(move |connection| {
            let found = uploading(&import)
                .filter(dsl::expires_at.gt(micros(summary.at)))
                .select(dsl::idempotency_key)
                .first::<Option<String>>(connection)
                .optional()?;
            let rows = import_rows::table.filter(import_rows::import_id.eq(import.id.to_string()));
            let is_complete = rows.count().get_result::<i64>(connection)? == signed(summary.rows);
            let found = found.filter(|_| is_complete).ok_or_else(|| not_uploading(&import))?;
            let key = found.and_then(|key| IdempotencyKey::parse(&key).ok());
            if let Some(key) = &key {
                if let Some(existing) = load_by_key(connection, import.owner, key, summary.at)? {
                    return Ok(Err(existing));
                }
                let expired = dsl::imports
                    .filter(dsl::owner.eq(owner_text(import.owner)).and(dsl::idempotency_key.eq(key.as_str())))
                    .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state <> 'uploading'"));
                diesel::update(expired).set(dsl::idempotency_key.eq(None::<String>)).execute(connection)?;
            }
            diesel::update(dsl::imports.find(import.id.to_string()))
                .set((
                    dsl::state.eq(UPLOADED),
                    dsl::fingerprint.eq(Some(summary.fingerprint.0.to_vec())),
                    dsl::row_count.eq(Some(signed(summary.rows))),
                    dsl::expires_at.eq(micros(summary.expires_at)),
                ))
                .execute(connection)?;
            Ok(Ok(find_import(connection, &import)?.ok_or_else(|| not_uploading(&import))?))
        });
        finalized.await.map_err(StorageError::from)?.map_err(|existing| FinalizeError::Kept(Box::new(existing)))
    }

    async fn extend(
        &self,
        import: &ImportRef,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<bool, StorageError> {
        let import = *import;
        let load = move |connection: &mut SqliteConnection| {
            let expires = load_expiry(connection, &import)?;
            Ok(expires.filter(|expires| *expires > micros(now)))
        };
        // Usually the lifetime is long enough, and no write is needed.
        match self.read_bulk(load).await? {
            Some(expires) if expires < micros(until) => {}
            expires => return Ok(expires.is_some()),
        }
        let extended = self.write(move |connection| {
            let Some(expires) = load_expiry(connection, &import)?.filter(|expires| *expires > micros(now)) else {
                return Ok(false);
            };
            diesel::update(imports::table.find(import.id.to_string()))
                .set(imports::expires_at.eq(expires.max(micros(until))))
                .execute(connection)?;
            Ok(true)
        });
        Ok(extended.await?)
    }

    async fn discard(&self, import: &ImportRef, limit: u32) -> Result<u64, StorageError> {
        let import = *import;
        let removed = self.writer.write_many(move |connection| {
            let upload = imports::table
                .filter(imports::import_id.eq(import.id.to_string()).and(imports::owner.eq(owner_text(import.owner))))
                .filter(imports::state.eq_any([UPLOADING, DISCARDED]));
            if upload.count().get_result::<i64>(connection)? == 0 {
                return Ok(0);
            }
            delete_import(connection, &import.id.to_string(), limit.into())
        });
        Ok(u64::try_from(removed.await?).unwrap_or(0))
    }

    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError> {
        Ok(self.writer.write_many(move |connection| delete_expired(connection, now, limit)).await?)
    }
}

/// Deletes at most `limit` rows and imports that have expired. Returns how many.
pub(crate) fn delete_expired(
    connection: &mut SqliteConnection,
    now: OffsetDateTime,
    limit: u32,
) -> Result<u64, EngineError> {
    let mut left = i64::from(limit);
    let expired: Vec<String> = imports::table
        .filter(imports::expires_at.le(micros(now)))
        .order(imports::expires_at)
        .select(imports::import_id)
        .limit(left)
        .load(connection)?;
    for id in expired {
        if left > 0 {
            left -= delete_import(connection, &id, left)?;
        }
    }
    Ok(u64::try_from(i64::from(limit) - left).unwrap_or(0))
}

/// When an uploaded import expires.
fn load_expiry(connection: &mut SqliteConnection, import: &ImportRef) -> Result<Option<i64>, EngineError> {
    let uploaded = imports::table
        .filter(imports::import_id.eq(import.id.to_string()).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.ne_all([UPLOADING, DISCARDED]));
    Ok(uploaded.select(imports::expires_at).first(connection).optional()?)
}

/// Discards an import and deletes at most `limit` of its rows, and the import itself after its last row. Returns the number
/// of deleted rows of both tables.
fn delete_import(connection: &mut SqliteConnection, import: &str, limit: i64) -> Result<i64, EngineError> {
    diesel::update(imports::table.find(import))
        .set((
            imports::state.eq(DISCARDED),
            imports::idempotency_key.eq(None::<String>),
            imports::fingerprint.eq(None::<Vec<u8>>),
            imports::row_count.eq(None::<i64>),
            imports::refused_row.eq(None::<i64>),
            imports::expires_at.eq(imports::created_at),
        ))
        .execute(connection)?;
    let rows = delete_rows(connection, import, limit)?;
    if rows >= limit {
        return Ok(rows);
    }
    Ok(rows + changed(diesel::delete(imports::table.find(import)).execute(connection)?))
}

/// Deletes at most `limit` rows of an import in the order of their numbers. Returns how many.
fn delete_rows(connection: &mut SqliteConnection, import: &str, limit: i64) -> Result<i64, EngineError> {
    use import_rows::dsl;
    let own = dsl::import_rows.filter(dsl::import_id.eq(import));
    let last = own.order(dsl::row_number).select(dsl::row_number).limit(limit).load::<i64>(connection)?.pop();
    let Some(last) = last else { return Ok(0) };
    Ok(changed(diesel::delete(own.filter(dsl::row_number.le(last))).execute(connection)?))
}

fn changed(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
