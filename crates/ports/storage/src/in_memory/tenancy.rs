//! In-memory fake of resellers, merchants, members and API clients, and the tables of sessions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;
use pos_domain::audit::{AuditEvent, AuditedRow};
use pos_domain::shared::{
    ApiClientId, AttemptLimit, FailureWindow, GrantId, IdempotencyKey, LocationId, MerchantId, Name, Party, ResellerId,
    Scope, UserId,
};
use pos_domain::tenancy::{
    ApiClient, Location, Member, Membership, Merchant, Reseller, RevokedToken, SecretHash, Session, SessionKey,
    SessionToken, TokenKey,
};
use time::OffsetDateTime;

use crate::InMemoryStore;
use crate::shared::{IdempotencyRecord, StorageError};
use crate::tenancy::{
    AddPartyError, ApiClientRepository, ClientFailureRepository, DirectoryRepository, GrantError, MemberRepository,
    MerchantPage,
};

#[derive(Debug, Default)]
pub(crate) struct TenancyTables {
    resellers: BTreeMap<ResellerId, Reseller>,
    pub(crate) merchants: BTreeMap<MerchantId, Merchant>,
    pub(crate) locations: BTreeMap<LocationId, Location>,
    pub(crate) idempotency: HashMap<(Party, IdempotencyKey), IdempotencyRecord>,
    memberships: BTreeMap<GrantId, Membership>,
    clients: BTreeMap<ApiClientId, (ApiClient, SecretHash)>,
    pub(crate) failures: HashMap<String, FailureWindow>,
    pub(crate) sessions: HashMap<SessionKey, Session>,
    pub(crate) session_logouts: HashMap<SessionKey, (OffsetDateTime, OffsetDateTime)>,
    pub(crate) revoked_tokens: HashMap<(SessionKey, Option<TokenKey>), (RevokedToken, OffsetDateTime)>,
    pub(crate) user_logouts: HashMap<UserId, (OffsetDateTime, OffsetDateTime)>,
}

impl InMemoryStore {
    pub(crate) fn tenancy(&self) -> MutexGuard<'_, TenancyTables> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TenancyTables {
    fn has_party(&self, party: Party) -> bool {
        match party {
            Party::Merchant(id) => self.merchants.contains_key(&id),
            Party::Reseller(id) => self.resellers.contains_key(&id),
        }
    }

    fn membership(&self, party: Party, user: &UserId) -> Option<&Membership> {
        self.memberships.values().find(|one| (one.member.party, &one.member.user_id) == (party, user))
    }

    pub(super) fn grant_is_valid(&self, session: &Session) -> bool {
        let Member { user_id, party, role } = &session.member;
        match &session.client {
            Some(client) => self.clients.get(client).is_some_and(|(client, _)| {
                let same = (client.grant, client.party) == (session.grant, *party);
                same && *role <= client.role && client.revoked_at.is_none()
            }),
            None => self.memberships.get(&session.grant).is_some_and(|membership| {
                let member = &membership.member;
                (&member.user_id, member.party) == (user_id, *party) && *role <= member.role
            }),
        }
    }

    pub(crate) fn audited_rows(&self) -> Vec<AuditedRow> {
        let resellers = self.resellers.keys().map(|id| AuditedRow::reseller(*id));
        let merchants = self.merchants.values().map(|one| AuditedRow::merchant(one.id, one.reseller));
        let locations = self.locations.values().map(|one| AuditedRow::location(one.id, one.merchant_id));
        let members = self.memberships.values().map(|one| {
            let Member { user_id, party, role } = &one.member;
            AuditedRow::member(user_id.clone(), *party, *role)
        });
        let clients = self.clients.values().map(|(client, _)| {
            AuditedRow::client(client.id.clone(), client.party, client.role, client.revoked_at.is_some())
        });
        resellers.chain(merchants).chain(locations).chain(members).chain(clients).collect()
    }

    /// Returns whether a logout covers a session's token that was issued at this instant.
    pub(super) fn is_logged_out(&self, session: &Session, issued_at: OffsetDateTime) -> bool {
        let logouts = [self.session_logouts.get(&session.key), self.user_logouts.get(&session.member.user_id)];
        logouts.into_iter().flatten().any(|(issued_until, _)| issued_at <= *issued_until)
    }

    pub(super) fn is_ended(&self, token: &SessionToken) -> bool {
        self.revoked_tokens.values().any(|(ended, _)| ended.covers(token))
    }

    /// Returns whether the token that started a session is revoked.
    pub(super) fn is_revoked(&self, session: &Session) -> bool {
        self.revoked_tokens.values().any(|(ended, _)| session.is_revoked_by(ended))
    }

