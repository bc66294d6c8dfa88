//! Sessions in SQLite. A write holds the write lock from its start, so what it looks at stays so.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{ApiClientId, AuditEvent, Party, Role, Session, SessionKey};
use pos_port_storage::{Logout, SessionRepository, StartError, StorageError};
use time::OffsetDateTime;

use super::audit::insert_audit_event;
use super::schema::{api_clients, logouts, memberships, merchants, sessions};
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

fn is_logged_out(connection: &mut SqliteConnection, session: &Session) -> Result<bool, Failure> {
    use logouts::dsl;
    let of_session = dsl::kind.eq("session").and(dsl::subject.eq(session.key.to_hex()));
    let of_user = dsl::kind
        .eq("user")
        .and(dsl::subject.eq(session.member.user_id.as_str()))
        .and(dsl::issued_until.ge(micros(session.token_issued_at)));
    let one: i64 = dsl::logouts.filter(of_session).count().get_result(connection)?;
    let other: i64 = dsl::logouts.filter(of_user).count().get_result(connection)?;
    Ok(one + other > 0)
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
            if is_logged_out(connection, &session)? {
                return Ok(Err(StartError::LoggedOut));
            }
            insert_session(connection, &session)?;
            insert_audit_event(connection, &told)?;
            Ok(Ok(()))
        });
        started.await.map_err(StorageError::from)?
    }

    async fn find(&self, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let key = *key;
        // One transaction, so that the session and what it stands on are of the same moment.
        let found = self.read(move |connection| {
            connection.transaction(|connection| {
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
                        merchants::reseller_id.nullable(),
                    ))
                    .first::<SessionRow>(connection)
                    .optional()?;
                let Some(session) = row.map(SessionRow::session).transpose()? else { return Ok(None) };
                let holds = !session.is_over(now)
                    && grant_stands(connection, &session)?
                    && !is_logged_out(connection, &session)?;
                Ok(holds.then_some(session))
            })
        });
        Ok(found.await?)
    }

    async fn end(&self, key: &SessionKey, told: &AuditEvent) -> Result<bool, StorageError> {
        let (key, told) = (*key, told.clone());
        let ended = self.write(move |connection| {
            let ended = diesel::delete(sessions::table.find(key.to_hex())).execute(connection)? == 1;
            if ended {
                insert_audit_event(connection, &told)?;
            }
            Ok(ended)
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
                Logout::Session(key) => ("session", key.to_hex(), None),
                Logout::User { user_id, issued_until } => {
                    ("user", user_id.as_str().to_owned(), Some(micros(*issued_until)))
                }
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
                    dsl::issued_until.eq(issued_until.max(issued_before)),
                    dsl::keep_until.eq(micros(keep_until).max(kept_before)),
                ))
                .execute(connection)?;
            let ended = match issued_until {
                None => diesel::delete(sessions::table.find(&subject)).execute(connection)?,
                Some(until) => {
                    let theirs = sessions::table.filter(sessions::user_id.eq(&subject));
                    diesel::delete(theirs.filter(sessions::token_issued_at.le(until))).execute(connection)?
                }
            };
            insert_audit_event(connection, &told)?;
            tracing::debug!(ended, "sessions logged out");
            Ok(())
        });
        Ok(kept.await?)
    }
}
