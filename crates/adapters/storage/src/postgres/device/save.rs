//! Statement that saves one transition, of a terminal or of a portal.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::device::{DeviceRecord, Transition};
use pos_domain::shared::Party;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::statements::{Input, statement};
use crate::rows::audit::{chain_columns, client_ip_text, trace_text};
use crate::rows::reader::signed;
use crate::rows::tenancy::party_columns;

/// The statement text after its parameters, with an additional condition on the device.
macro_rules! save_where {
    ($condition:literal $(,)?) => {
        concat!(
            "), changed AS (
            UPDATE devices
            SET version = input.version, merchant_id = input.merchant_id, status = input.status,
                pairing_code = input.pairing_code, code_issued_at = input.code_issued_at,
                code_expires_at = input.code_expires_at, claimed_by = input.claimed_by,
                claimed_at = input.claimed_at, activated_at = input.activated_at,
                decommissioned_at = input.decommissioned_at, label = input.label, location_id = input.location_id,
                chain_start = input.chain_start, chain_tip = input.hash
            FROM input
            WHERE devices.device_id = input.device_id AND devices.version = input.expected",
            $condition,
            "
            RETURNING devices.device_id
        ), audited AS (
            INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, client_ip, trace_id, kind, hash)
            SELECT device_id, version, merchant_id, at, actor, client_ip, trace_id, kind, hash FROM input
            WHERE EXISTS (SELECT FROM changed)
        ), ended AS (
            INSERT INTO past_pairing_codes (device_id, sequence, pairing_code, ended_as, ended_at)
            SELECT device_id, version, ended_code, ended_as, ended_at FROM input
            WHERE ended_code IS NOT NULL AND EXISTS (SELECT FROM changed)
        )
        SELECT count(*) FROM changed"
        )
    };
}

/// Saves one transition. Returns 1, or 0 if the device does not have the expected version.
pub(crate) struct SaveTransition {
    pub(crate) record: DeviceRecord,
    pub(crate) id: String,
    pub(crate) expected: i64,
    pub(crate) version: i64,
    pub(crate) status: &'static str,
    pub(crate) pairing_code: Option<String>,
    pub(crate) claimed_by: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) location_id: Option<Uuid>,
    pub(crate) at: OffsetDateTime,
    pub(crate) actor: String,
    pub(crate) client_ip: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) chain_start: Option<i64>,
    pub(crate) hash: Option<Vec<u8>>,
    pub(crate) past_code: Option<String>,
    pub(crate) ended_as: Option<&'static str>,
    pub(crate) ended_at: Option<OffsetDateTime>,
}

impl From<&Transition> for SaveTransition {
    fn from(transition: &Transition) -> Self {
        let (record, event, ended) = (transition.device().record(), transition.event(), transition.past_code());
        let (chain_start, hash) = chain_columns(transition);
        Self {
            id: record.id.as_str().to_owned(),
            expected: signed(transition.expected_version()),
            version: signed(record.version),
            status: record.status.as_str(),
            pairing_code: record.pairing_code.map(|code| code.as_str().to_owned()),
            claimed_by: record.claimed_by.as_ref().map(|user| user.as_str().to_owned()),
            label: record.details.label.as_ref().map(|label| label.as_str().to_owned()),
            location_id: record.details.location_id.map(|location| location.0),
            at: event.at,
            actor: event.audit_context.actor.to_string(),
            client_ip: client_ip_text(&event.audit_context),
            trace_id: trace_text(&event.audit_context),
            kind: event.kind.as_str(),
            chain_start,
            hash,
            past_code: ended.map(|ended| ended.code.as_str().to_owned()),
            ended_as: ended.map(|ended| ended.end.as_str()),
            ended_at: ended.map(|ended| ended.at),
            record,
        }
    }
}

statement!(SaveTransition -> BigInt);

impl QueryFragment<Pg> for SaveTransition {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.input(out)?.then(save_where!(""))
    }
}

impl SaveTransition {
    fn input<'a, 'b>(&'b self, out: AstPass<'a, 'b, Pg>) -> QueryResult<Input<'a, 'b>> {
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
        input.bind::<Nullable<Timestamptz>, _>("decommissioned_at", &self.record.decommissioned_at)?;
        input.bind::<Nullable<Text>, _>("label", &self.label)?;
        input.bind::<Nullable<SqlUuid>, _>("location_id", &self.location_id)?;
        input.bind::<Timestamptz, _>("at", &self.at)?;
        input.bind::<Text, _>("actor", &self.actor)?;
        input.bind::<Nullable<Text>, _>("client_ip", &self.client_ip)?;
        input.bind::<Nullable<Text>, _>("trace_id", &self.trace_id)?;
        input.bind::<Text, _>("kind", &self.kind)?;
        input.bind::<Nullable<BigInt>, _>("chain_start", &self.chain_start)?;
        input.bind::<Nullable<Binary>, _>("hash", &self.hash)?;
        input.bind::<Nullable<Text>, _>("ended_code", &self.past_code)?;
        input.bind::<Nullable<Text>, _>("ended_as", &self.ended_as)?;
        input.bind::<Nullable<Timestamptz>, _>("ended_at", &self.ended_at)?;
        Ok(input)
    }
}

/// Saves one transition for a party. Returns 1, or 0 if the device does not have the expected version, or if its merchant
/// before or after the transition is not visible to the party.
pub(crate) struct SaveForParty {
    transition: SaveTransition,
    own: Option<Uuid>,
    parent: Option<Uuid>,
}

impl SaveForParty {
    pub(crate) fn of(party: Party, transition: &Transition) -> Self {
        let (own, parent) = party_columns(party);
        Self { transition: transition.into(), own, parent }
    }
}

statement!(SaveForParty -> BigInt);

impl QueryFragment<Pg> for SaveForParty {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = self.transition.input(out)?;
        input.bind::<Nullable<SqlUuid>, _>("own", &self.own)?;
        input.bind::<Nullable<SqlUuid>, _>("parent", &self.parent)?;
        input.then(save_where!(
            "
                AND (devices.merchant_id = input.own OR EXISTS (
                    SELECT FROM merchants
                    WHERE merchants.merchant_id = devices.merchant_id AND merchants.reseller_id = input.parent))
                AND (input.merchant_id = input.own OR EXISTS (
                    SELECT FROM merchants
                    WHERE merchants.merchant_id = input.merchant_id AND merchants.reseller_id = input.parent))",
        ))
    }
}
