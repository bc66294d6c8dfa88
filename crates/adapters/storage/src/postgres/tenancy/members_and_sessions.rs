//! Repositories of members, API clients and sessions in PostgreSQL.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{ApiClientId, AttemptLimit, FailureWindow, GrantId, Party, Scope, UserId};
use pos_domain::tenancy::{ApiClient, Membership, SecretHash, Session, SessionKey, SessionToken};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{
    ApiClientRepository, ClientFailureRepository, GrantError, Logout, MemberRepository, SessionRepository, StartError,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::engine_error::EngineError;
use crate::postgres::schema::{api_clients, client_failures, memberships};
use crate::postgres::shared::audit_insert::AuditColumns;
use crate::postgres::shared::instants::EARLIEST;
use crate::postgres::store::PgStore;
use crate::postgres::tenancy::statements::members::{
    AddClient, ChangeClient, CountClientFailure, PutMembership, RemoveMembership,
};
use crate::postgres::tenancy::statements::sessions::{
    EndSession, FindSession, FindSessionByKey, IsEnded, LogOut, StartSession,
};
use crate::rows::tenancy::{self, ClientFailureRow, party_columns};
use crate::visibility::visible_by_party;

type MembershipRow = tenancy::MembershipRow<Uuid, OffsetDateTime>;
type ClientRow = tenancy::ClientRow<Uuid, OffsetDateTime>;
type SessionRow = tenancy::SessionRow<Uuid, OffsetDateTime>;

#[async_trait]
impl MemberRepository for PgStore {
    async fn put(
        &self,
        membership: &Membership,
        before: Option<GrantId>,
        audit: &AuditEvent,
    ) -> Result<(), GrantError> {
        let (merchant_id, reseller_id) = party_columns(membership.member.party);
        let statement = PutMembership {
            grant_id: membership.grant.0,
            user_id: membership.member.user_id.as_str().to_owned(),
            merchant_id,
            reseller_id,
            role: membership.member.role.as_str(),
            created_at: membership.created_at,
            before: before.map(|grant| grant.0),
            audit: AuditColumns::from(audit),
        };
        let put = self.run(async |connection| statement.get_result::<(bool, bool)>(connection).await).await;
        match put {
            Ok((true, _)) => Ok(()),
            Ok((false, true)) => Err(GrantError::Changed),
            Ok((false, false)) => Err(GrantError::UnknownParty),
            Err(EngineError::UniqueViolation { .. }) => Err(GrantError::Taken),
            Err(failure) => Err(StorageError::from(failure).into()),
        }
    }

    async fn remove(&self, party: Party, user: &UserId, audit: &AuditEvent) -> Result<bool, StorageError> {
        let (merchant_id, reseller_id) = party_columns(party);
        let statement = RemoveMembership {
            user_id: user.as_str().to_owned(),
            merchant_id,
            reseller_id,
            audit: AuditColumns::from(audit),
        };
        let removed: i64 = self.run(async |connection| statement.get_result(connection).await).await?;
        Ok(removed == 1)
    }

    async fn find(&self, party: Party, user: &UserId) -> Result<Option<Membership>, StorageError> {
        use memberships::dsl;
        let theirs = dsl::memberships.filter(dsl::user_id.eq(user.as_str())).into_boxed();
        let query = match party {
            Party::Merchant(id) => theirs.filter(dsl::merchant_id.eq(id.0)),
            Party::Reseller(id) => theirs.filter(dsl::reseller_id.eq(id.0)),
        };
        let row: Option<MembershipRow> = self.run(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(MembershipRow::membership).transpose()?)
    }

    async fn list(&self, scope: Scope, after: Option<GrantId>, limit: u32) -> Result<Vec<Membership>, StorageError> {
        use memberships::dsl;
        let mut query = dsl::memberships.order(dsl::grant_id).limit(limit.into()).into_boxed();
        query = visible_by_party!(postgres, query, scope, memberships);
        if let Some(after) = after {
            query = query.filter(dsl::grant_id.gt(after.0));
        }
        let rows: Vec<MembershipRow> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(MembershipRow::membership).collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl ApiClientRepository for PgStore {
    async fn add(&self, client: &ApiClient, secret: &SecretHash, audit: &AuditEvent) -> Result<(), GrantError> {
        let (merchant_id, reseller_id) = party_columns(client.party);
        let statement = AddClient {
            client_id: client.id.as_str().to_owned(),
            grant_id: client.grant.0,
            merchant_id,
            reseller_id,
            role: client.role.as_str(),
            secret_hash: secret.as_phc().to_owned(),
            created_at: client.created_at,
            audit: AuditColumns::from(audit),
        };
        let added = self.run(async |connection| statement.get_result::<(bool, bool)>(connection).await).await;
        match added.map_err(StorageError::from)? {
            (true, _) => Ok(()),
            (false, true) => Err(GrantError::Taken),
            (false, false) => Err(GrantError::UnknownParty),
        }
    }

    async fn find(&self, id: &ApiClientId) -> Result<Option<(ApiClient, SecretHash)>, StorageError> {
        let query = api_clients::table.find(id.as_str());
        let row: Option<ClientRow> = self.run(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(ClientRow::client).transpose()?)
    }

    async fn rotate(
        &self,
        id: &ApiClientId,
        grant: GrantId,
        secret: &SecretHash,
        audit: &AuditEvent,
    ) -> Result<bool, StorageError> {
        let statement = ChangeClient {
            client_id: id.as_str().to_owned(),
            grant_id: Some(grant.0),
            secret_hash: Some(secret.as_phc().to_owned()),
            revoked_at: None,
            audit: AuditColumns::from(audit),
        };
        let changed: i64 = self.run(async |connection| statement.get_result(connection).await).await?;
        Ok(changed == 1)
    }

    async fn revoke(&self, id: &ApiClientId, at: OffsetDateTime, audit: &AuditEvent) -> Result<bool, StorageError> {
        let statement = ChangeClient {
            client_id: id.as_str().to_owned(),
            grant_id: None,
            secret_hash: None,
            revoked_at: Some(at),
            audit: AuditColumns::from(audit),
        };
        let changed: i64 = self.run(async |connection| statement.get_result(connection).await).await?;
        Ok(changed == 1)
    }

    async fn list(
        &self,
        scope: Scope,
        after: Option<&ApiClientId>,
        limit: u32,
    ) -> Result<Vec<ApiClient>, StorageError> {
        use api_clients::dsl;
        let mut query = dsl::api_clients.order(dsl::client_id).limit(limit.into()).into_boxed();
        query = visible_by_party!(postgres, query, scope, api_clients);
        if let Some(after) = after {
            query = query.filter(dsl::client_id.gt(after.as_str()));
        }
        let rows: Vec<ClientRow> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(|row| Ok(row.client()?.0)).collect::<Result<_, StorageError>>()?)
    }
}

#[async_trait]
impl ClientFailureRepository for PgStore {
    async fn window(&self, subject: &str) -> Result<Option<FailureWindow>, StorageError> {
        let query = client_failures::table.find(subject);
        let row: Option<ClientFailureRow<OffsetDateTime>> =
            self.run(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(ClientFailureRow::window).transpose()?)
    }

    async fn record(
        &self,
        subject: &str,
        limit: &AttemptLimit,
        now: OffsetDateTime,
    ) -> Result<FailureWindow, StorageError> {
        let statement = CountClientFailure {
            whose: subject.to_owned(),
            moment: now,
            oldest: now.saturating_sub(limit.window).max(EARLIEST),
        };
        let row: ClientFailureRow<OffsetDateTime> =
            self.run(async |connection| statement.get_result(connection).await).await?;
        Ok(row.window()?)
    }
}

#[async_trait]
impl SessionRepository for PgStore {
    async fn start(&self, session: &Session, audit: &AuditEvent) -> Result<(), StartError> {
        let (merchant_id, reseller_id) = party_columns(session.member.party);
        let statement = StartSession {
            session_key: session.key.to_hex(),
            grant_id: session.grant.0,
            user_id: session.member.user_id.as_str().to_owned(),
            merchant_id,
            reseller_id,
            role: session.member.role.as_str(),
            application: session.client_app.application.as_str().to_owned(),
            channel: session.client_app.channel.as_str().to_owned(),
            client_id: session.client.as_ref().map(|client| client.as_str().to_owned()),
            token_issued_at: session.token_issued_at,
            started_at: session.started_at,
            ends_at: session.ends_at,
            token_key: session.token.map(|token| token.to_hex()),
            audit: AuditColumns::from(audit),
        };
        let started = self.run(async |connection| statement.get_result::<(bool, bool, bool)>(connection).await).await;
        match started.map_err(StorageError::from)? {
            (true, ..) => Ok(()),
            (false, false, _) => Err(StartError::NoGrant),
            (false, true, true) => Err(StartError::LoggedOut),
            (false, true, false) => Err(StartError::Ended),
        }
    }

    async fn find(&self, token: &SessionToken, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let (wanted, token, issued) = (token.session.to_hex(), token.token.to_hex(), token.issued_at);
        let query = FindSession { wanted, moment: now, token, issued };
        let row: Option<SessionRow> =
            self.run(async |connection| query.get_result(connection).await.optional()).await?;
        Ok(row.map(SessionRow::session).transpose()?)
    }

    async fn find_by_key(&self, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let query = FindSessionByKey { wanted: key.to_hex(), moment: now, issued: None };
        let row: Option<SessionRow> =
            self.run(async |connection| query.get_result(connection).await.optional()).await?;
        Ok(row.map(SessionRow::session).transpose()?)
    }

    async fn is_ended(&self, token: &SessionToken) -> Result<bool, StorageError> {
        let (wanted, token, issued) = (token.session.to_hex(), token.token.to_hex(), token.issued_at);
        let query = IsEnded { wanted, token, issued };
        Ok(self.run(async |connection| query.get_result(connection).await).await?)
    }

    async fn end(
        &self,
        token: &SessionToken,
        expires_at: OffsetDateTime,
        audit: &AuditEvent,
    ) -> Result<bool, StorageError> {
        let (wanted, token, issued) = (token.session.to_hex(), token.token.to_hex(), token.issued_at);
        let statement = EndSession { wanted, token, issued, until: expires_at, audit: AuditColumns::from(audit) };
        let removed: i64 = self.run(async |connection| statement.get_result(connection).await).await?;
        Ok(removed == 1)
    }

    async fn log_out(
        &self,
        logout: &Logout,
        expires_at: OffsetDateTime,
        audit: &AuditEvent,
    ) -> Result<(), StorageError> {
        let (what, whose, issued) = match logout {
            Logout::Session { session, issued_until } => ("session", session.to_hex(), *issued_until),
            Logout::User { user_id, issued_until } => ("user", user_id.as_str().to_owned(), *issued_until),
        };
        let statement = LogOut { what, whose, issued, until: expires_at, audit: AuditColumns::from(audit) };
        let _stored: i64 = self.run(async |connection| statement.get_result(connection).await).await?;
        Ok(())
    }
}
