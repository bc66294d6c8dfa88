//! Statements on many rows of an import: staging, finalizing the upload, and setting outcomes.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::device::Transition;
use pos_domain::shared::Scope;
use pos_port_storage::fleet::{ImportRef, StagedRow, UploadSummary};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::statements::{Input, statement};
use crate::rows::imports::{PROVISIONED, RefusedRows, merchant_and_location, owner_text};
use crate::rows::reader::signed;
use crate::rows::tenancy::party_columns;

/// Stores rows of an import that is being uploaded. Returns how many: all, or 0 if no such upload exists.
pub(crate) struct StageRows {
    import: Uuid,
    owner: String,
    numbers: Vec<i64>,
    ids: Vec<Option<String>>,
    merchants: Vec<Option<Uuid>>,
    labels: Vec<Option<String>>,
    locations: Vec<Option<Uuid>>,
    outcomes: Vec<Option<&'static str>>,
    details: Vec<Option<String>>,
    expires_at: OffsetDateTime,
}

impl StageRows {
    pub(crate) fn of(import: &ImportRef, rows: &[StagedRow], expires_at: OffsetDateTime) -> Self {
        let read = || rows.iter().map(|row| row.read.as_ref().ok());
        let unread = || rows.iter().map(|row| row.read.as_ref().err());
        Self {
            import: import.id.0,
            owner: owner_text(import.owner),
            numbers: rows.iter().map(|row| signed(row.number)).collect(),
            ids: rows.iter().map(|row| row.device_id().map(ToString::to_string)).collect(),
            merchants: read().map(|device| device.map(|device| device.merchant_id.0)).collect(),
            labels: read().map(|device| device?.details.label.as_ref().map(ToString::to_string)).collect(),
            locations: read().map(|device| device?.details.location_id.map(|location| location.0)).collect(),
            outcomes: unread().map(|unread| unread.map(|unread| unread.refusal.word())).collect(),
            details: unread().map(|unread| unread?.refusal.detail()).collect(),
            expires_at,
        }
    }
}

statement!(StageRows -> BigInt);

impl QueryFragment<Pg> for StageRows {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Text, _>("whose", &self.owner)?;
        input.bind::<Array<BigInt>, _>("numbers", &self.numbers)?;
        input.bind::<Array<Nullable<Text>>, _>("ids", &self.ids)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("merchants", &self.merchants)?;
        input.bind::<Array<Nullable<Text>>, _>("labels", &self.labels)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("locations", &self.locations)?;
        input.bind::<Array<Nullable<Text>>, _>("outcomes", &self.outcomes)?;
        input.bind::<Array<Nullable<Text>>, _>("details", &self.details)?;
        input.bind::<Timestamptz, _>("until", &self.expires_at)?;
        input.then(
            "), uploading AS (
                UPDATE imports SET expires_at = greatest(expires_at, until) FROM input
                WHERE import_id = wanted AND owner = whose AND state = 'uploading'
                RETURNING import_id
            ), kept AS (
                INSERT INTO import_rows (import_id, row_number, device_id, merchant_id, label, location_id, outcome,
                    detail)
                SELECT uploading.import_id, given.*
                FROM uploading, input, unnest(numbers, ids, merchants, labels, locations, outcomes, details) AS given
                RETURNING 1
            )
            SELECT count(*) FROM kept",
        )
    }
}

/// Finds unknown merchants and locations of new devices. Returns false if the merchant does not exist or is not visible to
/// the scope, and true if only the location does not exist or belongs to another merchant.
pub(crate) struct UnknownLocations {
    merchants: Vec<Uuid>,
    locations: Vec<Option<Uuid>>,
    is_operator: bool,
    own: Option<Uuid>,
    parent: Option<Uuid>,
}

impl UnknownLocations {
    pub(crate) fn of<'t>(scope: Scope, new: impl Iterator<Item = &'t Transition>) -> Self {
        let (is_operator, (own, parent)) = match scope {
            Scope::Operator => (true, (None, None)),
            Scope::Of(party) => (false, party_columns(party)),
        };
        let mut pairs: Vec<_> = new.map(merchant_and_location).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let (merchants, locations) = pairs.into_iter().unzip();
        Self { merchants, locations, is_operator, own, parent }
    }
}

statement!(UnknownLocations -> (SqlUuid, Nullable<SqlUuid>, Bool));

impl QueryFragment<Pg> for UnknownLocations {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Array<SqlUuid>, _>("merchant_ids", &self.merchants)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("location_ids", &self.locations)?;
        input.bind::<Bool, _>("everybodys", &self.is_operator)?;
        input.bind::<Nullable<SqlUuid>, _>("own", &self.own)?;
        input.bind::<Nullable<SqlUuid>, _>("parent", &self.parent)?;
        input.then(
            "), judged AS (
                SELECT place.*,
                    EXISTS (
                        SELECT FROM merchants
                        WHERE merchants.merchant_id = place.merchant_id
                            AND (everybodys OR merchants.merchant_id = own OR merchants.reseller_id = parent)) AS seen,
                    place.location_id IS NULL OR EXISTS (
                        SELECT FROM locations
                        WHERE locations.merchant_id = place.merchant_id AND locations.location_id = place.location_id
                    ) AS there
                FROM input, unnest(merchant_ids, location_ids) AS place (merchant_id, location_id)
            )
            SELECT merchant_id, location_id, seen FROM judged WHERE NOT (seen AND there)",
        )
    }
}

/// Sets the outcomes of pending rows.
pub(crate) struct SetOutcomes {
    import: Uuid,
    numbers: Vec<i64>,
    outcomes: Vec<&'static str>,
    details: Vec<Option<String>>,
}

