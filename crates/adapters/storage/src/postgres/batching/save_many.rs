//! Statement that saves many transitions: every row has its own condition and its own outcome.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::device::Transition;
use pos_port_storage::shared::{SaveError, StorageError};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::device::save::SaveTransition;
use crate::postgres::statements::{Input, statement};

/// The outcome of one row.
pub(crate) enum RowOutcome {
    /// The result for the caller.
    Done(Result<(), SaveError>),
    /// Another transaction has locked the row. Nothing was saved, and the save may be retried.
    Locked,
}

impl RowOutcome {
    const SAVED: i16 = 0;
    const CONFLICT: i16 = 1;
    const CODE_TAKEN: i16 = 2;
    const LOCKED: i16 = 3;

    /// `None`: the statement returned no outcome for the row.
    pub(crate) fn read(code: Option<i16>) -> Self {
        Self::Done(match code {
            Some(Self::SAVED) => Ok(()),
            Some(Self::CONFLICT) => Err(SaveError::Conflict),
            Some(Self::CODE_TAKEN) => Err(SaveError::CodeTaken),
            Some(Self::LOCKED) => return Self::Locked,
            _ => Err(StorageError::Fault("a batched save returned no outcome".into()).into()),
        })
    }
}

/// Stores the transitions whose conditions hold. Returns one row for each: the device and its [`RowOutcome`].
///
/// No two transitions may have the same device or the same pairing code.
#[derive(Default)]
pub(crate) struct SaveMany {
    ids: Vec<String>,
    expected: Vec<i64>,
    versions: Vec<i64>,
    merchants: Vec<Uuid>,
    statuses: Vec<&'static str>,
    codes: Vec<Option<String>>,
    issued_at: Vec<Option<OffsetDateTime>>,
    expires_at: Vec<Option<OffsetDateTime>>,
    claimed_by: Vec<Option<String>>,
    claimed_at: Vec<Option<OffsetDateTime>>,
    activated_at: Vec<Option<OffsetDateTime>>,
    decommissioned_at: Vec<Option<OffsetDateTime>>,
    labels: Vec<Option<String>>,
    locations: Vec<Option<Uuid>>,
    at: Vec<OffsetDateTime>,
    actors: Vec<String>,
    client_ips: Vec<Option<String>>,
    trace_ids: Vec<Option<String>>,
    kinds: Vec<&'static str>,
    chain_starts: Vec<Option<i64>>,
    hashes: Vec<Option<Vec<u8>>>,
    past_codes: Vec<Option<String>>,
    ended_as: Vec<Option<&'static str>>,
    ended_at: Vec<Option<OffsetDateTime>>,
}

impl SaveMany {
    pub(crate) fn of<'a>(transitions: impl Iterator<Item = &'a Transition>) -> Self {
        let mut all = Self::default();
        for one in transitions.map(SaveTransition::from) {
            all.merchants.push(one.record.merchant_id.0);
            all.issued_at.push(one.record.code_issued_at);
            all.expires_at.push(one.record.code_expires_at);
            all.claimed_at.push(one.record.claimed_at);
            all.activated_at.push(one.record.activated_at);
            all.decommissioned_at.push(one.record.decommissioned_at);
            all.labels.push(one.label);
            all.locations.push(one.location_id);
            all.ids.push(one.id);
            all.expected.push(one.expected);
            all.versions.push(one.version);
            all.statuses.push(one.status);
            all.codes.push(one.pairing_code);
            all.claimed_by.push(one.claimed_by);
            all.at.push(one.at);
            all.actors.push(one.actor);
            all.client_ips.push(one.client_ip);
            all.trace_ids.push(one.trace_id);
            all.kinds.push(one.kind);
            all.chain_starts.push(one.chain_start);
            all.hashes.push(one.hash);
            all.past_codes.push(one.past_code);
            all.ended_as.push(one.ended_as);
            all.ended_at.push(one.ended_at);
        }
        all
    }
}

statement!(SaveMany -> (Text, SmallInt));

