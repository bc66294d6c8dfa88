//! The statements of imports that are over many rows at once, from the first row staged to the last one decided.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::{Scope, Transition};
use pos_port_storage::{ImportRef, Seal, StagedRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::statements::{Input, statement};
use crate::storage::import_rows::{PROVISIONED, RefusedRows, owner_text, place};
use crate::storage::rows::signed;
use crate::storage::tenancy_rows::party_columns;

/// Keeps rows of an import that is being uploaded. Answers how many were kept: all, or none of an import that is not.
pub(super) struct StageRows {
    import: Uuid,
    owner: String,
    numbers: Vec<i64>,
    ids: Vec<Option<String>>,
    merchants: Vec<Option<Uuid>>,
    labels: Vec<Option<String>>,
    locations: Vec<Option<Uuid>>,
    outcomes: Vec<Option<&'static str>>,
    details: Vec<Option<String>>,
    keep_until: OffsetDateTime,
}

impl StageRows {
    pub(super) fn of(import: &ImportRef, rows: &[StagedRow], keep_until: OffsetDateTime) -> Self {
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
            keep_until,
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
        input.bind::<Timestamptz, _>("until", &self.keep_until)?;
        input.then(
            "), uploading AS (
                UPDATE imports SET keep_until = greatest(keep_until, until) FROM input
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

/// The places that devices are not to have: where the merchant is not there or not seen by a scope (answered with false),
/// or where it is, and the location is not there or not the merchant's (true).
pub(super) struct WrongPlaces {
    merchants: Vec<Uuid>,
    locations: Vec<Option<Uuid>>,
    everybodys: bool,
    own: Option<Uuid>,
    parent: Option<Uuid>,
}

impl WrongPlaces {
    pub(super) fn of<'t>(scope: Scope, new: impl Iterator<Item = &'t Transition>) -> Self {
        let (everybodys, (own, parent)) = match scope {
            Scope::Operator => (true, (None, None)),
            Scope::Of(party) => (false, party_columns(party)),
        };
        let mut places: Vec<_> = new.map(place).collect();
        places.sort_unstable();
        places.dedup();
        let (merchants, locations) = places.into_iter().unzip();
        Self { merchants, locations, everybodys, own, parent }
    }
}

statement!(WrongPlaces -> (SqlUuid, Nullable<SqlUuid>, Bool));

impl QueryFragment<Pg> for WrongPlaces {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Array<SqlUuid>, _>("merchant_ids", &self.merchants)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("location_ids", &self.locations)?;
        input.bind::<Bool, _>("everybodys", &self.everybodys)?;
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

/// Writes the outcomes of rows about which nothing was decided.
pub(super) struct SetOutcomes {
    import: Uuid,
    numbers: Vec<i64>,
    outcomes: Vec<&'static str>,
    details: Vec<Option<String>>,
}

impl SetOutcomes {
    pub(super) fn of(import: &ImportRef, created: Vec<i64>, refused: &RefusedRows) -> Self {
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
        // Each row by its key: a join would read the whole import for each call, until the table is analysed. Whoever
        // decides about rows has locked them, or their import, so that their places stay.
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

/// Seals an upload that has all its rows and whose time is not over. Answers how many were sealed.
pub(super) struct SealImport {
    import: Uuid,
    owner: String,
    fingerprint: Vec<u8>,
    rows: i64,
    at: OffsetDateTime,
    keep_until: OffsetDateTime,
}

impl SealImport {
    pub(super) fn of(import: &ImportRef, seal: &Seal) -> Self {
        Self {
            import: import.id.0,
            owner: owner_text(import.owner),
            fingerprint: seal.fingerprint.0.to_vec(),
            rows: signed(seal.rows),
            at: seal.at,
            keep_until: seal.keep_until,
        }
    }
}

statement!(SealImport -> BigInt);

impl QueryFragment<Pg> for SealImport {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Text, _>("whose", &self.owner)?;
        input.bind::<Binary, _>("print", &self.fingerprint)?;
        input.bind::<BigInt, _>("has", &self.rows)?;
        input.bind::<Timestamptz, _>("moment", &self.at)?;
        input.bind::<Timestamptz, _>("until", &self.keep_until)?;
        input.then(
            "), sealed AS (
                UPDATE imports SET state = 'sealed', fingerprint = print, row_count = has, keep_until = until
                FROM input
                WHERE import_id = wanted AND owner = whose AND state = 'uploading' AND keep_until > moment
                    AND has = (SELECT count(*) FROM import_rows WHERE import_rows.import_id = (SELECT wanted FROM input))
                RETURNING 1
            )
            SELECT count(*) FROM sealed",
        )
    }
}

/// The first row of an import that names each of some devices.
pub(super) struct FirstRows {
    pub(super) import: Uuid,
    pub(super) ids: Vec<String>,
}

statement!(FirstRows -> (Nullable<Text>, Nullable<BigInt>));

impl QueryFragment<Pg> for FirstRows {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<SqlUuid, _>("wanted", &self.import)?;
        input.bind::<Array<Text>, _>("ids", &self.ids)?;
        // The pair is compared, and both are ordered by, so that only the index over both serves: one step for each
        // id, however many rows name it.
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
    use pos_domain::{Act, Device, DeviceDetails, DeviceId, ImportId, MerchantId};

    use super::*;

    fn is_kept_prepared<Q: Query + QueryFragment<Pg> + QueryId>(query: &Q) -> bool {
        Q::query_id().is_some() && query.is_safe_to_cache_prepared(&Pg).unwrap()
    }

    #[test]
    fn every_statement_is_kept_prepared() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let import = ImportRef { id: ImportId(Uuid::nil()), owner: Scope::Operator };
        let merchant = MerchantId(Uuid::nil());
        let new = Device::provision(DeviceId::from_bits(1), merchant, DeviceDetails::default(), Act::operator(), now);
        assert!(is_kept_prepared(&StageRows::of(&import, &[], now)));
        assert!(is_kept_prepared(&WrongPlaces::of(Scope::Operator, [&new].into_iter())));
        assert!(is_kept_prepared(&SetOutcomes::of(&import, vec![1], &Vec::new())));
        let seal = Seal { fingerprint: pos_domain::Fingerprint([0; 32]), rows: 0, at: now, keep_until: now };
        assert!(is_kept_prepared(&SealImport::of(&import, &seal)));
        assert!(is_kept_prepared(&FirstRows { import: import.id.0, ids: Vec::new() }));
    }
}
