//! Repository of sessions in SQLite. A write holds the write lock from its start, so its reads stay valid.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{ApiClientId, Party, Role};
use pos_domain::tenancy::{RevokedToken, Session, SessionKey, SessionToken};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{Logout, SessionRepository, StartError};
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::rows::tenancy;
use crate::sqlite::instants::micros;
use crate::sqlite::schema::{api_clients, logouts, memberships, merchants, revoked_tokens, sessions};
use crate::sqlite::shared::audit_insert::insert_audit_event;
use crate::sqlite::store::SqliteStore;
use crate::sqlite::tenancy::parties::{ClientRow, MembershipRow, party_texts};

type SessionRow = tenancy::SessionRow<String, i64>;

/// Whether a session's grant exists, still covers the session, and is not revoked.
fn is_grant_valid(connection: &mut SqliteConnection, session: &Session) -> Result<bool, EngineError> {
    let granted: Option<(Party, Role)> = match &session.client {
        Some(client) => {
            let row = api_clients::table.find(client.as_str()).first::<ClientRow>(connection).optional()?;
            let client = row.map(ClientRow::client).transpose()?.map(|(client, _)| client);
            let held = client.filter(|client| client.grant == session.grant && client.revoked_at.is_none());
            held.map(|client| (client.party, client.role))
        }
        None => {
            let row =
                memberships::table.find(session.grant.to_string()).first::<MembershipRow>(connection).optional()?;
            let member = row.map(MembershipRow::membership).transpose()?.map(|membership| membership.member);
            let own = member.filter(|member| member.user_id == session.member.user_id);
            own.map(|member| (member.party, member.role))
        }
    };
    Ok(granted.is_some_and(|(party, role)| party == session.member.party && session.member.role <= role))
}

/// Whether the identity provider logged out a session, for a token that was issued at this instant.
fn is_logged_out(
    connection: &mut SqliteConnection,
    session: &Session,
    issued_at: OffsetDateTime,
) -> Result<bool, EngineError> {
    use logouts::dsl;
    let mut any = false;
    for (kind, subject) in [("session", session.key.to_hex()), ("user", session.member.user_id.as_str().to_owned())] {
        let row = dsl::logouts.find((kind, subject)).select(dsl::issued_until);
        let until: Option<Option<i64>> = row.first(connection).optional()?;
        any |= until.is_some_and(|until| until.is_none_or(|until| micros(issued_at) <= until));
    }
    Ok(any)
}

/// Whether a token is revoked: by its key, if it has one, or because a later token of its session is revoked.
fn is_key_revoked(
    connection: &mut SqliteConnection,
    session: &SessionKey,
    token: Option<String>,
    issued_at: OffsetDateTime,
) -> Result<bool, EngineError> {
    use revoked_tokens::dsl;
    let own = || dsl::revoked_tokens.filter(dsl::session_key.eq(session.to_hex()));
    let later = own().filter(dsl::issued_at.gt(micros(issued_at))).count().get_result::<i64>(connection)?;
    let same = match token {
        Some(token) => own().filter(dsl::token_key.eq(token)).count().get_result::<i64>(connection)?,
        None => 0,
    };
    Ok(later + same > 0)
}

fn is_token_revoked(connection: &mut SqliteConnection, token: &SessionToken) -> Result<bool, EngineError> {
    is_key_revoked(connection, &token.session, Some(token.token.to_hex()), token.issued_at)
}

/// Revokes a token of an ended session.
pub(crate) fn revoke_token(
    connection: &mut SqliteConnection,
    ended: RevokedToken,
    expires_at: OffsetDateTime,
) -> Result<(), EngineError> {
    use revoked_tokens::dsl;
    let key = (ended.session.to_hex(), ended.token.map(|token| token.to_hex()).unwrap_or_default());
    let columns = (dsl::issued_at, dsl::expires_at);
    let before: Option<(i64, i64)> =
        dsl::revoked_tokens.find(key.clone()).select(columns).first(connection).optional()?;
    let (issued_before, expires_before) = before.unwrap_or((i64::MIN, i64::MIN));
    diesel::replace_into(dsl::revoked_tokens)
        .values((
            dsl::session_key.eq(key.0),
            dsl::token_key.eq(key.1),
            dsl::issued_at.eq(micros(ended.issued_at).max(issued_before)),
            dsl::expires_at.eq(micros(expires_at).max(expires_before)),
        ))
        .execute(connection)?;
    Ok(())
}

