//! The statements that diesel's query builder cannot say: each one round trip, one atomic write.
//!
//! Each is a query node of its own rather than `sql_query`, because diesel prepares and keeps a statement by the type
//! of its query: the server parses and plans each of these once for each connection. The parameters stand once, in a
//! leading `WITH input`, and the rest of the text is fixed.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, HasSqlType, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::PairingCode;

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
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<SqlUuid>,
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

/// A statement of fixed text whose parameters are the fields, by their names, of the row `input`; with `told` after the
/// type of its rows, an event to put on record as well.
macro_rules! fixed {
    (
        $(#[$doc:meta])*
        $name:ident -> $row:ty $(, $told:ident)? { $($field:ident: $sql:ty = $native:ty),+ $(,)? } $rest:expr
    ) => {
        $(#[$doc])*
        pub(super) struct $name {
            $(pub(super) $field: $native,)+
            $(pub(super) $told: Told,)?
        }

        statement!($name -> $row);

        impl QueryFragment<Pg> for $name {
            fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                let mut input = Input::of(out);
                $(input.bind::<$sql, _>(stringify!($field), &self.$field)?;)+
                $(self.$told.bind(&mut input)?;)?
                input.then($rest)
            }
        }
    };
}
pub(super) use fixed;

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
                chain_start, chain_head, decommissioned_at, label, location_id
            FROM (SELECT * FROM waiting UNION ALL SELECT * FROM used) AS either
            ORDER BY (status = 'inactive') DESC LIMIT 1",
        )
    }
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use pos_domain::{
        Act, CallContext, ClaimLimit, Claimant, Device, DeviceDetails, DeviceId, MerchantId, Party, RefusedClaim,
        RefusedClaimReason, Scope,
    };
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::super::create::{AddDevices, CheckPlaces};
    use super::super::refusals::{CountFailure, TellBlocked};
    use super::super::save::{SaveForParty, SaveTransition};
    use super::super::tenancy_statements::EndSession;
    use super::super::told::Told;
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
        assert!(is_kept_prepared(&SaveForParty::of(Party::Merchant(merchant_id), &new)));
        assert!(is_kept_prepared(&CheckPlaces::of(Scope::Operator, &[&new])));
        assert!(is_kept_prepared(&AddDevices::from([&new].as_slice())));
        assert!(is_kept_prepared(&FindByPairingCode::from(PairingCode::from_bits(1))));
        assert!(is_kept_prepared(&CountFailure::of(&refused, &limit)));
        assert!(is_kept_prepared(&TellBlocked::of(&refused, &limit)));
        let told = Told::from(&refused.event());
        let (wanted, token) = (String::new(), String::new());
        assert!(is_kept_prepared(&EndSession { wanted, token, issued: now, until: now, told }));
    }

    #[test]
    fn parameters_stand_once_and_by_name() {
        let query = FindByPairingCode::from(PairingCode::from_bits(1));
        let sql = debug_query::<Pg, _>(&query).to_string();
        assert!(sql.starts_with("WITH input AS (SELECT $1 AS code), waiting AS ("), "{sql}");
        assert!(!sql.contains("$2"), "{sql}");
    }
}