impl QueryFragment<Pg> for SaveMany {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Array<Text>, _>("ids", &self.ids)?;
        input.bind::<Array<BigInt>, _>("expecteds", &self.expected)?;
        input.bind::<Array<BigInt>, _>("versions", &self.versions)?;
        input.bind::<Array<SqlUuid>, _>("merchants", &self.merchants)?;
        input.bind::<Array<Text>, _>("statuses", &self.statuses)?;
        input.bind::<Array<Nullable<Text>>, _>("codes", &self.codes)?;
        input.bind::<Array<Nullable<Timestamptz>>, _>("issued", &self.issued_at)?;
        input.bind::<Array<Nullable<Timestamptz>>, _>("expires", &self.expires_at)?;
        input.bind::<Array<Nullable<Text>>, _>("claimants", &self.claimed_by)?;
        input.bind::<Array<Nullable<Timestamptz>>, _>("claims", &self.claimed_at)?;
        input.bind::<Array<Nullable<Timestamptz>>, _>("activations", &self.activated_at)?;
        input.bind::<Array<Nullable<Timestamptz>>, _>("decommissions", &self.decommissioned_at)?;
        input.bind::<Array<Nullable<Text>>, _>("labels", &self.labels)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("locations", &self.locations)?;
        input.bind::<Array<Timestamptz>, _>("ats", &self.at)?;
        input.bind::<Array<Text>, _>("actors", &self.actors)?;
        input.bind::<Array<Nullable<Text>>, _>("client_ips", &self.client_ips)?;
        input.bind::<Array<Nullable<Text>>, _>("trace_ids", &self.trace_ids)?;
        input.bind::<Array<Text>, _>("kinds", &self.kinds)?;
        input.bind::<Array<Nullable<BigInt>>, _>("chain_starts", &self.chain_starts)?;
        input.bind::<Array<Nullable<Binary>>, _>("hashes", &self.hashes)?;
        input.bind::<Array<Nullable<Text>>, _>("past_codes", &self.past_codes)?;
        input.bind::<Array<Nullable<Text>>, _>("ends", &self.ended_as)?;
        input.bind::<Array<Nullable<Timestamptz>>, _>("ended_ats", &self.ended_at)?;
        // No row waits for a lock. A row that another transaction has locked is skipped (`free`), and so is one whose code
        // another device has (`clashing`). The unique index decides only about a code that another transaction inserts
        // concurrently. Both CTEs look up each row by key: a LATERAL with a LIMIT cannot become a join, which would read
        // all devices.
        input.then(
            "), given AS MATERIALIZED (
                SELECT given.*
                FROM input, unnest(ids, expecteds, versions, merchants, statuses, codes, issued, expires, claimants,
                    claims, activations, decommissions, labels, locations, ats, actors, client_ips, trace_ids, kinds,
                    chain_starts, hashes, past_codes, ends, ended_ats)
                    AS given (device_id, expected, version, merchant_id, status, pairing_code, code_issued_at,
                        code_expires_at, claimed_by, claimed_at, activated_at, decommissioned_at, label, location_id,
                        at, actor, client_ip, trace_id, kind, chain_start, hash, ended_code, ended_as, ended_at)
            ), free AS MATERIALIZED (
                SELECT given.* FROM given CROSS JOIN LATERAL (
                    SELECT FROM devices WHERE devices.device_id = given.device_id COLLATE \"C\"
                    LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
                ) AS held
            ), clashing AS MATERIALIZED (
                SELECT given.device_id FROM given CROSS JOIN LATERAL (
                    SELECT FROM devices AS other
                    WHERE other.pairing_code = given.pairing_code COLLATE \"C\" AND other.status = 'inactive'
                        AND other.device_id <> given.device_id COLLATE \"C\"
                    LIMIT 1
                ) AS taken
                WHERE given.status = 'inactive'
            ), expected AS MATERIALIZED (
                SELECT given.device_id FROM given CROSS JOIN LATERAL (
                    SELECT FROM devices
                    WHERE devices.device_id = given.device_id COLLATE \"C\" AND devices.version = given.expected
                    LIMIT 1
                ) AS stored
            ), changed AS (
                UPDATE devices
                SET version = free.version, merchant_id = free.merchant_id, status = free.status,
                    pairing_code = free.pairing_code, code_issued_at = free.code_issued_at,
                    code_expires_at = free.code_expires_at, claimed_by = free.claimed_by,
                    claimed_at = free.claimed_at, activated_at = free.activated_at,
                    decommissioned_at = free.decommissioned_at, label = free.label,
                    location_id = free.location_id, chain_start = free.chain_start, chain_tip = free.hash
                FROM free
                WHERE devices.device_id = free.device_id COLLATE \"C\" AND devices.version = free.expected
                    AND NOT EXISTS (SELECT FROM clashing WHERE clashing.device_id = free.device_id)
                RETURNING devices.device_id
            ), audited AS (
                INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, client_ip, trace_id, kind, hash)
                SELECT given.device_id, given.version, given.merchant_id, given.at, given.actor, given.client_ip,
                    given.trace_id, given.kind, given.hash
                FROM given JOIN changed ON changed.device_id = given.device_id COLLATE \"C\"
            ), ended AS (
                INSERT INTO past_pairing_codes (device_id, sequence, pairing_code, ended_as, ended_at)
                SELECT given.device_id, given.version, given.ended_code, given.ended_as, given.ended_at
                FROM given JOIN changed ON changed.device_id = given.device_id COLLATE \"C\"
                WHERE given.ended_code IS NOT NULL
            )
            SELECT given.device_id,
                CASE
                    WHEN EXISTS (SELECT FROM changed WHERE changed.device_id = given.device_id COLLATE \"C\") THEN 0
                    WHEN NOT EXISTS (SELECT FROM expected WHERE expected.device_id = given.device_id) THEN 1
                    WHEN EXISTS (SELECT FROM clashing WHERE clashing.device_id = given.device_id) THEN 2
                    WHEN NOT EXISTS (SELECT FROM free WHERE free.device_id = given.device_id) THEN 3
                    ELSE 1
                END::smallint
            FROM given",
        )
    }
}
