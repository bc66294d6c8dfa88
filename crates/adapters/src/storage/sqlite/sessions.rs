//! Sessions in SQLite. A write holds the write lock from its start, so what it looks at stays so.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{ApiClientId, AuditEvent, EndedToken, Party, Role, Session, SessionKey, SessionToken};
use pos_port_storage::{Logout, SessionRepository, StartError, StorageError};
use time::OffsetDateTime;

use super::audit::insert_audit_event;
use super::schema::{api_clients, ended_tokens, logouts, memberships, merchants, sessions};
use super::tenancy::{ClientRow, MembershipRow, party_texts};
use super::{SqliteStore, micros};
use crate::storage::failure::Failure;
use crate::storage::tenancy_rows;

type SessionRow = tenancy_rows::SessionRow<String, i64>;

/// Whether a session's grant is there, says the same, and is not revoked.
fn grant_stands(connection: &mut SqliteConnection, session: &Session) -> Result<bool, Failure> {
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

/// Whether the identity provider ended a session of which a token was issued at this instant.
fn is_logged_out(
    connection: &mut SqliteConnection,
    session: &Session,
    issued_at: OffsetDateTime,
) -> Result<bool, Failure> {
    use logouts::dsl;
    let mut any = false;
    for (kind, subject) in [("session", session.key.to_hex()), ("user", session.member.user_id.as_str().to_owned())] {
        let row = dsl::logouts.find((kind, subject)).select(dsl::issued_until);
        let until: Option<Option<i64>> = row.first(connection).optional()?;
        any |= until.is_some_and(|until| until.is_none_or(|until| micros(issued_at) <= until));
    }
    Ok(any)
}

/// Whether a token was ended: by its key, when it has one, or with a later one of its session.
fn is_ended(
    connection: &mut SqliteConnection,
    session: &SessionKey,
    token: Option<String>,
    issued_at: OffsetDateTime,
) -> Result<bool, Failure> {
    use ended_tokens::dsl;
    let own = || dsl::ended_tokens.filter(dsl::session_key.eq(session.to_hex()));
    let later = own().filter(dsl::issued_at.gt(micros(issued_at))).count().get_result::<i64>(connection)?;
    let same = match token {
        Some(token) => own().filter(dsl::token_key.eq(token)).count().get_result::<i64>(connection)?,
        None => 0,
    };
    Ok(later + same > 0)
}

fn was_ended(connection: &mut SqliteConnection, token: &SessionToken) -> Result<bool, Failure> {
    is_ended(connection, &token.session, Some(token.token.to_hex()), token.issued_at)
}

/// Keeps a token out whose session was ended.
pub(super) fn end_token(
    connection: &mut SqliteConnection,
    ended: EndedToken,
    keep_until: OffsetDateTime,
) -> Result<(), Failure> {
    use ended_tokens::dsl;
    let key = (ended.session.to_hex(), ended.token.map(|token| token.to_hex()).unwrap_or_default());
    let columns = (dsl::issued_at, dsl::keep_until);
    let before: Option<(i64, i64)> =
        dsl::ended_tokens.find(key.clone()).select(columns).first(connection).optional()?;
    let (issued_before, kept_before) = before.unwrap_or((i64::MIN, i64::MIN));
    diesel::replace_into(dsl::ended_tokens)
        .values((
            dsl::session_key.eq(key.0),
            dsl::token_key.eq(key.1),
            dsl::issued_at.eq(micros(ended.issued_at).max(issued_before)),
            dsl::keep_until.eq(micros(keep_until).max(kept_before)),
        ))
        .execute(connection)?;
    Ok(())
}

/// The session of a key, if it holds: its grant stands, it is not over, and neither the token that started it was ended
/// nor was it logged out.
fn held(connection: &mut SqliteConnection, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, Failure> {
    let Some(session) = load_session(connection, key)? else { return Ok(None) };
    let token = session.token.map(|token| token.to_hex());
    let holds = !session.is_over(now)
        && grant_stands(connection, &session)?
        && !is_logged_out(connection, &session, session.token_issued_at)?
        && !is_ended(connection, &session.key, token, session.token_issued_at)?;
    Ok(holds.then_some(session))
}

/// The session of a key, whether it holds or not.
pub(super) fn load_session(connection: &mut SqliteConnection, key: &SessionKey) -> Result<Option<Session>, Failure> {
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

/// Takes sessions away by their keys, and keeps out the tokens that started them.
pub(super) fn end_sessions(connection: &mut SqliteConnection, keys: Vec<String>) -> Result<(), Failure> {
    for key in keys {
        if let Ok(parsed) = SessionKey::from_hex(&key)
            && let Some(session) = load_session(connection, &parsed)?
        {
            end_token(connection, session.ended_token(), session.ends_at)?;
        }
        diesel::delete(sessions::table.find(key)).execute(connection)?;
    }
    Ok(())
}

fn insert_session(connection: &mut SqliteConnection, session: &Session) -> Result<(), Failure> {
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
            dsl::application.eq(session.place.application.as_str()),
            dsl::channel.eq(session.place.channel.as_str()),
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
    async fn start(&self, session: &Session, told: &AuditEvent) -> Result<(), StartError> {
        let (session, told) = (session.clone(), told.clone());
        let started = self.write(move |connection| {
            if !grant_stands(connection, &session)? {
                return Ok(Err(StartError::NoGrant));
            }
            if is_logged_out(connection, &session, session.token_issued_at)? {
                return Ok(Err(StartError::LoggedOut));
            }
            let token = session.token.map(|token| token.to_hex());
            if is_ended(connection, &session.key, token, session.token_issued_at)? {
                return Ok(Err(StartError::Ended));
            }
            insert_session(connection, &session)?;
            insert_audit_event(connection, &told)?;
            Ok(Ok(()))
        });
        started.await.map_err(StorageError::from)?
    }

    async fn find(&self, token: &SessionToken, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let token = *token;
        // One transaction, so that the session and what it stands on are of the same moment.
        let found = self.read(move |connection| {
            connection.transaction(|connection| {
                let Some(session) = held(connection, &token.session, now)? else { return Ok(None) };
                let is_out = is_logged_out(connection, &session, token.issued_at)? || was_ended(connection, &token)?;
                Ok((!is_out).then_some(session))
            })
        });
        Ok(found.await?)
    }

    async fn find_by_key(&self, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let key = *key;
        let found = self.read(move |connection| connection.transaction(|connection| held(connection, &key, now)));
        Ok(found.await?)
    }

    async fn is_ended(&self, token: &SessionToken) -> Result<bool, StorageError> {
        let token = *token;
        Ok(self.read(move |connection| was_ended(connection, &token)).await?)
    }

    async fn end(
        &self,
        token: &SessionToken,
        keep_until: OffsetDateTime,
        told: &AuditEvent,
    ) -> Result<bool, StorageError> {
        let (token, told) = (*token, told.clone());
        let ended = self.write(move |connection| {
            let mut session = load_session(connection, &token.session)?;
            if let Some(held) = &session
                && (is_logged_out(connection, held, token.issued_at)? || was_ended(connection, &token)?)
            {
                session = None;
            }
            let SessionToken { session: key, token, issued_at } = token;
            let Some(session) = session else { return Ok(false) };
            end_token(connection, EndedToken { session: key, token: Some(token), issued_at }, keep_until)?;
            end_token(connection, session.ended_token(), keep_until.max(session.ends_at))?;
            diesel::delete(sessions::table.find(key.to_hex())).execute(connection)?;
            insert_audit_event(connection, &told)?;
            Ok(true)
        });
        Ok(ended.await?)
    }

    async fn log_out(
        &self,
        logout: &Logout,
        keep_until: OffsetDateTime,
        told: &AuditEvent,
    ) -> Result<(), StorageError> {
        use logouts::dsl;
        let (logout, told) = (logout.clone(), told.clone());
        let kept = self.write(move |connection| {
            let (kind, subject, issued_until) = match &logout {
                Logout::Session { session, issued_until } => ("session", session.to_hex(), micros(*issued_until)),
                Logout::User { user_id, issued_until } => ("user", user_id.as_str().to_owned(), micros(*issued_until)),
            };
            let before: Option<(Option<i64>, i64)> = dsl::logouts
                .find((kind, &subject))
                .select((dsl::issued_until, dsl::keep_until))
                .first(connection)
                .optional()?;
            let (issued_before, kept_before) = before.unwrap_or((None, i64::MIN));
            diesel::replace_into(dsl::logouts)
                .values((
                    dsl::kind.eq(kind),
                    dsl::subject.eq(&subject),
                    dsl::issued_until.eq(Some(issued_until).max(issued_before)),
                    dsl::keep_until.eq(micros(keep_until).max(kept_before)),
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
            insert_audit_event(connection, &told)?;
            tracing::debug!(ended, "sessions logged out");
            Ok(())
        });
        Ok(kept.await?)
    }
}