/// Finds the valid session of a key: its grant is valid, it has not expired, its token is not revoked, and it was not logged
/// out.
fn find_valid(
    connection: &mut SqliteConnection,
    key: &SessionKey,
    now: OffsetDateTime,
) -> Result<Option<Session>, EngineError> {
    let Some(session) = load_session(connection, key)? else { return Ok(None) };
    let token = session.token.map(|token| token.to_hex());
    let is_valid = !session.is_expired(now)
        && is_grant_valid(connection, &session)?
        && !is_logged_out(connection, &session, session.token_issued_at)?
        && !is_key_revoked(connection, &session.key, token, session.token_issued_at)?;
    Ok(is_valid.then_some(session))
}

/// Loads the session of a key, valid or not.
pub(crate) fn load_session(
    connection: &mut SqliteConnection,
    key: &SessionKey,
) -> Result<Option<Session>, EngineError> {
    let row = sessions::table
        .left_join(merchants::table)
        .filter(sessions::session_key.eq(key.to_hex()))
        .select((
            sessions::session_key,
            sessions::grant_id,
            sessions::user_id,
            sessions::merchant_id,
            sessions::reseller_id,
            sessions::role,
            sessions::application,
            sessions::channel,
            sessions::client_id,
            sessions::token_issued_at,
            sessions::started_at,
            sessions::ends_at,
            sessions::token_key,
            merchants::reseller_id.nullable(),
        ))
        .first::<SessionRow>(connection)
        .optional()?;
    Ok(row.map(SessionRow::session).transpose()?)
}

/// Deletes sessions by their keys, and revokes the tokens that started them.
pub(crate) fn end_sessions(connection: &mut SqliteConnection, keys: Vec<String>) -> Result<(), EngineError> {
    for key in keys {
        if let Ok(parsed) = SessionKey::from_hex(&key)
            && let Some(session) = load_session(connection, &parsed)?
        {
            revoke_token(connection, session.revoked_token(), session.ends_at)?;
        }
        diesel::delete(sessions::table.find(key)).execute(connection)?;
    }
    Ok(())
}

fn insert_session(connection: &mut SqliteConnection, session: &Session) -> Result<(), EngineError> {
    use sessions::dsl;
    let (merchant, reseller) = party_texts(session.member.party);
    let user = session.member.user_id.as_str();
    diesel::replace_into(dsl::sessions)
        .values((
            dsl::session_key.eq(session.key.to_hex()),
            dsl::grant_id.eq(session.grant.to_string()),
            dsl::user_id.eq(user),
            dsl::merchant_id.eq(merchant),
            dsl::reseller_id.eq(reseller),
            dsl::role.eq(session.member.role.as_str()),
            dsl::application.eq(session.client_app.application.as_str()),
            dsl::channel.eq(session.client_app.channel.as_str()),
            dsl::client_id.eq(session.client.as_ref().map(ApiClientId::as_str)),
            dsl::token_issued_at.eq(micros(session.token_issued_at)),
            dsl::started_at.eq(micros(session.started_at)),
            dsl::ends_at.eq(micros(session.ends_at)),
            dsl::token_key.eq(session.token.map(|token| token.to_hex())),
        ))
        .execute(connection)?;
    Ok(())
}

#[async_trait]
impl SessionRepository for SqliteStore {
    async fn start(&self, session: &Session, audit: &AuditEvent) -> Result<(), StartError> {
        let (session, audit) = (session.clone(), audit.clone());
        let started = self.write(move |connection| {
            if !is_grant_valid(connection, &session)? {
                return Ok(Err(StartError::NoGrant));
            }
            if is_logged_out(connection, &session, session.token_issued_at)? {
                return Ok(Err(StartError::LoggedOut));
            }
            let token = session.token.map(|token| token.to_hex());
            if is_key_revoked(connection, &session.key, token, session.token_issued_at)? {
                return Ok(Err(StartError::Ended));
            }
            insert_session(connection, &session)?;
            insert_audit_event(connection, &audit)?;
            Ok(Ok(()))
        });
        started.await.map_err(StorageError::from)?
    }

