//! Rows of imports as they arrive.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{IdempotencyKey, Scope};
use pos_port_storage::{Import, ImportRef, ImportStaging, NewImport, Seal, SealError, StagedRow, StorageError};
use time::OffsetDateTime;

use super::imports::find_import;
use super::schema::{import_rows, imports};
use super::{SqliteStore, micros};
use crate::storage::audit_rows::{origin_text, trace_text};
use crate::storage::failure::Failure;
use crate::storage::import_rows::{FORGOTTEN, ImportRow, SEALED, UPLOADING, import_columns, owner_text};
use crate::storage::rows::signed;

/// The import that is being uploaded.
#[diesel::dsl::auto_type(no_type_alias)]
fn uploading(import: &ImportRef) -> _ {
    let (id, owner, state): (String, String, String) =
        (import.id.to_string(), owner_text(import.owner), UPLOADING.to_owned());
    imports::table.filter(imports::import_id.eq(id)).filter(imports::owner.eq(owner)).filter(imports::state.eq(state))
}

fn not_there(import: &ImportRef) -> Failure {
    Failure::fault(format!("import {} is not being uploaded", import.id))
}

fn by_key(
    connection: &mut SqliteConnection,
    owner: Scope,
    key: &IdempotencyKey,
    now: OffsetDateTime,
) -> Result<Option<Import>, Failure> {
    let row: Option<ImportRow<String>> = imports::table
        .filter(imports::owner.eq(owner_text(owner)).and(imports::idempotency_key.eq(key.as_str())))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state <> 'uploading'"))
        .filter(imports::keep_until.gt(micros(now)))
        .select(import_columns!())
        .first(connection)
        .optional()?;
    Ok(row.map(ImportRow::import).transpose()?)
}

fn stage_row(connection: &mut SqliteConnection, import: &str, row: &StagedRow) -> Result<(), Failure> {
    use import_rows::dsl;
    let (device, unread) = (row.read.as_ref().ok(), row.read.as_ref().err());
    let details = device.map(|device| &device.details);
    diesel::insert_into(dsl::import_rows)
        .values((
            dsl::import_id.eq(import),
            dsl::row_number.eq(signed(row.number)),
            dsl::device_id.eq(row.device_id().map(pos_domain::DeviceId::as_str)),
            dsl::merchant_id.eq(device.map(|device| device.merchant_id.to_string())),
            dsl::label.eq(details.and_then(|details| details.label.as_ref()).map(pos_domain::Name::as_str)),
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
        Ok(self.read_bulk(move |connection| by_key(connection, owner, &key, now)).await?)
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
                    dsl::actor.eq(new.act.actor.to_string()),
                    dsl::origin.eq(origin_text(&new.act)),
                    dsl::trace_id.eq(trace_text(&new.act)),
                    dsl::idempotency_key.eq(new.key.as_ref().map(IdempotencyKey::as_str)),
                    dsl::state.eq(UPLOADING),
                    dsl::created_at.eq(micros(new.created_at)),
                    dsl::keep_until.eq(micros(new.keep_until)),
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
        keep_until: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let (import, rows) = (*import, rows.to_vec());
        let staged = self.writer.write_many(move |connection| {
            let kept = uploading(&import).select(imports::keep_until).first::<i64>(connection).optional()?;
            let keep_until = kept.ok_or_else(|| not_there(&import))?.max(micros(keep_until));
            diesel::update(imports::table.find(import.id.to_string()))
                .set(imports::keep_until.eq(keep_until))
                .execute(connection)?;
            let id = import.id.to_string();
            rows.iter().try_for_each(|row| stage_row(connection, &id, row))
        });
        Ok(staged.await?)
    }

    async fn seal(&self, import: &ImportRef, seal: &Seal) -> Result<Import, SealError> {
        use imports::dsl;
        let (import, seal) = (*import, seal.clone());
        // Nobody else writes between the look and the write: the transaction holds the write lock from its start.
        let sealed = self.write(move |connection| {
            let found = uploading(&import)
                .filter(dsl::keep_until.gt(micros(seal.at)))
                .select(dsl::idempotency_key)
                .first::<Option<String>>(connection)
                .optional()?;
            let rows = import_rows::table.filter(import_rows::import_id.eq(import.id.to_string()));
            let is_whole = rows.count().get_result::<i64>(connection)? == signed(seal.rows);
            let found = found.filter(|_| is_whole).ok_or_else(|| not_there(&import))?;
            let key = found.and_then(|key| IdempotencyKey::parse(&key).ok());
            if let Some(key) = &key {
                if let Some(kept) = by_key(connection, import.owner, key, seal.at)? {
                    return Ok(Err(kept));
                }
                let over = dsl::imports
                    .filter(dsl::owner.eq(owner_text(import.owner)).and(dsl::idempotency_key.eq(key.as_str())))
                    .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("state <> 'uploading'"));
                diesel::update(over).set(dsl::idempotency_key.eq(None::<String>)).execute(connection)?;
            }
            diesel::update(dsl::imports.find(import.id.to_string()))
                .set((
                    dsl::state.eq(SEALED),
                    dsl::fingerprint.eq(Some(seal.fingerprint.0.to_vec())),
                    dsl::row_count.eq(Some(signed(seal.rows))),
                    dsl::keep_until.eq(micros(seal.keep_until)),
                ))
                .execute(connection)?;
            Ok(Ok(find_import(connection, &import)?.ok_or_else(|| not_there(&import))?))
        });
        sealed.await.map_err(StorageError::from)?.map_err(|kept| SealError::Kept(Box::new(kept)))
    }

    async fn keep(&self, import: &ImportRef, now: OffsetDateTime, until: OffsetDateTime) -> Result<bool, StorageError> {
        let import = *import;
        let kept = move |connection: &mut SqliteConnection| {
            let found = kept_until(connection, &import)?;
            Ok(found.filter(|kept| *kept > micros(now)))
        };
        // Mostly it is kept for long enough, and nobody who writes is waited for.
        match self.read_bulk(kept).await? {
            Some(kept) if kept < micros(until) => {}
            kept => return Ok(kept.is_some()),
        }
        let longer = self.write(move |connection| {
            let Some(found) = kept_until(connection, &import)?.filter(|kept| *kept > micros(now)) else {
                return Ok(false);
            };
            diesel::update(imports::table.find(import.id.to_string()))
                .set(imports::keep_until.eq(found.max(micros(until))))
                .execute(connection)?;
            Ok(true)
        });
        Ok(longer.await?)
    }

    async fn discard(&self, import: &ImportRef, limit: u32) -> Result<u64, StorageError> {
        let import = *import;
        let removed = self.writer.write_many(move |connection| {
            let its = imports::table
                .filter(imports::import_id.eq(import.id.to_string()).and(imports::owner.eq(owner_text(import.owner))))
                .filter(imports::state.eq_any([UPLOADING, FORGOTTEN]));
            if its.count().get_result::<i64>(connection)? == 0 {
                return Ok(0);
            }
            remove(connection, &import.id.to_string(), limit.into())
        });
        Ok(u64::try_from(removed.await?).unwrap_or(0))
    }

    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError> {
        Ok(self.writer.write_many(move |connection| remove_over(connection, now, limit)).await?)
    }
}

