//! SQL statements that diesel's query builder cannot express: each is one atomic write in one round trip.
//!
//! Each is its own query node instead of `sql_query`, because diesel caches prepared statements by query type: the server
//! parses each statement once per connection. Each parameter occurs once, in a leading `WITH input`; the rest of the text
//! is fixed.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Text};
use pos_domain::device::PairingCode;

use crate::postgres::schema::devices;
use crate::rows::device::DEVICE_COLUMNS;

/// Sets a node's query id, by which its prepared statement is cached, and its row type.
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

pub(crate) use statement;

/// Defines a statement of fixed text. The fields are its parameters, under their names in the row `input`. With `audit`
/// after the row type, the statement also stores an audit event.
macro_rules! fixed {
    (
        $(#[$doc:meta])*
        $name:ident -> $row:ty $(, $audit:ident)? { $($field:ident: $sql:ty = $native:ty),+ $(,)? } $rest:expr
    ) => {
        $(#[$doc])*
        pub(crate) struct $name {
            $(pub(crate) $field: $native,)+
            $(pub(crate) $audit: AuditColumns,)?
        }

        statement!($name -> $row);

        impl QueryFragment<Pg> for $name {
            fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                let mut input = Input::of(out);
                $(input.bind::<$sql, _>(stringify!($field), &self.$field)?;)+
                $(self.$audit.bind(&mut input)?;)?
                input.then($rest)
            }
        }
    };
}
pub(crate) use fixed;

/// Writes `WITH input AS (SELECT $1 AS name, $2 AS name …)`.
pub(crate) struct Input<'a, 'b> {
    out: AstPass<'a, 'b, Pg>,
    separator: &'static str,
}

impl<'a, 'b> Input<'a, 'b> {
    pub(crate) fn of(out: AstPass<'a, 'b, Pg>) -> Self {
        Self { out, separator: "WITH input AS (SELECT " }
    }

    pub(crate) fn bind<T, U>(&mut self, name: &str, value: &'b U) -> QueryResult<()>
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

    pub(crate) fn then(mut self, rest: &str) -> QueryResult<()> {
        self.out.push_sql(rest);
        Ok(())
    }
}

/// Finds the inactive device with a pairing code, else the device that was last claimed with it. Returns at most one row.
pub(crate) struct FindByPairingCode {
    code: String,
}

impl From<PairingCode> for FindByPairingCode {
    fn from(code: PairingCode) -> Self {
        Self { code: code.as_str().to_owned() }
    }
}

statement!(FindByPairingCode -> devices::SqlType);

impl QueryFragment<Pg> for FindByPairingCode {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut input = Input::of(out);
        input.bind::<Text, _>("code", &self.code)?;
        // Two CTEs, so that each uses its partial index. The final order puts an inactive device first.
        input.then(&format!(
            "), waiting AS (
                SELECT devices.* FROM devices, input WHERE pairing_code = code AND status = 'inactive'
            ), used AS (
                SELECT devices.* FROM devices, input
                WHERE pairing_code = code AND status IN ('claimed', 'activated')
                ORDER BY claimed_at DESC LIMIT 1
            )
            SELECT {DEVICE_COLUMNS}
            FROM (SELECT * FROM waiting UNION ALL SELECT * FROM used) AS either
            ORDER BY (status = 'inactive') DESC LIMIT 1"
        ))
    }
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use pos_domain::device::{Device, DeviceDetails};
    use pos_domain::pairing::{RefusedClaim, RefusedClaimReason};
    use pos_domain::shared::Claimant;
    use pos_domain::shared::{AttemptLimit, AuditContext, DeviceId, MerchantId, Party, RequestContext, Scope};
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;
    use crate::postgres::device::save::{SaveBatch, SaveForParty, SaveOne};
    use crate::postgres::fleet::create::{AddDevices, CheckLocations};
    use crate::postgres::pairing::refusals::{CountFailure, RecordBlocked};
    use crate::postgres::shared::audit_insert::AuditColumns;
    use crate::postgres::tenancy::statements::sessions::EndSession;

    fn is_prepared_once<Q: Query + QueryFragment<Pg> + QueryId>(query: &Q) -> bool {
        Q::query_id().is_some() && query.is_safe_to_cache_prepared(&Pg).unwrap()
    }

    /// A statement that is not cached would cost a second round trip and a parse for every call.
    #[test]
    fn every_statement_is_prepared_once() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let merchant_id = MerchantId(Uuid::nil());
        let new = Device::provision(
            DeviceId::from_bits(1),
            merchant_id,
            DeviceDetails::default(),
            AuditContext::operator(),
            now,
        );
        let refused = RefusedClaim {
            by: Claimant { merchant_id, user_id: pos_domain::shared::UserId::parse("anna").unwrap() },
            context: RequestContext::default(),
            at: now,
            device_id: None,
            reason: RefusedClaimReason::NotFound,
        };
        let limit = AttemptLimit { max_failures: 1, window: time::Duration::MINUTE };
        assert!(is_prepared_once(&SaveBatch::of([&new].into_iter())));
        assert!(is_prepared_once(&SaveOne::from(&new)));
        assert!(is_prepared_once(&SaveForParty::of(Party::Merchant(merchant_id), &new)));
        assert!(is_prepared_once(&CheckLocations::of(Scope::Operator, &[&new])));
        assert!(is_prepared_once(&AddDevices::from([&new].as_slice())));
        assert!(is_prepared_once(&FindByPairingCode::from(PairingCode::from_bits(1))));
        assert!(is_prepared_once(&CountFailure::of(&refused, &limit)));
        assert!(is_prepared_once(&RecordBlocked::of(&refused, &limit)));
        let audit = AuditColumns::from(&refused.event());
        let (wanted, token) = (String::new(), String::new());
        assert!(is_prepared_once(&EndSession { wanted, token, issued: now, until: now, audit }));
    }

    #[test]
    fn each_parameter_occurs_once_under_its_name() {
        let query = FindByPairingCode::from(PairingCode::from_bits(1));
        let sql = debug_query::<Pg, _>(&query).to_string();
        assert!(sql.starts_with("WITH input AS (SELECT $1 AS code), waiting AS ("), "{sql}");
        assert!(!sql.contains("$2"), "{sql}");
    }
}
