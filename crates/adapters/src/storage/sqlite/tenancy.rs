//! Members and API clients in SQLite. A write holds the write lock from its start, so what it looks at stays so.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{
    ApiClient, ApiClientId, AuditEvent, ClaimLimit, FailureWindow, GrantId, Membership, Party, Scope, SecretHash,
    UserId,
};
use pos_port_storage::{ApiClientRepository, ClientFailureRepository, GrantError, MemberRepository, StorageError};
use time::OffsetDateTime;

use super::audit::insert_audit_event;
use super::schema::{api_clients, client_failures, memberships, merchants, resellers, sessions};
use super::sessions::end_sessions;
use super::{SqliteStore, micros};
use crate::storage::failure::Failure;
use crate::storage::tenancy_rows::{self, ClientFailureRow, party_columns};

pub(super) type MembershipRow = tenancy_rows::MembershipRow<String, i64>;
pub(super) type ClientRow = tenancy_rows::ClientRow<String, i64>;

pub(super) fn party_texts(party: Party) -> (Option<String>, Option<String>) {
    let (merchant, reseller) = party_columns(party);
    (merchant.map(|id| id.to_string()), reseller.map(|id| id.to_string()))
}

pub(super) fn knows(connection: &mut SqliteConnection, party: Party) -> Result<bool, Failure> {
    let count: i64 = match party {
        Party::Merchant(id) => merchants::table.find(id.to_string()).count().get_result(connection)?,
        Party::Reseller(id) => resellers::table.find(id.to_string()).count().get_result(connection)?,
    };
    Ok(count == 1)
}

/// Takes a membership away, with the sessions that stand on it.
fn take_away(connection: &mut SqliteConnection, membership: &Membership) -> Result<(), Failure> {
    let grant = membership.grant.to_string();
    diesel::delete(sessions::table.filter(sessions::grant_id.eq(&grant))).execute(connection)?;
    diesel::delete(memberships::table.find(&grant)).execute(connection)?;
    Ok(())
}

fn load_membership(
    connection: &mut SqliteConnection,
    party: Party,
    user: &UserId,
) -> Result<Option<Membership>, Failure> {
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
    async fn put(&self, membership: &Membership, before: Option<GrantId>, told: &AuditEvent) -> Result<(), GrantError> {
        use memberships::dsl;
        let (membership, told) = (membership.clone(), told.clone());
        let put = self.write(move |connection| {
            let member = &membership.member;
            if !knows(connection, member.party)? {
                return Ok(Err(GrantError::UnknownParty));
            }
            let present = load_membership(connection, member.party, &member.user_id)?;
            if present.as_ref().map(|present| present.grant) != before {
                return Ok(Err(GrantError::Changed));
            }
            if let Some(present) = &present {
                take_away(connection, present)?;
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
            put.map_err(Failure::from)?;
            insert_audit_event(connection, &told)?;
            Ok(Ok(()))
        });
        match put.await {
            Ok(put) => put,
            Err(Failure::Taken { .. }) => Err(GrantError::Taken),
            Err(failure) => Err(StorageError::from(failure).into()),
        }
    }

    async fn remove(&self, party: Party, user: &UserId, told: &AuditEvent) -> Result<bool, StorageError> {
        let (user, told) = (user.clone(), told.clone());
        let removed = self.write(move |connection| {
            let Some(present) = load_membership(connection, party, &user)? else { return Ok(false) };
            let grant = present.grant.to_string();
            let keys = sessions::table.filter(sessions::grant_id.eq(grant)).select(sessions::session_key);
            let keys = keys.load(connection)?;
            end_sessions(connection, keys)?;
            take_away(connection, &present)?;
            insert_audit_event(connection, &told)?;
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
            match scope {
                Scope::Operator => {}
                Scope::Of(Party::Merchant(id)) => query = query.filter(dsl::merchant_id.eq(id.to_string())),
                Scope::Of(Party::Reseller(id)) => query = query.filter(dsl::reseller_id.eq(id.to_string())),
            }
            if let Some(after) = after {
                query = query.filter(dsl::grant_id.gt(after.to_string()));
            }
            Ok(query.load::<MembershipRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(MembershipRow::membership).collect::<Result<_, _>>()?)
    }
}

/// Goes on from a change of so many clients, one or none: ends the sessions, puts it on record, and tells whether it was
/// one.
fn end_of_client(
    connection: &mut SqliteConnection,
    id: &ApiClientId,
    changed: usize,
    told: &AuditEvent,
) -> Result<bool, Failure> {
    if changed == 0 {
        return Ok(false);
    }
    let keys = sessions::table.filter(sessions::client_id.eq(id.as_str())).select(sessions::session_key);
    let keys = keys.load(connection)?;
    end_sessions(connection, keys)?;
    insert_audit_event(connection, told)?;
    Ok(true)
}

#[async_trait]
impl ApiClientRepository for SqliteStore {
    async fn add(&self, client: &ApiClient, secret: &SecretHash, told: &AuditEvent) -> Result<(), GrantError> {
        use api_clients::dsl;
        let (client, secret, told) = (client.clone(), secret.clone(), told.clone());
        let added = self.write(move |connection| {
            if !knows(connection, client.party)? {
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
            insert_audit_event(connection, &told)?;
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
        told: &AuditEvent,
    ) -> Result<bool, StorageError> {
        use api_clients::dsl;
        let (id, secret, told) = (id.clone(), secret.clone(), told.clone());
        let rotated = self.write(move |connection| {
            let held = dsl::api_clients.filter(dsl::client_id.eq(id.as_str())).filter(dsl::revoked_at.is_null());
            let new = (dsl::grant_id.eq(grant.to_string()), dsl::secret_hash.eq(secret.as_phc()));
            let changed = diesel::update(held).set(new).execute(connection)?;
            end_of_client(connection, &id, changed, &told)
        });
        Ok(rotated.await?)
    }

    async fn revoke(&self, id: &ApiClientId, at: OffsetDateTime, told: &AuditEvent) -> Result<bool, StorageError> {
        use api_clients::dsl;
        let (id, told) = (id.clone(), told.clone());
        let revoked = self.write(move |connection| {
            let held = dsl::api_clients.filter(dsl::client_id.eq(id.as_str())).filter(dsl::revoked_at.is_null());
            let changed = diesel::update(held).set(dsl::revoked_at.eq(Some(micros(at)))).execute(connection)?;
            end_of_client(connection, &id, changed, &told)
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
            match scope {
                Scope::Operator => {}
                Scope::Of(Party::Merchant(id)) => query = query.filter(dsl::merchant_id.eq(id.to_string())),
                Scope::Of(Party::Reseller(id)) => query = query.filter(dsl::reseller_id.eq(id.to_string())),
            }
            if let Some(after) = &after {
                query = query.filter(dsl::client_id.gt(after.as_str().to_owned()));
            }
            Ok(query.load::<ClientRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(|row| Ok(row.client()?.0)).collect::<Result<_, StorageError>>()?)
    }
}

fn load_window(connection: &mut SqliteConnection, subject: &str) -> Result<Option<FailureWindow>, Failure> {
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
        limit: &ClaimLimit,
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
