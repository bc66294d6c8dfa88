//! The statements that diesel's query builder cannot say: each one round trip, one atomic write.
//!
//! Each is a query node of its own rather than `sql_query`, because diesel prepares and keeps a statement by the type
//! of its query: the server parses and plans each of these once for each connection. The parameters stand once, in a
//! leading `WITH input`, and the rest of the text is fixed.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, BigInt, Binary, HasSqlType, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::{DeviceDetails, DeviceRecord, PairingCode, Transition};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::storage::audit_rows::{chain_columns, origin_text, trace_text};
use crate::storage::rows::signed;

type DeviceColumns = (
    Text,
    SqlUuid,
    BigInt,
    Timestamptz,
    Text,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<BigInt>,
    Nullable<Binary>,
);

/// Gives a node the identity by which its prepared statement is kept, and the type of its rows.
macro_rules! statement {
    ($name:ident -> $row:ty) => {
        impl QueryId for $name {
            type QueryId = Self;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl Query for $name {
            type SqlType = $row;
        }
    };
}

pub(super) use statement;

/// Writes `WITH input AS (SELECT $1 AS name, $2 AS name …)`.
pub(super) struct Input<'a, 'b> {
    out: AstPass<'a, 'b, Pg>,
    separator: &'static str,
}

impl<'a, 'b> Input<'a, 'b> {
    pub(super) fn of(out: AstPass<'a, 'b, Pg>) -> Self {
        Self { out, separator: "WITH input AS (SELECT " }
    }

    pub(super) fn bind<T, U>(&mut self, name: &str, value: &'b U) -> QueryResult<()>
    where
        Pg: HasSqlType<T>,
        U: ToSql<T, Pg>,
    {
        self.out.push_sql(std::mem::replace(&mut self.separator, ", "));
        self.out.push_bind_param::<T, U>(value)?;
        self.out.push_sql(" AS ");
        self.out.push_sql(name);
        Ok(())
    }

    pub(super) fn then(mut self, rest: &str) -> QueryResult<()> {
        self.out.push_sql(rest);
        Ok(())
    }
}

/// Keeps one transition. Answers 1, or 0 when the device is not at the expected version.
pub(super) struct SaveTransition {
    pub(super) record: DeviceRecord,
    pub(super) id: String,
    pub(super) expected: i64,
    pub(super) version: i64,
    pub(super) status: &'static str,
    pub(super) pairing_code: Option<String>,
    pub(super) claimed_by: Option<String>,
    pub(super) at: OffsetDateTime,
    pub(super) actor: String,
    pub(super) origin: Option<String>,
    pub(super) trace_id: Option<String>,
    pub(super) kind: &'static str,
    pub(super) chain_start: Option<i64>,
    pub(super) hash: Option<Vec<u8>>,
    pub(super) ended_code: Option<String>,
    pub(super) ended_as: Option<&'static str>,
    pub(super) ended_at: Option<OffsetDateTime>,
}

impl From<&Transition> for SaveTransition {
    fn from(transition: &Transition) -> Self {
        let (record, event, ended) = (transition.device().record(), transition.event(), transition.ended_code());
        let (chain_start, hash) = chain_columns(transition);
        Self {
            id: record.id.as_str().to_owned(),
            expected: signed(transition.expected_version()),
            version: signed(record.version),
            status: record.status.as_str(),
            pairing_code: record.pairing_code.map(|code| code.as_str().to_owned()),
            claimed_by: record.claimed_by.as_ref().map(|user| user.as_str().to_owned()),
            at: event.at,
            actor: event.act.actor.to_string(),
            origin: origin_text(&event.act),
            trace_id: trace_text(&event.act),
            kind: event.kind.as_str(),
            chain_start,
            hash,
            ended_code: ended.map(|ended| ended.code.as_str().to_owned()),
            ended_as: ended.map(|ended| ended.end.as_str()),
            ended_at: ended.map(|ended| ended.at),
            record,
        }
    }
}

statement!(SaveTransition -> BigInt);

impl QueryFragment<Pg> for SaveTransition {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Text, _>("device_id", &self.id)?;
        input.bind::<BigInt, _>("expected", &self.expected)?;
        input.bind::<BigInt, _>("version", &self.version)?;
        input.bind::<SqlUuid, _>("merchant_id", &self.record.merchant_id.0)?;
        input.bind::<Text, _>("status", &self.status)?;
        input.bind::<Nullable<Text>, _>("pairing_code", &self.pairing_code)?;
        input.bind::<Nullable<Timestamptz>, _>("code_issued_at", &self.record.code_issued_at)?;
        input.bind::<Nullable<Timestamptz>, _>("code_expires_at", &self.record.code_expires_at)?;
        input.bind::<Nullable<Text>, _>("claimed_by", &self.claimed_by)?;
        input.bind::<Nullable<Timestamptz>, _>("claimed_at", &self.record.claimed_at)?;
        input.bind::<Nullable<Timestamptz>, _>("activated_at", &self.record.activated_at)?;
        input.bind::<Timestamptz, _>("at", &self.at)?;
        input.bind::<Text, _>("actor", &self.actor)?;
        input.bind::<Nullable<Text>, _>("origin", &self.origin)?;
        input.bind::<Nullable<Text>, _>("trace_id", &self.trace_id)?;
        input.bind::<Text, _>("kind", &self.kind)?;
        input.bind::<Nullable<BigInt>, _>("chain_start", &self.chain_start)?;
        input.bind::<Nullable<Binary>, _>("hash", &self.hash)?;
        input.bind::<Nullable<Text>, _>("ended_code", &self.ended_code)?;
        input.bind::<Nullable<Text>, _>("ended_as", &self.ended_as)?;
        input.bind::<Nullable<Timestamptz>, _>("ended_at", &self.ended_at)?;
        input.then(
            "), changed AS (
                UPDATE devices
                SET version = input.version, status = input.status, pairing_code = input.pairing_code,
                    code_issued_at = input.code_issued_at, code_expires_at = input.code_expires_at,
                    claimed_by = input.claimed_by, claimed_at = input.claimed_at, activated_at = input.activated_at,
                    chain_start = input.chain_start, chain_head = input.hash
                FROM input
                WHERE devices.device_id = input.device_id AND devices.version = input.expected
                RETURNING devices.device_id
            ), told AS (
                INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, origin, trace_id, kind, hash)
                SELECT device_id, version, merchant_id, at, actor, origin, trace_id, kind, hash FROM input
                WHERE EXISTS (SELECT FROM changed)
            ), ended AS (
                INSERT INTO ended_pairing_codes (device_id, sequence, pairing_code, ended_as, ended_at)
                SELECT device_id, version, ended_code, ended_as, ended_at FROM input
                WHERE ended_code IS NOT NULL AND EXISTS (SELECT FROM changed)
            )
            SELECT count(*) FROM changed",
        )
    }
}