    async fn find(&self, token: &SessionToken, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let token = *token;
        // One transaction, so that the session and its grant are read from the same snapshot.
        let found = self.read(move |connection| {
            connection.transaction(|connection| {
                let Some(session) = find_valid(connection, &token.session, now)? else { return Ok(None) };
                let is_revoked =
                    is_logged_out(connection, &session, token.issued_at)? || is_token_revoked(connection, &token)?;
                Ok((!is_revoked).then_some(session))
            })
        });
        Ok(found.await?)
    }

    async fn find_by_key(&self, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let key = *key;
        let found = self.read(move |connection| connection.transaction(|connection| find_valid(connection, &key, now)));
        Ok(found.await?)
    }

    async fn is_ended(&self, token: &SessionToken) -> Result<bool, StorageError> {
        let token = *token;
        Ok(self.read(move |connection| is_token_revoked(connection, &token)).await?)
    }

    async fn end(
        &self,
        token: &SessionToken,
        expires_at: OffsetDateTime,
        audit: &AuditEvent,
    ) -> Result<bool, StorageError> {
        let (token, audit) = (*token, audit.clone());
        let ended = self.write(move |connection| {
            let mut session = load_session(connection, &token.session)?;
            if let Some(found) = &session
                && (is_logged_out(connection, found, token.issued_at)? || is_token_revoked(connection, &token)?)
            {
                session = None;
            }
            let SessionToken { session: key, token, issued_at } = token;
            let Some(session) = session else { return Ok(false) };
            revoke_token(connection, RevokedToken { session: key, token: Some(token), issued_at }, expires_at)?;
            revoke_token(connection, session.revoked_token(), expires_at.max(session.ends_at))?;
            diesel::delete(sessions::table.find(key.to_hex())).execute(connection)?;
            insert_audit_event(connection, &audit)?;
            Ok(true)
        });
        Ok(ended.await?)
    }

    async fn log_out(
        &self,
        logout: &Logout,
        expires_at: OffsetDateTime,
        audit: &AuditEvent,
    ) -> Result<(), StorageError> {
        use logouts::dsl;
        let (logout, audit) = (logout.clone(), audit.clone());
        let stored = self.write(move |connection| {
            let (kind, subject, issued_until) = match &logout {
                Logout::Session { session, issued_until } => ("session", session.to_hex(), micros(*issued_until)),
                Logout::User { user_id, issued_until } => ("user", user_id.as_str().to_owned(), micros(*issued_until)),
            };
            let before: Option<(Option<i64>, i64)> = dsl::logouts
                .find((kind, &subject))
                .select((dsl::issued_until, dsl::expires_at))
                .first(connection)
                .optional()?;
            let (issued_before, expires_before) = before.unwrap_or((None, i64::MIN));
            diesel::replace_into(dsl::logouts)
                .values((
                    dsl::kind.eq(kind),
                    dsl::subject.eq(&subject),
                    dsl::issued_until.eq(Some(issued_until).max(issued_before)),
                    dsl::expires_at.eq(micros(expires_at).max(expires_before)),
                ))
                .execute(connection)?;
            let named = sessions::table.filter(sessions::token_issued_at.le(issued_until));
            let ended = match &logout {
                Logout::Session { .. } => {
                    diesel::delete(named.filter(sessions::session_key.eq(&subject))).execute(connection)?
                }
                Logout::User { .. } => {
                    diesel::delete(named.filter(sessions::user_id.eq(&subject))).execute(connection)?
                }
            };
            insert_audit_event(connection, &audit)?;
            tracing::debug!(ended, "sessions logged out");
            Ok(())
        });
        Ok(stored.await?)
    }
}
