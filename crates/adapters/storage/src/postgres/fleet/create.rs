//! Statements that create devices: the check of merchants and locations, and the insert with the first events.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::device::Transition;
use pos_domain::shared::{Name, Scope};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::statements::{Input, statement};
use crate::rows::audit::{chain_columns, client_ip_text, trace_text};
use crate::rows::tenancy::party_columns;

/// Checks merchants and locations of new devices. Returns whether every merchant exists and is visible to the scope, and
/// whether every location exists and belongs to its merchant.
pub(crate) struct CheckLocations {
    merchants: Vec<Uuid>,
    locations: Vec<Option<Uuid>>,
    is_operator: bool,
    own: Option<Uuid>,
    parent: Option<Uuid>,
}

impl CheckLocations {
    pub(crate) fn of(scope: Scope, new: &[&Transition]) -> Self {
        let (is_operator, (own, parent)) = match scope {
            Scope::Operator => (true, (None, None)),
            Scope::Of(party) => (false, party_columns(party)),
        };
        let mut pairs: Vec<_> = new.iter().map(|one| merchant_and_location(one)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let (merchants, locations) = pairs.into_iter().unzip();
        Self { merchants, locations, is_operator, own, parent }
    }
}

fn merchant_and_location(new: &Transition) -> (Uuid, Option<Uuid>) {
    (new.device().merchant_id().0, new.device().details().location_id.map(|location| location.0))
}

statement!(CheckLocations -> (Bool, Bool));

impl QueryFragment<Pg> for CheckLocations {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Array<SqlUuid>, _>("merchant_ids", &self.merchants)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("location_ids", &self.locations)?;
        input.bind::<Bool, _>("everybodys", &self.is_operator)?;
        input.bind::<Nullable<SqlUuid>, _>("own", &self.own)?;
        input.bind::<Nullable<SqlUuid>, _>("parent", &self.parent)?;
        input.then(
            "), places AS (
                SELECT place.* FROM input, unnest(merchant_ids, location_ids) AS place (merchant_id, location_id)
            ), hidden AS (
                SELECT FROM places, input
                WHERE NOT EXISTS (
                    SELECT FROM merchants
                    WHERE merchants.merchant_id = places.merchant_id
                        AND (everybodys OR merchants.merchant_id = own OR merchants.reseller_id = parent))
            ), nowhere AS (
                SELECT FROM places
                WHERE location_id IS NOT NULL AND NOT EXISTS (
                    SELECT FROM locations
                    WHERE locations.merchant_id = places.merchant_id AND locations.location_id = places.location_id)
            )
            SELECT NOT EXISTS (SELECT FROM hidden), NOT EXISTS (SELECT FROM nowhere)",
        )
    }
}

/// Stores new devices with their first events. Returns the ids that were not taken.
pub(crate) struct AddDevices {
    ids: Vec<String>,
    merchants: Vec<Uuid>,
    labels: Vec<Option<String>>,
    locations: Vec<Option<Uuid>>,
    provisioned_at: Vec<OffsetDateTime>,
    at: Vec<OffsetDateTime>,
    actors: Vec<String>,
    client_ips: Vec<Option<String>>,
    trace_ids: Vec<Option<String>>,
    kinds: Vec<&'static str>,
    hashes: Vec<Option<Vec<u8>>>,
}

impl From<&[&Transition]> for AddDevices {
    fn from(new: &[&Transition]) -> Self {
        Self {
            ids: new.iter().map(|one| one.device().id().as_str().to_owned()).collect(),
            merchants: new.iter().map(|one| merchant_and_location(one).0).collect(),
            labels: new.iter().map(|one| one.device().details().label.as_ref().map(Name::to_string)).collect(),
            locations: new.iter().map(|one| merchant_and_location(one).1).collect(),
            provisioned_at: new.iter().map(|one| one.device().provisioned_at()).collect(),
            at: new.iter().map(|one| one.event().at).collect(),
            actors: new.iter().map(|one| one.event().audit_context.actor.to_string()).collect(),
            client_ips: new.iter().map(|one| client_ip_text(&one.event().audit_context)).collect(),
            trace_ids: new.iter().map(|one| trace_text(&one.event().audit_context)).collect(),
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
        input.bind::<Array<Nullable<Text>>, _>("labels", &self.labels)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("locations", &self.locations)?;
        input.bind::<Array<Timestamptz>, _>("provisioned", &self.provisioned_at)?;
        input.bind::<Array<Timestamptz>, _>("ats", &self.at)?;
        input.bind::<Array<Text>, _>("actors", &self.actors)?;
        input.bind::<Array<Nullable<Text>>, _>("client_ips", &self.client_ips)?;
        input.bind::<Array<Nullable<Text>>, _>("trace_ids", &self.trace_ids)?;
        input.bind::<Array<Text>, _>("kinds", &self.kinds)?;
        input.bind::<Array<Nullable<Binary>>, _>("hashes", &self.hashes)?;
        // Ordered by id, so that two concurrent calls with some of the same ids cannot deadlock.
        input.then(
            "), new AS (
                SELECT given.*
                FROM input,
                    unnest(ids, merchants, labels, locations, provisioned, ats, actors, client_ips, trace_ids, kinds, hashes)
                    AS given (device_id, merchant_id, label, location_id, provisioned_at, at, actor, client_ip, trace_id,
                        kind, hash)
            ), added AS (
                INSERT INTO devices (device_id, merchant_id, label, location_id, version, provisioned_at, status,
                    chain_start, chain_tip)
                SELECT device_id, merchant_id, label, location_id, 1, provisioned_at, 'inactive', 1, hash
                FROM new ORDER BY device_id COLLATE \"C\"
                ON CONFLICT (device_id) DO NOTHING
                RETURNING device_id
            ), audited AS (
                INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, client_ip, trace_id, kind, hash)
                SELECT new.device_id, 1, new.merchant_id, new.at, new.actor, new.client_ip, new.trace_id, new.kind,
                    new.hash
                FROM new JOIN added ON added.device_id = new.device_id COLLATE \"C\"
            )
            SELECT device_id FROM added",
        )
    }
}