/// Stores new devices with their first events. Answers the ids that were free.
pub(super) struct AddDevices {
    ids: Vec<String>,
    merchants: Vec<Uuid>,
    provisioned_at: Vec<OffsetDateTime>,
    at: Vec<OffsetDateTime>,
    actors: Vec<String>,
    origins: Vec<Option<String>>,
    trace_ids: Vec<Option<String>>,
    kinds: Vec<&'static str>,
    hashes: Vec<Option<Vec<u8>>>,
}

impl From<&[&Transition]> for AddDevices {
    fn from(new: &[&Transition]) -> Self {
        Self {
            ids: new.iter().map(|one| one.device().id().as_str().to_owned()).collect(),
            merchants: new.iter().map(|one| one.device().merchant_id().0).collect(),
            provisioned_at: new.iter().map(|one| one.device().provisioned_at()).collect(),
            at: new.iter().map(|one| one.event().at).collect(),
            actors: new.iter().map(|one| one.event().act.actor.to_string()).collect(),
            origins: new.iter().map(|one| origin_text(&one.event().act)).collect(),
            trace_ids: new.iter().map(|one| trace_text(&one.event().act)).collect(),
            kinds: new.iter().map(|one| one.event().kind.as_str()).collect(),
            hashes: new.iter().map(|one| chain_columns(one).1).collect(),
        }
    }
}

statement!(AddDevices -> Text);