/// Removes rows and imports whose time is over, at most so many; answers how many.
pub(super) fn remove_over(connection: &mut SqliteConnection, now: OffsetDateTime, limit: u32) -> Result<u64, Failure> {
    let mut left = i64::from(limit);
    let over: Vec<String> = imports::table
        .filter(imports::keep_until.le(micros(now)))
        .order(imports::keep_until)
        .select(imports::import_id)
        .limit(left)
        .load(connection)?;
    for id in over {
        if left > 0 {
            left -= remove(connection, &id, left)?;
        }
    }
    Ok(u64::try_from(i64::from(limit) - left).unwrap_or(0))
}

/// Until when a sealed import is kept.
fn kept_until(connection: &mut SqliteConnection, import: &ImportRef) -> Result<Option<i64>, Failure> {
    let its = imports::table
        .filter(imports::import_id.eq(import.id.to_string()).and(imports::owner.eq(owner_text(import.owner))))
        .filter(imports::state.ne_all([UPLOADING, FORGOTTEN]));
    Ok(its.select(imports::keep_until).first(connection).optional()?)
}

/// Forgets an import and removes at most so much of it, itself after its last row; answers how much.
fn remove(connection: &mut SqliteConnection, import: &str, limit: i64) -> Result<i64, Failure> {
    diesel::update(imports::table.find(import))
        .set((
            imports::state.eq(FORGOTTEN),
            imports::idempotency_key.eq(None::<String>),
            imports::fingerprint.eq(None::<Vec<u8>>),
            imports::row_count.eq(None::<i64>),
            imports::refused_row.eq(None::<i64>),
            imports::keep_until.eq(imports::created_at),
        ))
        .execute(connection)?;
    let rows = remove_rows(connection, import, limit)?;
    if rows >= limit {
        return Ok(rows);
    }
    Ok(rows + changed(diesel::delete(imports::table.find(import)).execute(connection)?))
}

/// Removes rows of an import in the order of their numbers, at most so many; answers how many.
fn remove_rows(connection: &mut SqliteConnection, import: &str, limit: i64) -> Result<i64, Failure> {
    use import_rows::dsl;
    let own = dsl::import_rows.filter(dsl::import_id.eq(import));
    let last = own.order(dsl::row_number).select(dsl::row_number).limit(limit).load::<i64>(connection)?.pop();
    let Some(last) = last else { return Ok(0) };
    Ok(changed(diesel::delete(own.filter(dsl::row_number.le(last))).execute(connection)?))
}

fn changed(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
