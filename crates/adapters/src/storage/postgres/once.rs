//! Calls that create or claim something once: each claims its key in the transaction of what it creates or changes.

use diesel::prelude::*;
use diesel::query_dsl::methods;
use diesel::result::Error;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use pos_domain::{IdempotencyKey, Party};
use pos_port_storage::{KeptAnswer, Once};
use time::OffsetDateTime;

use super::link::PgLink;
use super::schema::creation_answers::dsl;
use crate::storage::fleet_rows::{AnswerRow, kept_answer, party_key};

/// Claims the key of a call, before anything else in its transaction: keeps its answer there, in place of one whose time
/// is over at [`Once::at`]. A key that is kept is left as it is, and its answer is answered: then roll back. A call
/// without a key claims none.
///
/// Of two callers with one key the second waits here until the first's transaction ends: then it finds the answer, or
/// a free key if that was rolled back.
pub(super) async fn claim_key(connection: &mut PgLink, once: Option<&Once>) -> QueryResult<Option<KeptAnswer>> {
    let Some(once) = once else { return Ok(None) };
    let (kind, id) = party_key(once.party);
    let claim = diesel::insert_into(dsl::creation_answers)
        .values((
            dsl::party_kind.eq(kind),
            dsl::party_id.eq(id),
            dsl::idempotency_key.eq(once.key.as_str()),
            dsl::fingerprint.eq(&once.fingerprint.0[..]),
            dsl::answer.eq(&once.answer),
            dsl::created_at.eq(once.at),
            dsl::keep_until.eq(once.keep_until),
        ))
        .on_conflict((dsl::party_kind, dsl::party_id, dsl::idempotency_key))
        .do_update()
        .set((
            dsl::fingerprint.eq(excluded(dsl::fingerprint)),
            dsl::answer.eq(excluded(dsl::answer)),
            dsl::created_at.eq(excluded(dsl::created_at)),
            dsl::keep_until.eq(excluded(dsl::keep_until)),
        ));
    let claimed =
        methods::FilterDsl::filter(claim, dsl::keep_until.le(excluded(dsl::created_at))).execute(connection).await?;
    if claimed == 1 {
        return Ok(None);
    }
    // The insertion locked the row it ran into, so it is still there.
    let row: AnswerRow =
        dsl::creation_answers.find((kind, id, once.key.as_str())).select(COLUMNS).first(connection).await?;
    kept_answer(once.party, row).map(Some).map_err(|corrupt| Error::DeserializationError(corrupt.into()))
}

/// The answer under a party's key whose time is not over at `now`, as it is kept.
pub(super) async fn find_answer(
    connection: &mut PgLink,
    party: Party,
    key: &IdempotencyKey,
    now: OffsetDateTime,
) -> QueryResult<Option<AnswerRow>> {
    let (kind, id) = party_key(party);
    let row = dsl::creation_answers.find((kind, id, key.as_str()));
    row.filter(dsl::keep_until.gt(now)).select(COLUMNS).first(connection).await.optional()
}

const COLUMNS: (dsl::fingerprint, dsl::answer) = (dsl::fingerprint, dsl::answer);
