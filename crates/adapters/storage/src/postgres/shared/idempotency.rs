//! Idempotency keys in PostgreSQL: a call inserts its key in the transaction of its change.

use diesel::prelude::*;
use diesel::query_dsl::methods;
use diesel::result::Error;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use pos_domain::shared::{IdempotencyKey, Party};
use pos_port_storage::shared::{IdempotencyRecord, StoredResponse};
use time::OffsetDateTime;

use crate::postgres::connection::PgConn;
use crate::postgres::schema::idempotency_keys::dsl;
use crate::rows::fleet::{ResponseRow, party_key, stored_response};

/// Inserts the idempotency key of a call with its response, as the first statement of the transaction. Replaces a response
/// that has expired at `IdempotencyRecord::at`. If the key has a response that has not expired, returns it: the caller then
/// rolls back. Does nothing for a call without a key.
///
/// Of two callers with the same key, the second waits until the first transaction ends. It then finds the response, or an
/// unused key after a rollback.
pub(crate) async fn claim_key(
    connection: &mut PgConn,
    record: Option<&IdempotencyRecord>,
) -> QueryResult<Option<StoredResponse>> {
    let Some(record) = record else { return Ok(None) };
    let (kind, id) = party_key(record.party);
    let claim = diesel::insert_into(dsl::idempotency_keys)
        .values((
            dsl::party_kind.eq(kind),
            dsl::party_id.eq(id),
            dsl::idempotency_key.eq(record.key.as_str()),
            dsl::fingerprint.eq(&record.fingerprint.0[..]),
            dsl::response.eq(&record.answer),
            dsl::created_at.eq(record.at),
            dsl::expires_at.eq(record.expires_at),
        ))
        .on_conflict((dsl::party_kind, dsl::party_id, dsl::idempotency_key))
        .do_update()
        .set((
            dsl::fingerprint.eq(excluded(dsl::fingerprint)),
            dsl::response.eq(excluded(dsl::response)),
            dsl::created_at.eq(excluded(dsl::created_at)),
            dsl::expires_at.eq(excluded(dsl::expires_at)),
        ));
    let claimed =
        methods::FilterDsl::filter(claim, dsl::expires_at.le(excluded(dsl::created_at))).execute(connection).await?;
    if claimed == 1 {
        return Ok(None);
    }
    // The insert locked the conflicting row, so it still exists.
    let row: ResponseRow =
        dsl::idempotency_keys.find((kind, id, record.key.as_str())).select(COLUMNS).first(connection).await?;
    stored_response(record.party, row).map(Some).map_err(|corrupt| Error::DeserializationError(corrupt.into()))
}

/// Finds the response for a party's key that has not expired at `now`.
pub(crate) async fn find_response(
    connection: &mut PgConn,
    party: Party,
    key: &IdempotencyKey,
    now: OffsetDateTime,
) -> QueryResult<Option<ResponseRow>> {
    let (kind, id) = party_key(party);
    let row = dsl::idempotency_keys.find((kind, id, key.as_str()));
    row.filter(dsl::expires_at.gt(now)).select(COLUMNS).first(connection).await.optional()
}

const COLUMNS: (dsl::fingerprint, dsl::response) = (dsl::fingerprint, dsl::response);
