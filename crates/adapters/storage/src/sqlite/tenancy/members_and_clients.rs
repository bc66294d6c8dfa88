//! Repositories of members and API clients in SQLite. A write holds the write lock from its start, so its reads stay valid.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{ApiClientId, AttemptLimit, FailureWindow, GrantId, Party, Scope, UserId};
use pos_domain::tenancy::{ApiClient, Membership, SecretHash};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{ApiClientRepository, ClientFailureRepository, GrantError, MemberRepository};
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::rows::tenancy::ClientFailureRow;
use crate::sqlite::instants::micros;
use crate::sqlite::schema::{api_clients, client_failures, memberships, sessions};
use crate::sqlite::shared::audit_insert::insert_audit_event;
use crate::sqlite::store::SqliteStore;
use crate::sqlite::tenancy::parties::{ClientRow, MembershipRow, party_exists, party_texts};
use crate::sqlite::tenancy::sessions::end_sessions;
use crate::visibility::visible_by_party;

/// Deletes a membership and the sessions that depend on it.
fn delete_membership(connection: &mut SqliteConnection, membership: &Membership) -> Result<(), EngineError> {
    let grant = membership.grant.to_string();
    diesel::delete(sessions::table.filter(sessions::grant_id.eq(&grant))).execute(connection)?;
    diesel::delete(memberships::table.find(&grant)).execute(connection)?;
    Ok(())
}

fn load_membership(
    connection: &mut SqliteConnection,
    party: Party,
    user: &UserId,
) -> Result<Option<Membership>, EngineError> {
    use memberships::dsl;
    let theirs = dsl::memberships.filter(dsl::user_id.eq(user.as_str())).into_boxed();
    let query = match party {
        Party::Merchant(id) => theirs.filter(dsl::merchant_id.eq(id.to_string())),
        Party::Reseller(id) => theirs.filter(dsl::reseller_id.eq(id.to_string())),
    };
    let row: Option<MembershipRow> = query.first(connection).optional()?;
    Ok(row.map(MembershipRow::membership).transpose()?)
}

#[async_trait]
impl MemberRepository for SqliteStore {
    async fn put(
        &self,
        membership: &Membership,
        before: Option<GrantId>,
        audit: &AuditEvent,
    ) -> Result<(), GrantError> {
        use memberships::dsl;
        let (membership, audit) = (membership.clone(), audit.clone());
        let put = self.write(move |connection| {
            let member = &membership.member;
            if !party_exists(connection, member.party)? {
                return Ok(Err(GrantError::UnknownParty));
            }
            let present = load_membership(connection, member.party, &member.user_id)?;
            if present.as_ref().map(|present| present.grant) != before {
                return Ok(Err(GrantError::Changed));
            }
            if let Some(present) = &present {
                delete_membership(connection, present)?;
            }
            let (merchant, reseller) = party_texts(member.party);
            let put = diesel::insert_into(dsl::memberships)
                .values((
                    dsl::grant_id.eq(membership.grant.to_string()),
                    dsl::user_id.eq(member.user_id.as_str()),
                    dsl::merchant_id.eq(merchant),
                    dsl::reseller_id.eq(reseller),
                    dsl::role.eq(member.role.as_str()),
                    dsl::created_at.eq(micros(membership.created_at)),
                ))
                .execute(connection);
            put.map_err(EngineError::from)?;
            insert_audit_event(connection, &audit)?;
            Ok(Ok(()))
        });
        match put.await {
            Ok(put) => put,
            Err(EngineError::UniqueViolation { .. }) => Err(GrantError::Taken),
            Err(failure) => Err(StorageError::from(failure).into()),
        }
    }

    async fn remove(&self, party: Party, user: &UserId, audit: &AuditEvent) -> Result<bool, StorageError> {
        let (user, audit) = (user.clone(), audit.clone());
        let removed = self.write(move |connection| {
            let Some(present) = load_membership(connection, party, &user)? else { return Ok(false) };
            let grant = present.grant.to_string();
            let keys = sessions::table.filter(sessions::grant_id.eq(grant)).select(sessions::session_key);
            let keys = keys.load(connection)?;
            end_sessions(connection, keys)?;
            delete_membership(connection, &present)?;
            insert_audit_event(connection, &audit)?;
            Ok(true)
        });
        Ok(removed.await?)
    }

    async fn find(&self, party: Party, user: &UserId) -> Result<Option<Membership>, StorageError> {
        let user = user.clone();
        Ok(self.read(move |connection| load_membership(connection, party, &user)).await?)
    }

