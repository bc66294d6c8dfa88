//! Statements that extend, discard and delete imports.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::statements::{Input, statement};

/// Extends the lifetime of an uploaded import. Returns 1 if it exists and has not expired. A locked import is not waited
/// for: the transaction that completes it has extended it.
pub(crate) struct ExtendImport {
    pub(crate) import: Uuid,
    pub(crate) owner: String,
    pub(crate) now: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
}

statement!(ExtendImport -> BigInt);

impl QueryFragment<Pg> for ExtendImport {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Text, _>("whose", &self.owner)?;
        input.bind::<Timestamptz, _>("moment", &self.now)?;
        input.bind::<Timestamptz, _>("until", &self.until)?;
        input.then(
            "), there AS (
                SELECT 1 FROM imports, input
                WHERE import_id = wanted AND owner = whose AND expires_at > moment
                    AND state NOT IN ('uploading', 'discarded')
            ), short AS (
                SELECT import_id FROM imports, input
                WHERE import_id = wanted AND owner = whose AND expires_at > moment AND expires_at < until
                    AND state NOT IN ('uploading', 'discarded')
                FOR NO KEY UPDATE OF imports SKIP LOCKED
            ), kept AS (
                UPDATE imports SET expires_at = until FROM input, short WHERE imports.import_id = short.import_id
            )
            SELECT count(*) FROM there",
        )
    }
}

/// Discards an upload. Returns the number of uploads found, including one that was discarded before.
pub(crate) struct DiscardUpload {
    pub(crate) import: Uuid,
    pub(crate) owner: String,
}

statement!(DiscardUpload -> BigInt);

impl QueryFragment<Pg> for DiscardUpload {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Text, _>("whose", &self.owner)?;
        input.then(
            "), deleted AS (
                UPDATE imports SET state = 'discarded', idempotency_key = NULL, expires_at = created_at FROM input
                WHERE import_id = wanted AND owner = whose AND state IN ('uploading', 'discarded')
                RETURNING 1
            )
            SELECT count(*) FROM deleted",
        )
    }
}

/// Discards at most `limit` expired imports, and skips locked ones. Returns how many.
pub(crate) struct DiscardExpired {
    pub(crate) now: OffsetDateTime,
    pub(crate) limit: i64,
}

statement!(DiscardExpired -> BigInt);

impl QueryFragment<Pg> for DiscardExpired {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Timestamptz, _>("moment", &self.now)?;
        input.bind::<BigInt, _>("most", &self.limit)?;
        input.then(
            "), deleted AS (
                UPDATE imports SET state = 'discarded', idempotency_key = NULL, fingerprint = NULL, row_count = NULL,
                    refused_row = NULL, expires_at = created_at
                WHERE import_id = ANY (ARRAY(
                    SELECT import_id FROM imports
                    WHERE expires_at <= (SELECT moment FROM input) AND state <> 'discarded'
                    ORDER BY expires_at LIMIT (SELECT most FROM input) FOR UPDATE SKIP LOCKED))
                RETURNING 1
            )
            SELECT count(*) FROM deleted",
        )
    }
}

/// Deletes at most `limit` rows of discarded imports, of one import or of all. Returns how many. Skips rows that another
/// replica is deleting.
pub(crate) struct DeleteRows {
    pub(crate) only: Option<Uuid>,
    pub(crate) limit: i64,
}

statement!(DeleteRows -> BigInt);

impl QueryFragment<Pg> for DeleteRows {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Nullable<SqlUuid>, _>("which", &self.only)?;
        input.bind::<BigInt, _>("most", &self.limit)?;
        input.then(
            "), deleted AS (
                DELETE FROM import_rows WHERE ctid = ANY (ARRAY(
                    SELECT import_rows.ctid FROM imports JOIN import_rows USING (import_id)
                    WHERE state = 'discarded'
                        AND ((SELECT which FROM input) IS NULL OR imports.import_id = (SELECT which FROM input))
                    LIMIT (SELECT most FROM input) FOR UPDATE OF import_rows SKIP LOCKED))
                RETURNING 1
            )
            SELECT count(*) FROM deleted",
        )
    }
}

/// Deletes at most `limit` discarded imports without rows, one import or all. Returns how many.
pub(crate) struct DeleteImports {
    pub(crate) only: Option<Uuid>,
    pub(crate) limit: i64,
}

statement!(DeleteImports -> BigInt);

impl QueryFragment<Pg> for DeleteImports {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Nullable<SqlUuid>, _>("which", &self.only)?;
        input.bind::<BigInt, _>("most", &self.limit)?;
        input.then(
            "), deleted AS (
                DELETE FROM imports WHERE import_id IN (
                    SELECT import_id FROM imports
                    WHERE state = 'discarded'
                        AND ((SELECT which FROM input) IS NULL OR import_id = (SELECT which FROM input))
                        AND NOT EXISTS (SELECT FROM import_rows WHERE import_rows.import_id = imports.import_id)
                    ORDER BY import_id LIMIT (SELECT most FROM input) FOR UPDATE SKIP LOCKED)
                RETURNING 1
            )
            SELECT count(*) FROM deleted",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_prepared_once<Q: Query + QueryFragment<Pg> + QueryId>(query: &Q) -> bool {
        Q::query_id().is_some() && query.is_safe_to_cache_prepared(&Pg).unwrap()
    }

    #[test]
    fn every_statement_is_prepared_once() {
        let (import, now) = (Uuid::nil(), OffsetDateTime::UNIX_EPOCH);
        let owner = || String::from("operator");
        assert!(is_prepared_once(&ExtendImport { import, owner: owner(), now, until: now }));
        assert!(is_prepared_once(&DiscardUpload { import, owner: owner() }));
        assert!(is_prepared_once(&DiscardExpired { now, limit: 1 }));
        assert!(is_prepared_once(&DeleteRows { only: None, limit: 1 }));
        assert!(is_prepared_once(&DeleteImports { only: None, limit: 1 }));
    }
}