    pub(super) fn revoke_token(&mut self, ended: RevokedToken, expires_at: OffsetDateTime) {
        let stored = self.revoked_tokens.entry((ended.session, ended.token)).or_insert((ended, expires_at));
        stored.0.issued_at = stored.0.issued_at.max(ended.issued_at);
        stored.1 = stored.1.max(expires_at);
    }

    /// Removes the sessions of a grant and revokes their tokens.
    fn end_sessions_of(&mut self, grant: GrantId) {
        let removed: Vec<_> = self.sessions.values().filter(|one| one.grant == grant).cloned().collect();
        for session in removed {
            self.sessions.remove(&session.key);
            self.revoke_token(session.revoked_token(), session.ends_at);
        }
    }

    pub(super) fn find_valid(&self, key: &SessionKey, now: OffsetDateTime) -> Option<Session> {
        let session = self.sessions.get(key)?;
        let is_valid = !session.is_expired(now)
            && self.grant_is_valid(session)
            && !self.is_logged_out(session, session.token_issued_at)
            && !self.is_revoked(session);
        let reseller = match session.member.party {
            Party::Merchant(id) => self.merchants.get(&id).and_then(|merchant| merchant.reseller),
            Party::Reseller(id) => Some(id),
        };
        is_valid.then(|| Session { reseller, ..session.clone() })
    }
}

fn page<T>(rows: impl Iterator<Item = T>, limit: u32) -> Vec<T> {
    rows.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}

#[async_trait]
impl DirectoryRepository for InMemoryStore {
    async fn add_reseller(&self, reseller: &Reseller, audit: &AuditEvent) -> Result<(), AddPartyError> {
        let mut tables = self.tenancy();
        if tables.resellers.contains_key(&reseller.id) {
            return Err(AddPartyError::Taken);
        }
        tables.resellers.insert(reseller.id, reseller.clone());
        self.tables().insert_audit_event(audit.clone());
        Ok(())
    }

    async fn add_merchant(
        &self,
        merchant: &Merchant,
        idempotency: Option<&IdempotencyRecord>,
        audit: &AuditEvent,
    ) -> Result<(), AddPartyError> {
        let mut tables = self.tenancy();
        if let Some(stored) = tables.stored_response(idempotency) {
            return Err(AddPartyError::Answered(stored));
        }
        if merchant.reseller.is_some_and(|reseller| !tables.resellers.contains_key(&reseller)) {
            return Err(AddPartyError::UnknownReseller);
        }
        if tables.merchants.contains_key(&merchant.id) {
            return Err(AddPartyError::Taken);
        }
        tables.merchants.insert(merchant.id, merchant.clone());
        tables.insert_response(idempotency);
        self.tables().insert_audit_event(audit.clone());
        Ok(())
    }

    async fn rename_merchant(
        &self,
        scope: Scope,
        id: MerchantId,
        name: &Name,
        audit: &AuditEvent,
    ) -> Result<Option<Merchant>, StorageError> {
        let mut tables = self.tenancy();
        let Some(merchant) = tables.merchants.get_mut(&id).filter(|merchant| scope.sees(merchant)) else {
            return Ok(None);
        };
        merchant.name = name.clone();
        let renamed = merchant.clone();
        self.tables().insert_audit_event(audit.clone());
        Ok(Some(renamed))
    }

    async fn find_reseller(&self, id: ResellerId) -> Result<Option<Reseller>, StorageError> {
        Ok(self.tenancy().resellers.get(&id).cloned())
    }

    async fn find_merchant(&self, scope: Scope, id: MerchantId) -> Result<Option<Merchant>, StorageError> {
        Ok(self.tenancy().merchants.get(&id).filter(|merchant| scope.sees(merchant)).cloned())
    }

    async fn list_resellers(&self, after: Option<ResellerId>, limit: u32) -> Result<Vec<Reseller>, StorageError> {
        let tables = self.tenancy();
        let later = tables.resellers.values().filter(|reseller| after.is_none_or(|after| reseller.id > after));
        Ok(page(later.cloned(), limit))
    }

    async fn list_merchants(&self, request: &MerchantPage) -> Result<Vec<Merchant>, StorageError> {
        let tables = self.tenancy();
        let later = tables.merchants.values().filter(|merchant| request.after.is_none_or(|after| merchant.id > after));
        Ok(page(later.filter(|merchant| request.scope.sees(merchant)).cloned(), request.limit))
    }
}