    async fn list(&self, scope: Scope, after: Option<GrantId>, limit: u32) -> Result<Vec<Membership>, StorageError> {
        use memberships::dsl;
        let rows = self.read(move |connection| {
            let mut query = dsl::memberships.order(dsl::grant_id).limit(limit.into()).into_boxed();
            query = visible_by_party!(sqlite, query, scope, memberships);
            if let Some(after) = after {
                query = query.filter(dsl::grant_id.gt(after.to_string()));
            }
            Ok(query.load::<MembershipRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(MembershipRow::membership).collect::<Result<_, _>>()?)
    }
}

/// Completes a change of a client: ends its sessions and stores the audit event. Does nothing and returns false if no client
/// was changed.
fn finish_client_change(
    connection: &mut SqliteConnection,
    id: &ApiClientId,
    changed: usize,
    audit: &AuditEvent,
) -> Result<bool, EngineError> {
    if changed == 0 {
        return Ok(false);
    }
    let keys = sessions::table.filter(sessions::client_id.eq(id.as_str())).select(sessions::session_key);
    let keys = keys.load(connection)?;
    end_sessions(connection, keys)?;
    insert_audit_event(connection, audit)?;
    Ok(true)
}

#[async_trait]
impl ApiClientRepository for SqliteStore {
    async fn add(&self, client: &ApiClient, secret: &SecretHash, audit: &AuditEvent) -> Result<(), GrantError> {
        use api_clients::dsl;
        let (client, secret, audit) = (client.clone(), secret.clone(), audit.clone());
        let added = self.write(move |connection| {
            if !party_exists(connection, client.party)? {
                return Ok(Err(GrantError::UnknownParty));
            }
            let (merchant, reseller) = party_texts(client.party);
            let added = diesel::insert_into(dsl::api_clients)
                .values((
                    dsl::client_id.eq(client.id.as_str()),
                    dsl::grant_id.eq(client.grant.to_string()),
                    dsl::merchant_id.eq(merchant),
                    dsl::reseller_id.eq(reseller),
                    dsl::role.eq(client.role.as_str()),
                    dsl::secret_hash.eq(secret.as_phc()),
                    dsl::created_at.eq(micros(client.created_at)),
                ))
                .on_conflict_do_nothing()
                .execute(connection)?;
            if added == 0 {
                return Ok(Err(GrantError::Taken));
            }
            insert_audit_event(connection, &audit)?;
            Ok(Ok(()))
        });
        added.await.map_err(StorageError::from)?
    }

    async fn find(&self, id: &ApiClientId) -> Result<Option<(ApiClient, SecretHash)>, StorageError> {
        let id = id.clone();
        let row = self.read(move |connection| {
            Ok(api_clients::table.find(id.as_str()).first::<ClientRow>(connection).optional()?)
        });
        Ok(row.await?.map(ClientRow::client).transpose()?)
    }

    async fn rotate(
        &self,
        id: &ApiClientId,
        grant: GrantId,
        secret: &SecretHash,
        audit: &AuditEvent,
    ) -> Result<bool, StorageError> {
        use api_clients::dsl;
        let (id, secret, audit) = (id.clone(), secret.clone(), audit.clone());
        let rotated = self.write(move |connection| {
            let active = dsl::api_clients.filter(dsl::client_id.eq(id.as_str())).filter(dsl::revoked_at.is_null());
            let new = (dsl::grant_id.eq(grant.to_string()), dsl::secret_hash.eq(secret.as_phc()));
            let changed = diesel::update(active).set(new).execute(connection)?;
            finish_client_change(connection, &id, changed, &audit)
        });
        Ok(rotated.await?)
    }

    async fn revoke(&self, id: &ApiClientId, at: OffsetDateTime, audit: &AuditEvent) -> Result<bool, StorageError> {
        use api_clients::dsl;
        let (id, audit) = (id.clone(), audit.clone());
        let revoked = self.write(move |connection| {
            let active = dsl::api_clients.filter(dsl::client_id.eq(id.as_str())).filter(dsl::revoked_at.is_null());
            let changed = diesel::update(active).set(dsl::revoked_at.eq(Some(micros(at)))).execute(connection)?;
            finish_client_change(connection, &id, changed, &audit)
        });
        Ok(revoked.await?)
    }

    async fn list(
        &self,
        scope: Scope,
        after: Option<&ApiClientId>,
        limit: u32,
    ) -> Result<Vec<ApiClient>, StorageError> {
        use api_clients::dsl;
        let after = after.cloned();
        let rows = self.read(move |connection| {
            let mut query = dsl::api_clients.order(dsl::client_id).limit(limit.into()).into_boxed();
            query = visible_by_party!(sqlite, query, scope, api_clients);
            if let Some(after) = &after {
                query = query.filter(dsl::client_id.gt(after.as_str().to_owned()));
            }
            Ok(query.load::<ClientRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(|row| Ok(row.client()?.0)).collect::<Result<_, StorageError>>()?)
    }
}

fn load_window(connection: &mut SqliteConnection, subject: &str) -> Result<Option<FailureWindow>, EngineError> {
    let row = client_failures::table.find(subject).first::<ClientFailureRow<i64>>(connection).optional()?;
    Ok(row.map(ClientFailureRow::window).transpose()?)
}

#[async_trait]
impl ClientFailureRepository for SqliteStore {
    async fn window(&self, subject: &str) -> Result<Option<FailureWindow>, StorageError> {
        let subject = subject.to_owned();
        Ok(self.read(move |connection| load_window(connection, &subject)).await?)
    }

    async fn record(
        &self,
        subject: &str,
        limit: &AttemptLimit,
        now: OffsetDateTime,
    ) -> Result<FailureWindow, StorageError> {
        use client_failures::dsl;
        let (subject, limit) = (subject.to_owned(), *limit);
        let counted = self.write(move |connection| {
            let window = limit.count(load_window(connection, &subject)?, now);
            diesel::replace_into(dsl::client_failures)
                .values((
                    dsl::subject.eq(&subject),
                    dsl::window_started_at.eq(micros(window.started_at)),
                    dsl::failures.eq(i64::from(window.failures)),
                ))
                .execute(connection)?;
            Ok(window)
        });
        Ok(counted.await?)
    }
}
