//! Creating devices: what must be there first, and the devices with their first events.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::{Name, Scope, Transition};
use time::OffsetDateTime;
use uuid::Uuid;

use super::statements::{Input, statement};
use crate::storage::audit_rows::{chain_columns, origin_text, trace_text};
use crate::storage::tenancy_rows::party_columns;

/// Whether every merchant that the devices are for is there and seen by a scope, and whether every location is there and its
/// merchant's.
pub(super) struct CheckPlaces {
    merchants: Vec<Uuid>,
    locations: Vec<Option<Uuid>>,
    everybodys: bool,
    own: Option<Uuid>,
    parent: Option<Uuid>,
}

impl CheckPlaces {
    pub(super) fn of(scope: Scope, new: &[&Transition]) -> Self {
        let (everybodys, (own, parent)) = match scope {
            Scope::Operator => (true, (None, None)),
            Scope::Of(party) => (false, party_columns(party)),
        };
        let mut places: Vec<_> = new.iter().map(|one| place(one)).collect();
        places.sort_unstable();
        places.dedup();
        let (merchants, locations) = places.into_iter().unzip();
        Self { merchants, locations, everybodys, own, parent }
    }
}

fn place(new: &Transition) -> (Uuid, Option<Uuid>) {
    (new.device().merchant_id().0, new.device().details().location_id.map(|location| location.0))
}

statement!(CheckPlaces -> (Bool, Bool));

impl QueryFragment<Pg> for CheckPlaces {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Array<SqlUuid>, _>("merchant_ids", &self.merchants)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("location_ids", &self.locations)?;
        input.bind::<Bool, _>("everybodys", &self.everybodys)?;
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

/// Stores new devices with their first events. Answers the ids that were free.
pub(super) struct AddDevices {
    ids: Vec<String>,
    merchants: Vec<Uuid>,
    labels: Vec<Option<String>>,
    locations: Vec<Option<Uuid>>,
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
            merchants: new.iter().map(|one| place(one).0).collect(),
            labels: new.iter().map(|one| one.device().details().label.as_ref().map(Name::to_string)).collect(),
            locations: new.iter().map(|one| place(one).1).collect(),
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
        input.bind::<Array<Nullable<Text>>, _>("labels", &self.labels)?;
        input.bind::<Array<Nullable<SqlUuid>>, _>("locations", &self.locations)?;
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
                FROM input,
                    unnest(ids, merchants, labels, locations, provisioned, ats, actors, origins, trace_ids, kinds, hashes)
                    AS given (device_id, merchant_id, label, location_id, provisioned_at, at, actor, origin, trace_id,
                        kind, hash)
            ), added AS (
                INSERT INTO devices (device_id, merchant_id, label, location_id, version, provisioned_at, status,
                    chain_start, chain_head)
                SELECT device_id, merchant_id, label, location_id, 1, provisioned_at, 'inactive', 1, hash
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
