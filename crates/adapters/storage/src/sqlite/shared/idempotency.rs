//! Idempotency keys in SQLite. A write holds the write lock from its start: it looks up its key first and stores its response
//! last, and no other write occurs in between.

use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::shared::{IdempotencyKey, Party};
use pos_port_storage::shared::{IdempotencyRecord, StoredResponse};
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::rows::fleet::{ResponseRow, party_key, stored_response};
use crate::sqlite::instants::micros;
use crate::sqlite::schema::idempotency_keys::dsl;

/// Finds the response for the key of a call, unless it has expired at `IdempotencyRecord::at`. `None` for a call without a
/// key.
pub(crate) fn find_earlier_response(
    connection: &mut SqliteConnection,
    record: Option<&IdempotencyRecord>,
) -> Result<Option<StoredResponse>, EngineError> {
    record.map_or(Ok(None), |record| find_response(connection, record.party, &record.key, record.at))
}

/// Stores the response of a call under its key, in place of an expired one. Does nothing for a call without a key.
pub(crate) fn store_response(
    connection: &mut SqliteConnection,
    record: Option<&IdempotencyRecord>,
) -> Result<(), EngineError> {
    let Some(record) = record else { return Ok(()) };
    let (kind, id) = party_key(record.party);
    diesel::replace_into(dsl::idempotency_keys)
        .values((
            dsl::party_kind.eq(kind),
            dsl::party_id.eq(id.to_string()),
            dsl::idempotency_key.eq(record.key.as_str()),
            dsl::fingerprint.eq(&record.fingerprint.0[..]),
            dsl::response.eq(&record.answer),
            dsl::created_at.eq(micros(record.at)),
            dsl::expires_at.eq(micros(record.expires_at)),
        ))
        .execute(connection)?;
    Ok(())
}

/// Finds the response for a party's key that has not expired at `now`.
pub(crate) fn find_response(
    connection: &mut SqliteConnection,
    party: Party,
    key: &IdempotencyKey,
    now: OffsetDateTime,
) -> Result<Option<StoredResponse>, EngineError> {
    let (kind, id) = party_key(party);
    let row: Option<ResponseRow> = dsl::idempotency_keys
        .find((kind, id.to_string(), key.as_str()))
        .filter(dsl::expires_at.gt(micros(now)))
        .select((dsl::fingerprint, dsl::response))
        .first(connection)
        .optional()?;
    Ok(row.map(|row| stored_response(party, row)).transpose()?)
}
