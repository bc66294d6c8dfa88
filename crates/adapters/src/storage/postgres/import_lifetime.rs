//! The statements by which imports are kept for longer, forgotten, and removed.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use time::OffsetDateTime;
use uuid::Uuid;

use super::statements::{Input, statement};

/// Keeps a sealed import for longer. Answers 1 if it is there and its time is not over. One that is just being ended is
/// not waited for: whoever ends it has kept it.
pub(super) struct KeepImport {
    pub(super) import: Uuid,
    pub(super) owner: String,
    pub(super) now: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

statement!(KeepImport -> BigInt);

impl QueryFragment<Pg> for KeepImport {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Text, _>("whose", &self.owner)?;
        input.bind::<Timestamptz, _>("moment", &self.now)?;
        input.bind::<Timestamptz, _>("until", &self.until)?;
        input.then(
            "), there AS (
                SELECT 1 FROM imports, input
                WHERE import_id = wanted AND owner = whose AND keep_until > moment
                    AND state NOT IN ('uploading', 'forgotten')
            ), short AS (
                SELECT import_id FROM imports, input
                WHERE import_id = wanted AND owner = whose AND keep_until > moment AND keep_until < until
                    AND state NOT IN ('uploading', 'forgotten')
                FOR NO KEY UPDATE OF imports SKIP LOCKED
            ), kept AS (
                UPDATE imports SET keep_until = until FROM input, short WHERE imports.import_id = short.import_id
            )
            SELECT count(*) FROM there",
        )
    }
}

/// Forgets an upload, or finds that it was forgotten before. Answers how many there are.
pub(super) struct Forget {
    pub(super) import: Uuid,
    pub(super) owner: String,
}

statement!(Forget -> BigInt);

impl QueryFragment<Pg> for Forget {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Text, _>("whose", &self.owner)?;
        input.then(
            "), gone AS (
                UPDATE imports SET state = 'forgotten', idempotency_key = NULL, keep_until = created_at FROM input
                WHERE import_id = wanted AND owner = whose AND state IN ('uploading', 'forgotten')
                RETURNING 1
            )
            SELECT count(*) FROM gone",
        )
    }
}

/// Forgets imports whose time is over, at most so many, save those that somebody is at. Answers how many.
pub(super) struct ForgetExpired {
    pub(super) now: OffsetDateTime,
    pub(super) limit: i64,
}

statement!(ForgetExpired -> BigInt);

impl QueryFragment<Pg> for ForgetExpired {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Timestamptz, _>("moment", &self.now)?;
        input.bind::<BigInt, _>("most", &self.limit)?;
        input.then(
            "), gone AS (
                UPDATE imports SET state = 'forgotten', idempotency_key = NULL, fingerprint = NULL, row_count = NULL,
                    refused_row = NULL, keep_until = created_at
                WHERE import_id = ANY (ARRAY(
                    SELECT import_id FROM imports
                    WHERE keep_until <= (SELECT moment FROM input) AND state <> 'forgotten'
                    ORDER BY keep_until LIMIT (SELECT most FROM input) FOR UPDATE SKIP LOCKED))
                RETURNING 1
            )
            SELECT count(*) FROM gone",
        )
    }
}

/// Removes rows of forgotten imports, of one or of all, at most so many. Answers how many. What another replica removes
/// is left to it.
pub(super) struct RemoveRows {
    pub(super) only: Option<Uuid>,
    pub(super) limit: i64,
}

statement!(RemoveRows -> BigInt);

impl QueryFragment<Pg> for RemoveRows {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Nullable<SqlUuid>, _>("which", &self.only)?;
        input.bind::<BigInt, _>("most", &self.limit)?;
        input.then(
            "), gone AS (
                DELETE FROM import_rows WHERE ctid = ANY (ARRAY(
                    SELECT import_rows.ctid FROM imports JOIN import_rows USING (import_id)
                    WHERE state = 'forgotten'
                        AND ((SELECT which FROM input) IS NULL OR imports.import_id = (SELECT which FROM input))
                    LIMIT (SELECT most FROM input) FOR UPDATE OF import_rows SKIP LOCKED))
                RETURNING 1
            )
            SELECT count(*) FROM gone",
        )
    }
}

/// Removes forgotten imports, one or all, that have no rows any more, at most so many. Answers how many.
pub(super) struct RemoveImports {
    pub(super) only: Option<Uuid>,
    pub(super) limit: i64,
}

statement!(RemoveImports -> BigInt);

impl QueryFragment<Pg> for RemoveImports {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Nullable<SqlUuid>, _>("which", &self.only)?;
        input.bind::<BigInt, _>("most", &self.limit)?;
        input.then(
            "), gone AS (
                DELETE FROM imports WHERE import_id IN (
                    SELECT import_id FROM imports
                    WHERE state = 'forgotten'
                        AND ((SELECT which FROM input) IS NULL OR import_id = (SELECT which FROM input))
                        AND NOT EXISTS (SELECT FROM import_rows WHERE import_rows.import_id = imports.import_id)
                    ORDER BY import_id LIMIT (SELECT most FROM input) FOR UPDATE SKIP LOCKED)
                RETURNING 1
            )
            SELECT count(*) FROM gone",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept_prepared<Q: Query + QueryFragment<Pg> + QueryId>(query: &Q) -> bool {
        Q::query_id().is_some() && query.is_safe_to_cache_prepared(&Pg).unwrap()
    }

    #[test]
    fn every_statement_is_kept_prepared() {
        let (import, now) = (Uuid::nil(), OffsetDateTime::UNIX_EPOCH);
        let owner = || String::from("operator");
        assert!(is_kept_prepared(&KeepImport { import, owner: owner(), now, until: now }));
        assert!(is_kept_prepared(&Forget { import, owner: owner() }));
        assert!(is_kept_prepared(&ForgetExpired { now, limit: 1 }));
        assert!(is_kept_prepared(&RemoveRows { only: None, limit: 1 }));
        assert!(is_kept_prepared(&RemoveImports { only: None, limit: 1 }));
    }
}
