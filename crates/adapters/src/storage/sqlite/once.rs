//! Calls that create something once. A write holds the write lock from its start, so it looks for its key first, keeps
//! its answer last, and nobody comes between.

use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{IdempotencyKey, Party};
use pos_port_storage::{KeptAnswer, Once};
use time::OffsetDateTime;

use super::micros;
use super::schema::creation_answers::dsl;
use crate::storage::failure::Failure;
use crate::storage::fleet_rows::{AnswerRow, kept_answer, party_key};

/// The answer that is kept under the key of a call, unless its time is over at [`Once::at`]; none for a call without a
/// key.
pub(super) fn answered(connection: &mut SqliteConnection, once: Option<&Once>) -> Result<Option<KeptAnswer>, Failure> {
    once.map_or(Ok(None), |once| find_answer(connection, once.party, &once.key, once.at))
}

/// Keeps the answer of a call under its key, in place of one whose time is over. A call without a key keeps none.
pub(super) fn keep_answer(connection: &mut SqliteConnection, once: Option<&Once>) -> Result<(), Failure> {
    let Some(once) = once else { return Ok(()) };
    let (kind, id) = party_key(once.party);
    diesel::replace_into(dsl::creation_answers)
        .values((
            dsl::party_kind.eq(kind),
            dsl::party_id.eq(id.to_string()),
            dsl::idempotency_key.eq(once.key.as_str()),
            dsl::fingerprint.eq(&once.fingerprint.0[..]),
            dsl::answer.eq(&once.answer),
            dsl::created_at.eq(micros(once.at)),
            dsl::keep_until.eq(micros(once.keep_until)),
        ))
        .execute(connection)?;
    Ok(())
}

/// The answer under a party's key whose time is not over at `now`.
pub(super) fn find_answer(
    connection: &mut SqliteConnection,
    party: Party,
    key: &IdempotencyKey,
    now: OffsetDateTime,
) -> Result<Option<KeptAnswer>, Failure> {
    let (kind, id) = party_key(party);
    let row: Option<AnswerRow> = dsl::creation_answers
        .find((kind, id.to_string(), key.as_str()))
        .filter(dsl::keep_until.gt(micros(now)))
        .select((dsl::fingerprint, dsl::answer))
        .first(connection)
        .optional()?;
    Ok(row.map(|row| kept_answer(party, row)).transpose()?)
}