impl SetOutcomes {
    pub(crate) fn of(import: &ImportRef, created: Vec<i64>, refused: &RefusedRows) -> Self {
        let mut rows = Self { import: import.id.0, numbers: created, outcomes: Vec::new(), details: Vec::new() };
        rows.outcomes.resize(rows.numbers.len(), PROVISIONED);
        rows.details.resize(rows.numbers.len(), None);
        for (number, refusal) in refused {
            rows.numbers.push(*number);
            rows.outcomes.push(refusal.word());
            rows.details.push(refusal.detail());
        }
        rows
    }
}

statement!(SetOutcomes -> BigInt);

impl QueryFragment<Pg> for SetOutcomes {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Array<BigInt>, _>("numbers", &self.numbers)?;
        input.bind::<Array<Text>, _>("outcomes", &self.outcomes)?;
        input.bind::<Array<Nullable<Text>>, _>("details", &self.details)?;
        // Each row is looked up by key: until the table is analysed, a join would read the whole import for each call. The
        // transaction has locked the rows or their import, so their ctid does not change.
        input.then(
            "), done AS (
                UPDATE import_rows SET outcome = found.outcome, detail = found.detail
                FROM (
                    SELECT given.outcome, given.detail, stored.place
                    FROM input, unnest(numbers, outcomes, details) AS given (row_number, outcome, detail)
                        CROSS JOIN LATERAL (
                            SELECT ctid AS place FROM import_rows
                            WHERE import_id = (SELECT wanted FROM input) AND row_number = given.row_number
                                AND import_rows.outcome IS NULL
                            LIMIT 1
                        ) AS stored
                ) AS found
                WHERE import_rows.ctid = found.place
                RETURNING 1
            )
            SELECT count(*) FROM done",
        )
    }
}

/// Marks a complete upload that has not expired as uploaded. Returns how many: 1 or 0.
pub(crate) struct FinalizeUpload {
    import: Uuid,
    owner: String,
    fingerprint: Vec<u8>,
    rows: i64,
    at: OffsetDateTime,
    expires_at: OffsetDateTime,
}

impl FinalizeUpload {
    pub(crate) fn of(import: &ImportRef, summary: &UploadSummary) -> Self {
        Self {
            import: import.id.0,
            owner: owner_text(import.owner),
            fingerprint: summary.fingerprint.0.to_vec(),
            rows: signed(summary.rows),
            at: summary.at,
            expires_at: summary.expires_at,
        }
    }
}

statement!(FinalizeUpload -> BigInt);

impl QueryFragment<Pg> for FinalizeUpload {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Text, _>("whose", &self.owner)?;
        input.bind::<Binary, _>("print", &self.fingerprint)?;
        input.bind::<BigInt, _>("has", &self.rows)?;
        input.bind::<Timestamptz, _>("moment", &self.at)?;
        input.bind::<Timestamptz, _>("until", &self.expires_at)?;
        input.then(
            "), uploaded AS (
                UPDATE imports SET state = 'uploaded', fingerprint = print, row_count = has, expires_at = until
                FROM input
                WHERE import_id = wanted AND owner = whose AND state = 'uploading' AND expires_at > moment
                    AND has = (SELECT count(*) FROM import_rows WHERE import_rows.import_id = (SELECT wanted FROM input))
                RETURNING 1
            )
            SELECT count(*) FROM uploaded",
        )
    }
}

/// Finds the first row of an import for each of some device ids.
pub(crate) struct FirstRows {
    pub(crate) import: Uuid,
    pub(crate) ids: Vec<String>,
}

statement!(FirstRows -> (Nullable<Text>, Nullable<BigInt>));

impl QueryFragment<Pg> for FirstRows {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Array<Text>, _>("ids", &self.ids)?;
        // Comparing and ordering by the pair forces the index over both columns: one index probe per id, however many rows
        // have it.
        input.then(
            ")
            SELECT named.id, first.row_number
            FROM input, unnest(ids) AS named (id) CROSS JOIN LATERAL (
                SELECT device_id, row_number FROM import_rows
                WHERE import_id = (SELECT wanted FROM input) AND (device_id, row_number) >= (named.id, 0::bigint)
                ORDER BY device_id, row_number LIMIT 1
            ) AS first
            WHERE first.device_id = named.id",
        )
    }
}

#[cfg(test)]
mod tests {
    use pos_domain::device::{Device, DeviceDetails};
    use pos_domain::fleet::ImportId;
    use pos_domain::shared::{AuditContext, DeviceId, MerchantId};

    use super::*;

    fn is_prepared_once<Q: Query + QueryFragment<Pg> + QueryId>(query: &Q) -> bool {
        Q::query_id().is_some() && query.is_safe_to_cache_prepared(&Pg).unwrap()
    }

    #[test]
    fn every_statement_is_prepared_once() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let import = ImportRef { id: ImportId(Uuid::nil()), owner: Scope::Operator };
        let merchant = MerchantId(Uuid::nil());
        let new = Device::provision(
            DeviceId::from_bits(1),
            merchant,
            DeviceDetails::default(),
            AuditContext::operator(),
            now,
        );
        assert!(is_prepared_once(&StageRows::of(&import, &[], now)));
        assert!(is_prepared_once(&UnknownLocations::of(Scope::Operator, [&new].into_iter())));
        assert!(is_prepared_once(&SetOutcomes::of(&import, vec![1], &Vec::new())));
        let summary =
            UploadSummary { fingerprint: pos_domain::shared::Fingerprint([0; 32]), rows: 0, at: now, expires_at: now };
        assert!(is_prepared_once(&FinalizeUpload::of(&import, &summary)));
        assert!(is_prepared_once(&FirstRows { import: import.id.0, ids: Vec::new() }));
    }
}