#[async_trait]
impl MemberRepository for InMemoryStore {
    async fn put(
        &self,
        membership: &Membership,
        before: Option<GrantId>,
        audit: &AuditEvent,
    ) -> Result<(), GrantError> {
        let mut tables = self.tenancy();
        let Member { user_id, party, .. } = &membership.member;
        if !tables.has_party(*party) {
            return Err(GrantError::UnknownParty);
        }
        if tables.membership(*party, user_id).map(|present| present.grant) != before {
            return Err(GrantError::Changed);
        }
        if tables.memberships.contains_key(&membership.grant) && before != Some(membership.grant) {
            return Err(GrantError::Taken);
        }
        tables.memberships.retain(|grant, _| Some(*grant) != before);
        tables.memberships.insert(membership.grant, membership.clone());
        self.tables().insert_audit_event(audit.clone());
        Ok(())
    }

    async fn remove(&self, party: Party, user: &UserId, audit: &AuditEvent) -> Result<bool, StorageError> {
        let mut tables = self.tenancy();
        let Some(grant) = tables.membership(party, user).map(|present| present.grant) else { return Ok(false) };
        tables.memberships.remove(&grant);
        tables.end_sessions_of(grant);
        self.tables().insert_audit_event(audit.clone());
        Ok(true)
    }

    async fn find(&self, party: Party, user: &UserId) -> Result<Option<Membership>, StorageError> {
        Ok(self.tenancy().membership(party, user).cloned())
    }

    async fn list(&self, scope: Scope, after: Option<GrantId>, limit: u32) -> Result<Vec<Membership>, StorageError> {
        let tables = self.tenancy();
        let later = tables.memberships.values().filter(|one| after.is_none_or(|after| one.grant > after));
        Ok(page(later.filter(|one| scope.includes(one.member.party)).cloned(), limit))
    }
}

#[async_trait]
impl ApiClientRepository for InMemoryStore {
    async fn add(&self, client: &ApiClient, secret: &SecretHash, audit: &AuditEvent) -> Result<(), GrantError> {
        let mut tables = self.tenancy();
        if !tables.has_party(client.party) {
            return Err(GrantError::UnknownParty);
        }
        let taken = tables.clients.values().any(|(other, _)| other.id == client.id || other.grant == client.grant);
        if taken {
            return Err(GrantError::Taken);
        }
        tables.clients.insert(client.id.clone(), (client.clone(), secret.clone()));
        self.tables().insert_audit_event(audit.clone());
        Ok(())
    }

    async fn find(&self, id: &ApiClientId) -> Result<Option<(ApiClient, SecretHash)>, StorageError> {
        Ok(self.tenancy().clients.get(id).cloned())
    }

    async fn rotate(
        &self,
        id: &ApiClientId,
        grant: GrantId,
        secret: &SecretHash,
        audit: &AuditEvent,
    ) -> Result<bool, StorageError> {
        let mut tables = self.tenancy();
        let Some((client, hash)) = tables.clients.get_mut(id).filter(|(client, _)| client.revoked_at.is_none()) else {
            return Ok(false);
        };
        let before = std::mem::replace(&mut client.grant, grant);
        *hash = secret.clone();
        tables.end_sessions_of(before);
        self.tables().insert_audit_event(audit.clone());
        Ok(true)
    }

    async fn revoke(&self, id: &ApiClientId, at: OffsetDateTime, audit: &AuditEvent) -> Result<bool, StorageError> {
        let mut tables = self.tenancy();
        let Some((client, _)) = tables.clients.get_mut(id).filter(|(client, _)| client.revoked_at.is_none()) else {
            return Ok(false);
        };
        client.revoked_at = Some(at);
        let grant = client.grant;
        tables.end_sessions_of(grant);
        self.tables().insert_audit_event(audit.clone());
        Ok(true)
    }

    async fn list(
        &self,
        scope: Scope,
        after: Option<&ApiClientId>,
        limit: u32,
    ) -> Result<Vec<ApiClient>, StorageError> {
        let tables = self.tenancy();
        let all = tables.clients.values().map(|(client, _)| client);
        let later = all.filter(|client| after.is_none_or(|after| client.id > *after));
        Ok(page(later.filter(|client| scope.includes(client.party)).cloned(), limit))
    }
}

#[async_trait]
impl ClientFailureRepository for InMemoryStore {
    async fn window(&self, subject: &str) -> Result<Option<FailureWindow>, StorageError> {
        Ok(self.tenancy().failures.get(subject).copied())
    }

    async fn record(
        &self,
        subject: &str,
        limit: &AttemptLimit,
        now: OffsetDateTime,
    ) -> Result<FailureWindow, StorageError> {
        let mut tables = self.tenancy();
        let window = limit.count(tables.failures.get(subject).copied(), now);
        tables.failures.insert(subject.to_owned(), window);
        Ok(window)
    }
}
