//! SQL statements of sessions, revoked tokens and logouts.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::shared::audit_insert::{AuditColumns, insert_audit};
use crate::postgres::statements::{Input, fixed, statement};
use crate::postgres::tenancy::statements::end_tokens;

pub(crate) type SessionColumns = (
    Text,
    SqlUuid,
    Text,
    Nullable<SqlUuid>,
    Nullable<SqlUuid>,
    Text,
    Text,
    Text,
    Nullable<Text>,
    Timestamptz,
    Timestamptz,
    Timestamptz,
    Nullable<Text>,
    Nullable<SqlUuid>,
);

fixed! {
    /// Starts a session, in place of an existing one with its key. Returns whether it was stored, whether its grant is valid,
    /// and whether it was logged out.
    StartSession -> (Bool, Bool, Bool), audit {
        session_key: Text = String,
        grant_id: SqlUuid = Uuid,
        user_id: Text = String,
        merchant_id: Nullable<SqlUuid> = Option<Uuid>,
        reseller_id: Nullable<SqlUuid> = Option<Uuid>,
        role: Text = &'static str,
        application: Text = String,
        channel: Text = String,
        client_id: Nullable<Text> = Option<String>,
        token_issued_at: Timestamptz = OffsetDateTime,
        started_at: Timestamptz = OffsetDateTime,
        ends_at: Timestamptz = OffsetDateTime,
        token_key: Nullable<Text> = Option<String>,
    }
    // The text lists the roles in ascending order: a role's position in it is its rank.
    concat!("), granted AS (
        SELECT FROM input JOIN memberships AS one ON one.grant_id = input.grant_id
        WHERE input.client_id IS NULL AND one.user_id = input.user_id
            AND one.merchant_id IS NOT DISTINCT FROM input.merchant_id
            AND one.reseller_id IS NOT DISTINCT FROM input.reseller_id
            AND strpos('viewer operator admin', input.role) <= strpos('viewer operator admin', one.role)
        UNION ALL
        SELECT FROM input JOIN api_clients AS one ON one.client_id = input.client_id
        WHERE one.grant_id = input.grant_id AND one.revoked_at IS NULL
            AND one.merchant_id IS NOT DISTINCT FROM input.merchant_id
            AND one.reseller_id IS NOT DISTINCT FROM input.reseller_id
            AND strpos('viewer operator admin', input.role) <= strpos('viewer operator admin', one.role)
    ), logged_out AS (
        SELECT FROM input JOIN logouts ON (kind = 'session' AND subject = session_key)
            OR (kind = 'user' AND subject = user_id)
        WHERE issued_until IS NULL OR issued_until >= token_issued_at
    ), token_ended AS (
        SELECT FROM input JOIN revoked_tokens AS one USING (session_key)
        WHERE one.token_key = input.token_key OR one.issued_at > token_issued_at
    ), kept AS (
        INSERT INTO sessions (session_key, grant_id, user_id, merchant_id, reseller_id, role, application, channel,
            client_id, token_issued_at, started_at, ends_at, token_key)
        SELECT session_key, grant_id, user_id, merchant_id, reseller_id, role, application, channel, client_id,
            token_issued_at, started_at, ends_at, token_key
        FROM input
        WHERE EXISTS (SELECT FROM granted) AND NOT EXISTS (SELECT FROM logged_out)
            AND NOT EXISTS (SELECT FROM token_ended)
        ON CONFLICT (session_key) DO UPDATE SET grant_id = excluded.grant_id, user_id = excluded.user_id,
            merchant_id = excluded.merchant_id, reseller_id = excluded.reseller_id, role = excluded.role,
            application = excluded.application, channel = excluded.channel, client_id = excluded.client_id,
            token_issued_at = excluded.token_issued_at, started_at = excluded.started_at, ends_at = excluded.ends_at,
            token_key = excluded.token_key
        RETURNING session_key
    ), ", insert_audit!("kept"), "
    SELECT EXISTS (SELECT FROM kept), EXISTS (SELECT FROM granted), EXISTS (SELECT FROM logged_out)")
}

