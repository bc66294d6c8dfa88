//! SQL statements of memberships and API clients.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::shared::audit_insert::{AuditColumns, insert_audit};
use crate::postgres::statements::{Input, fixed, statement};
use crate::postgres::tenancy::statements::end_tokens;

fixed! {
    /// Stores a membership in place of the one with the grant `before`, if any. Returns whether it was stored, and whether
    /// the party exists.
    PutMembership -> (Bool, Bool), audit {
        grant_id: SqlUuid = Uuid,
        user_id: Text = String,
        merchant_id: Nullable<SqlUuid> = Option<Uuid>,
        reseller_id: Nullable<SqlUuid> = Option<Uuid>,
        role: Text = &'static str,
        created_at: Timestamptz = OffsetDateTime,
        before: Nullable<SqlUuid> = Option<Uuid>,
    }
    concat!("), known AS (
        SELECT FROM input
        WHERE EXISTS (SELECT FROM merchants WHERE merchants.merchant_id = input.merchant_id)
            OR EXISTS (SELECT FROM resellers WHERE resellers.reseller_id = input.reseller_id)
    ), replaced AS (
        UPDATE memberships SET grant_id = input.grant_id, role = input.role, created_at = input.created_at
        FROM input
        WHERE memberships.grant_id = before AND memberships.user_id = input.user_id
            AND memberships.merchant_id IS NOT DISTINCT FROM input.merchant_id
            AND memberships.reseller_id IS NOT DISTINCT FROM input.reseller_id
        RETURNING memberships.grant_id
    ), added AS (
        INSERT INTO memberships (grant_id, user_id, merchant_id, reseller_id, role, created_at)
        SELECT grant_id, user_id, merchant_id, reseller_id, role, created_at FROM input
        WHERE before IS NULL AND EXISTS (SELECT FROM known)
        ON CONFLICT (user_id, (coalesce(merchant_id, reseller_id)), (merchant_id IS NULL)) DO NOTHING
        RETURNING grant_id
    ), kept AS (
        SELECT grant_id FROM replaced UNION ALL SELECT grant_id FROM added
    ), ended AS (
        DELETE FROM sessions USING input
        WHERE sessions.grant_id = before AND EXISTS (SELECT FROM kept)
    ), ", insert_audit!("kept"), "
    SELECT EXISTS (SELECT FROM kept), EXISTS (SELECT FROM known)")
}

fixed! {
    /// Deletes a membership and the sessions that depend on it. Returns the number of deleted memberships: 1 or 0.
    RemoveMembership -> BigInt, audit {
        user_id: Text = String,
        merchant_id: Nullable<SqlUuid> = Option<Uuid>,
        reseller_id: Nullable<SqlUuid> = Option<Uuid>,
    }
    concat!("), deleted AS (
        DELETE FROM memberships USING input
        WHERE memberships.user_id = input.user_id
            AND coalesce(memberships.merchant_id, memberships.reseller_id)
                = coalesce(input.merchant_id, input.reseller_id)
            AND (memberships.merchant_id IS NULL) = (input.merchant_id IS NULL)
        RETURNING memberships.grant_id
    ), ended AS (
        DELETE FROM sessions WHERE grant_id IN (SELECT grant_id FROM deleted)
        RETURNING session_key, token_key, token_issued_at, ends_at
    ), ", end_tokens!(), insert_audit!("deleted"), "
    SELECT count(*) FROM deleted")
}

fixed! {
    /// Creates an API client. Returns whether it was added, and whether its party exists.
    AddClient -> (Bool, Bool), audit {
        client_id: Text = String,
        grant_id: SqlUuid = Uuid,
        merchant_id: Nullable<SqlUuid> = Option<Uuid>,
        reseller_id: Nullable<SqlUuid> = Option<Uuid>,
        role: Text = &'static str,
        secret_hash: Text = String,
        created_at: Timestamptz = OffsetDateTime,
    }
    concat!("), known AS (
        SELECT FROM input
        WHERE EXISTS (SELECT FROM merchants WHERE merchants.merchant_id = input.merchant_id)
            OR EXISTS (SELECT FROM resellers WHERE resellers.reseller_id = input.reseller_id)
    ), added AS (
        INSERT INTO api_clients (client_id, grant_id, merchant_id, reseller_id, role, secret_hash, created_at)
        SELECT client_id, grant_id, merchant_id, reseller_id, role, secret_hash, created_at FROM input
        WHERE EXISTS (SELECT FROM known)
        ON CONFLICT DO NOTHING
        RETURNING client_id
    ), ", insert_audit!("added"), "
    SELECT EXISTS (SELECT FROM added), EXISTS (SELECT FROM known)")
}

fixed! {
    /// Rotates the secret and the grant of a client, or revokes it, and ends its sessions. Returns the number of changed
    /// clients: 1, or 0 if it does not exist or is already revoked.
    ChangeClient -> BigInt, audit {
        client_id: Text = String,
        grant_id: Nullable<SqlUuid> = Option<Uuid>,
        secret_hash: Nullable<Text> = Option<String>,
        revoked_at: Nullable<Timestamptz> = Option<OffsetDateTime>,
    }
    concat!("), changed AS (
        UPDATE api_clients
        SET grant_id = coalesce(input.grant_id, api_clients.grant_id),
            secret_hash = coalesce(input.secret_hash, api_clients.secret_hash),
            revoked_at = input.revoked_at
        FROM input
        WHERE api_clients.client_id = input.client_id AND api_clients.revoked_at IS NULL
        RETURNING api_clients.client_id
    ), ended AS (
        DELETE FROM sessions WHERE client_id IN (SELECT client_id FROM changed)
        RETURNING session_key, token_key, token_issued_at, ends_at
    ), ", end_tokens!(), insert_audit!("changed"), "
    SELECT count(*) FROM changed")
}

fixed! {
    /// Counts one wrong secret. Returns the updated row.
    CountClientFailure -> (Text, Timestamptz, BigInt) {
        whose: Text = String,
        moment: Timestamptz = OffsetDateTime,
        oldest: Timestamptz = OffsetDateTime,
    }
    ")
    INSERT INTO client_failures AS kept (subject, window_started_at, failures)
    SELECT whose, moment, 1 FROM input
    ON CONFLICT (subject) DO UPDATE SET
        failures = CASE WHEN kept.window_started_at > (SELECT oldest FROM input)
            THEN least(kept.failures + 1, 4294967295) ELSE 1 END,
        window_started_at = CASE WHEN kept.window_started_at > (SELECT oldest FROM input)
            THEN kept.window_started_at ELSE excluded.window_started_at END
    RETURNING subject, window_started_at, failures"
}