impl QueryFragment<Pg> for AddDevices {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Array<Text>, _>("ids", &self.ids)?;
        input.bind::<Array<SqlUuid>, _>("merchants", &self.merchants)?;
        input.bind::<Array<Timestamptz>, _>("provisioned", &self.provisioned_at)?;
        input.bind::<Array<Timestamptz>, _>("ats", &self.at)?;
        input.bind::<Array<Text>, _>("actors", &self.actors)?;
        input.bind::<Array<Nullable<Text>>, _>("origins", &self.origins)?;
        input.bind::<Array<Nullable<Text>>, _>("trace_ids", &self.trace_ids)?;
        input.bind::<Array<Text>, _>("kinds", &self.kinds)?;
        input.bind::<Array<Nullable<Binary>>, _>("hashes", &self.hashes)?;
        // In the order of ids, so that two calls with some of the same ids wait for each other and never in a circle.
        input.then(
            "), new AS (
                SELECT given.*
                FROM input, unnest(ids, merchants, provisioned, ats, actors, origins, trace_ids, kinds, hashes)
                    AS given (device_id, merchant_id, provisioned_at, at, actor, origin, trace_id, kind, hash)
            ), added AS (
                INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status, chain_start, chain_head)
                SELECT device_id, merchant_id, 1, provisioned_at, 'inactive', 1, hash
                FROM new ORDER BY device_id COLLATE \"C\"
                ON CONFLICT (device_id) DO NOTHING
                RETURNING device_id
            ), told AS (
                INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, origin, trace_id, kind, hash)
                SELECT new.device_id, 1, new.merchant_id, new.at, new.actor, new.origin, new.trace_id, new.kind,
                    new.hash
                FROM new JOIN added ON added.device_id = new.device_id COLLATE \"C\"
            )
            SELECT device_id FROM added",
        )
    }
}

/// The device that waits with a code, else the one that was last claimed with it; at most one row.
pub(super) struct FindByPairingCode {
    code: String,
}

impl From<PairingCode> for FindByPairingCode {
    fn from(code: PairingCode) -> Self {
        Self { code: code.as_str().to_owned() }
    }
}

statement!(FindByPairingCode -> DeviceColumns);

impl QueryFragment<Pg> for FindByPairingCode {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Text, _>("code", &self.code)?;
        // Two halves, so that each has a partial index that fits it; the order of the whole puts a waiting device first.
        input.then(
            "), waiting AS (
                SELECT devices.* FROM devices, input WHERE pairing_code = code AND status = 'inactive'
            ), used AS (
                SELECT devices.* FROM devices, input
                WHERE pairing_code = code AND status IN ('claimed', 'activated')
                ORDER BY claimed_at DESC LIMIT 1
            )
            SELECT device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at,
                code_expires_at, claimed_by, claimed_at, activated_at, app_version, os, model, seen_at,
                chain_start, chain_head
            FROM (SELECT * FROM waiting UNION ALL SELECT * FROM used) AS either
            ORDER BY (status = 'inactive') DESC LIMIT 1",
        )
    }
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use pos_domain::{
        Act, CallContext, ClaimLimit, Claimant, Device, DeviceId, MerchantId, RefusedClaim, RefusedClaimReason,
    };

    use super::super::refusals::{CountFailure, TellBlocked};
    use super::*;

    fn is_kept_prepared<Q: Query + QueryFragment<Pg> + QueryId>(query: &Q) -> bool {
        Q::query_id().is_some() && query.is_safe_to_cache_prepared(&Pg).unwrap()
    }

    /// Were one of these not kept, every call of it would cost a second round trip and a plan.
    #[test]
    fn every_statement_is_kept_prepared() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let merchant_id = MerchantId(Uuid::nil());
        let new =
            Device::provision(DeviceId::from_bits(1), merchant_id, DeviceDetails::default(), Act::operator(), now);
        let refused = RefusedClaim {
            by: Claimant { merchant_id, user_id: pos_domain::UserId::parse("anna").unwrap() },
            context: CallContext::default(),
            at: now,
            device_id: None,
            reason: RefusedClaimReason::NotFound,
        };
        let limit = ClaimLimit { max_failures: 1, window: time::Duration::MINUTE };
        assert!(is_kept_prepared(&SaveTransition::from(&new)));
        assert!(is_kept_prepared(&AddDevices::from([&new].as_slice())));
        assert!(is_kept_prepared(&FindByPairingCode::from(PairingCode::from_bits(1))));
        assert!(is_kept_prepared(&CountFailure::of(&refused, &limit)));
        assert!(is_kept_prepared(&TellBlocked::of(&refused, &limit)));
    }

    #[test]
    fn parameters_stand_once_and_by_name() {
        let query = FindByPairingCode::from(PairingCode::from_bits(1));
        let sql = debug_query::<Pg, _>(&query).to_string();
        assert!(sql.starts_with("WITH input AS (SELECT $1 AS code), waiting AS ("), "{sql}");
        assert!(!sql.contains("$2"), "{sql}");
    }
}