/// The rest of a look-up of the session `wanted` that is valid at `moment`: its grant is valid, it has not expired, its
/// token is not revoked, and it was not logged out.
macro_rules! valid_session {
    () => {
        "
    SELECT session_key, one.grant_id, one.user_id, one.merchant_id, one.reseller_id, one.role, application, channel,
        one.client_id, token_issued_at, started_at, ends_at, one.token_key, merchants.reseller_id
    FROM input JOIN sessions AS one ON session_key = wanted LEFT JOIN merchants USING (merchant_id)
    WHERE moment < ends_at
        AND CASE WHEN one.client_id IS NULL
            THEN EXISTS (SELECT FROM memberships AS m WHERE m.grant_id = one.grant_id)
            ELSE EXISTS (SELECT FROM api_clients AS c
                WHERE c.client_id = one.client_id AND c.grant_id = one.grant_id AND c.revoked_at IS NULL)
            END
        AND NOT EXISTS (SELECT FROM logouts WHERE kind = 'session' AND subject = session_key
            AND (issued_until IS NULL OR issued_until >= least(token_issued_at, issued)))
        AND NOT EXISTS (SELECT FROM logouts WHERE kind = 'user' AND subject = one.user_id
            AND issued_until >= least(token_issued_at, issued))
        AND NOT EXISTS (SELECT FROM revoked_tokens AS e WHERE e.session_key = one.session_key
            AND (e.token_key = one.token_key OR e.issued_at > token_issued_at))"
    };
}

fixed! {
    /// Finds the valid session of a token that is not revoked or logged out.
    FindSession -> SessionColumns {
        wanted: Text = String,
        moment: Timestamptz = OffsetDateTime,
        token: Text = String,
        issued: Timestamptz = OffsetDateTime,
    }
    concat!(")", valid_session!(), "
        AND NOT EXISTS (SELECT FROM revoked_tokens AS e WHERE e.session_key = wanted
            AND (e.token_key = token OR e.issued_at > issued))")
}

fixed! {
    /// Finds the valid session of a key, for any of its tokens.
    FindSessionByKey -> SessionColumns {
        wanted: Text = String,
        moment: Timestamptz = OffsetDateTime,
        issued: Nullable<Timestamptz> = Option<OffsetDateTime>,
    }
    concat!(")", valid_session!())
}

fixed! {
    /// Ends a token's session, unless the token is already revoked, and revokes the token and the one that started the
    /// session. Returns the number of ended sessions: 1 or 0. Tokens are revoked after the session is locked, so that two
    /// callers lock in the same order.
    EndSession -> BigInt, audit {
        wanted: Text = String,
        token: Text = String,
        issued: Timestamptz = OffsetDateTime,
        until: Timestamptz = OffsetDateTime,
    }
    concat!("), deleted AS (
        DELETE FROM sessions AS one USING input
        WHERE one.session_key = wanted
            AND NOT EXISTS (SELECT FROM logouts WHERE kind = 'session' AND subject = wanted
                AND (issued_until IS NULL OR issued_until >= issued))
            AND NOT EXISTS (SELECT FROM logouts WHERE kind = 'user' AND subject = one.user_id AND issued_until >= issued)
            AND NOT EXISTS (SELECT FROM revoked_tokens AS e WHERE e.session_key = wanted
                AND (e.token_key = token OR e.issued_at > issued))
        RETURNING one.session_key, one.token_key, one.token_issued_at, one.ends_at
    ), ended AS (
        SELECT session_key, token_key, token_issued_at, greatest(ends_at, until) AS ends_at FROM deleted, input
        WHERE token_key IS DISTINCT FROM token
        UNION ALL
        SELECT wanted, token, issued, until FROM input WHERE EXISTS (SELECT FROM deleted)
    ), ", end_tokens!(), insert_audit!("deleted"), "
    SELECT count(*) FROM deleted")
}

fixed! {
    /// Returns whether a token is revoked.
    IsEnded -> Bool {
        wanted: Text = String,
        token: Text = String,
        issued: Timestamptz = OffsetDateTime,
    }
    ")
    SELECT EXISTS (SELECT FROM input JOIN revoked_tokens AS e ON e.session_key = wanted
        WHERE e.token_key = token OR e.issued_at > issued)"
}

fixed! {
    /// Stores a logout and deletes its sessions. Returns 1.
    LogOut -> BigInt, audit {
        what: Text = &'static str,
        whose: Text = String,
        issued: Timestamptz = OffsetDateTime,
        until: Timestamptz = OffsetDateTime,
    }
    concat!("), kept AS (
        INSERT INTO logouts AS known (kind, subject, issued_until, expires_at)
        SELECT what, whose, issued, until FROM input
        ON CONFLICT (kind, subject) DO UPDATE SET
            issued_until = greatest(known.issued_until, excluded.issued_until),
            expires_at = greatest(known.expires_at, excluded.expires_at)
        RETURNING kind
    ), ended AS (
        DELETE FROM sessions USING input
        WHERE ((what = 'session' AND session_key = whose) OR (what = 'user' AND user_id = whose))
            AND token_issued_at <= issued
    ), ", insert_audit!("kept"), "
    SELECT count(*) FROM kept")
}
