//! SQL statements that create and change resellers and merchants.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::shared::audit_insert::{AuditColumns, insert_audit};
use crate::postgres::statements::{Input, fixed, statement};

fixed! {
    /// Creates a merchant. Returns whether it was added, and whether its reseller exists.
    AddMerchant -> (Bool, Bool), audit {
        merchant_id: SqlUuid = Uuid,
        reseller_id: Nullable<SqlUuid> = Option<Uuid>,
        name: Text = String,
        created_at: Timestamptz = OffsetDateTime,
    }
    concat!("), known AS (
        SELECT FROM input WHERE reseller_id IS NULL OR reseller_id IN (SELECT reseller_id FROM resellers)
    ), added AS (
        INSERT INTO merchants (merchant_id, reseller_id, name, created_at)
        SELECT merchant_id, reseller_id, name, created_at FROM input WHERE EXISTS (SELECT FROM known)
        ON CONFLICT (merchant_id) DO NOTHING
        RETURNING merchant_id
    ), ", insert_audit!("added"), "
    SELECT EXISTS (SELECT FROM added), EXISTS (SELECT FROM known)")
}

fixed! {
    /// Creates a reseller. Returns 1, or 0 if the id is taken.
    AddReseller -> BigInt, audit {
        reseller_id: SqlUuid = Uuid,
        name: Text = String,
        created_at: Timestamptz = OffsetDateTime,
    }
    concat!("), added AS (
        INSERT INTO resellers (reseller_id, name, created_at) SELECT reseller_id, name, created_at FROM input
        ON CONFLICT (reseller_id) DO NOTHING
        RETURNING reseller_id
    ), ", insert_audit!("added"), "
    SELECT count(*) FROM added")
}

fixed! {
    /// Renames a merchant that matches `own` or belongs to `parent`; a null parameter matches every merchant. Returns the
    /// row, or none.
    RenameMerchant -> (SqlUuid, Nullable<SqlUuid>, Text, Timestamptz), audit {
        wanted: SqlUuid = Uuid,
        own: Nullable<SqlUuid> = Option<Uuid>,
        parent: Nullable<SqlUuid> = Option<Uuid>,
        new_name: Text = String,
    }
    concat!("), renamed AS (
        UPDATE merchants SET name = new_name FROM input
        WHERE merchant_id = wanted AND (own IS NULL OR merchant_id = own) AND (parent IS NULL OR reseller_id = parent)
        RETURNING merchant_id, reseller_id, name, created_at
    ), ", insert_audit!("renamed"), "
    SELECT merchant_id, reseller_id, name, created_at FROM renamed")
}
