//! Statement that saves transitions: every row has its own condition and its own outcome. A lone save is a batch of one.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Nullable, SmallInt, Text, Uuid as SqlUuid};
use pos_domain::device::Transition;
use pos_domain::shared::Party;
use pos_port_storage::shared::{SaveError, StorageError};
use uuid::Uuid;

use crate::engine_error::EngineError;
use crate::postgres::device::saved_rows::SavedRows;
use crate::postgres::statements::{Input, statement};
use crate::rows::tenancy::party_columns;

/// The unique index on the pairing codes of inactive devices.
const WAITING_CODE: &str = "devices_unclaimed_code";

/// The foreign key from a device to a location of its merchant.
const LOCATION_OF_DEVICE: &str = "devices_own_location";

/// The foreign key from a device to its merchant.
const MERCHANT_OF_DEVICE: &str = "devices_merchant";

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
            _ => Err(StorageError::Fault("a save returned no outcome".into()).into()),
        })
    }
}

/// The result of a statement that saves one transition and waits for its row.
pub(crate) fn outcome_of_one(rows: Result<Vec<(String, i16)>, EngineError>) -> Result<(), SaveError> {
    match RowOutcome::read(rows.map_err(save_error)?.first().map(|(_, outcome)| *outcome)) {
        RowOutcome::Done(outcome) => outcome,
        RowOutcome::Locked => Err(StorageError::Fault("a save that waits for its row skipped it".into()).into()),
    }
}

/// The error of a save whose statement failed.
pub(crate) fn save_error(failure: EngineError) -> SaveError {
    match failure {
        EngineError::UniqueViolation { constraint, .. } if constraint == WAITING_CODE => SaveError::CodeTaken,
        EngineError::ForeignKeyViolation { constraint, .. } if constraint == MERCHANT_OF_DEVICE => {
            SaveError::UnknownMerchant
        }
        EngineError::ForeignKeyViolation { constraint, .. } if constraint == LOCATION_OF_DEVICE => {
            SaveError::UnknownLocation
        }
        failure => StorageError::from(failure).into(),
    }
}

/// Saves the transitions whose conditions hold, and waits for no lock. Returns one row for each: the device and its
/// [`RowOutcome`].
///
/// No two transitions may have the same device or the same pairing code.
pub(crate) struct SaveBatch(SavedRows);

impl SaveBatch {
    pub(crate) fn of<'t>(transitions: impl Iterator<Item = &'t Transition>) -> Self {
        Self(SavedRows::of(transitions))
    }
}

statement!(SaveBatch -> (Text, SmallInt));

impl QueryFragment<Pg> for SaveBatch {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        self.0.bind(&mut input)?;
        input.then(&text("SKIP LOCKED", ""))
    }
}

/// Saves one transition, and waits for a locked row. Returns its row, as [`SaveBatch`].
pub(crate) struct SaveOne(SavedRows);

impl From<&Transition> for SaveOne {
    fn from(transition: &Transition) -> Self {
        Self(SavedRows::of(std::iter::once(transition)))
    }
}

statement!(SaveOne -> (Text, SmallInt));

impl QueryFragment<Pg> for SaveOne {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        self.0.bind(&mut input)?;
        input.then(&text("", ""))
    }
}

/// Saves one transition for a party, as [`SaveOne`]. It is a conflict if the merchant of the device before or after the
/// transition is not visible to the party.
pub(crate) struct SaveForParty {
    rows: SavedRows,
    own: Option<Uuid>,
    parent: Option<Uuid>,
}

impl SaveForParty {
    pub(crate) fn of(party: Party, transition: &Transition) -> Self {
        let (own, parent) = party_columns(party);
        Self { rows: SavedRows::of(std::iter::once(transition)), own, parent }
    }
}

statement!(SaveForParty -> (Text, SmallInt));

impl QueryFragment<Pg> for SaveForParty {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        self.rows.bind(&mut input)?;
        input.bind::<Nullable<SqlUuid>, _>("own", &self.own)?;
        input.bind::<Nullable<SqlUuid>, _>("parent", &self.parent)?;
        input.then(&text(
            "",
            "AND 2 = (
                SELECT count(*) FROM input, (VALUES (devices.merchant_id), (free.merchant_id)) AS involved (merchant_id)
                WHERE involved.merchant_id = own OR EXISTS (
                    SELECT FROM merchants
                    WHERE merchants.merchant_id = involved.merchant_id AND merchants.reseller_id = parent))",
        ))
    }
}

/// The statement after its parameters. `lock` is what happens to a row that another transaction has locked, `condition` an
/// additional condition on the device.
///
/// The unique index decides only about a code that another transaction inserts concurrently; `clashing` finds the others.
///
/// Each device is looked up by its key, whatever the size of the table was when the plan was made: a LATERAL with a LIMIT
/// cannot become a join that reads all devices, and `= ANY (ARRAY[…])`, unlike `=`, gives the planner no reason to read the
/// whole index in its order.
fn text(lock: &str, condition: &str) -> String {
    let (columns, assignments) = (SavedRows::columns(), SavedRows::assignments());
    format!(
        "), given AS MATERIALIZED (
            SELECT given.* FROM input, unnest({columns}) AS given ({columns})
        ), free AS MATERIALIZED (
            SELECT given.* FROM given CROSS JOIN LATERAL (
                SELECT FROM devices WHERE devices.device_id = given.device_id COLLATE \"C\"
                LIMIT 1 FOR NO KEY UPDATE {lock}
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
            UPDATE devices SET {assignments}
            FROM free
            WHERE devices.device_id = ANY (ARRAY[free.device_id COLLATE \"C\"]) AND devices.version = free.expected
                AND NOT EXISTS (SELECT FROM clashing WHERE clashing.device_id = free.device_id)
                {condition}
            RETURNING free.*
        ), audited AS (
            INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, client_ip, trace_id, kind, hash)
            SELECT device_id, version, merchant_id, at, actor, client_ip, trace_id, kind, chain_tip FROM changed
        ), ended AS (
            INSERT INTO past_pairing_codes (device_id, sequence, pairing_code, ended_as, ended_at)
            SELECT device_id, version, ended_code, ended_as, ended_at FROM changed WHERE ended_code IS NOT NULL
        )
        SELECT given.device_id,
            CASE
                WHEN EXISTS (SELECT FROM changed WHERE changed.device_id = given.device_id) THEN 0
                WHEN NOT EXISTS (SELECT FROM expected WHERE expected.device_id = given.device_id) THEN 1
                WHEN EXISTS (SELECT FROM clashing WHERE clashing.device_id = given.device_id) THEN 2
                WHEN NOT EXISTS (SELECT FROM free WHERE free.device_id = given.device_id) THEN 3
                ELSE 1
            END::smallint
        FROM given"
    )
}
