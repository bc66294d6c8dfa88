//! The fake's half for resellers, merchants, members, API clients and sessions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;
use pos_domain::{
    ApiClient, ApiClientId, AuditEvent, ClaimLimit, EndedToken, FailureWindow, GrantId, Holding, IdempotencyKey,
    Location, LocationId, Member, Membership, Merchant, MerchantId, Name, Party, Reseller, ResellerId, Scope,
    SecretHash, Session, SessionKey, SessionToken, TokenKey, UserId,
};
use time::OffsetDateTime;

use crate::{
    AddPartyError, ApiClientRepository, ClientFailureRepository, DirectoryRepository, GrantError, InMemoryStore,
    Logout, MemberRepository, MerchantPage, Once, SessionRepository, StartError, StorageError,
};

#[derive(Debug, Default)]
pub(crate) struct TenancyTables {
    resellers: BTreeMap<ResellerId, Reseller>,
    pub(crate) merchants: BTreeMap<MerchantId, Merchant>,
    pub(crate) locations: BTreeMap<LocationId, Location>,
    pub(crate) answers: HashMap<(Party, IdempotencyKey), Once>,
    memberships: BTreeMap<GrantId, Membership>,
    clients: BTreeMap<ApiClientId, (ApiClient, SecretHash)>,
    pub(crate) failures: HashMap<String, FailureWindow>,
    pub(crate) sessions: HashMap<SessionKey, Session>,
    pub(crate) session_logouts: HashMap<SessionKey, (OffsetDateTime, OffsetDateTime)>,
    pub(crate) ended_tokens: HashMap<(SessionKey, Option<TokenKey>), (EndedToken, OffsetDateTime)>,
    pub(crate) user_logouts: HashMap<UserId, (OffsetDateTime, OffsetDateTime)>,
}

impl InMemoryStore {
    pub(crate) fn tenancy(&self) -> MutexGuard<'_, TenancyTables> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TenancyTables {
    fn knows(&self, party: Party) -> bool {
        match party {
            Party::Merchant(id) => self.merchants.contains_key(&id),
            Party::Reseller(id) => self.resellers.contains_key(&id),
        }
    }

    fn membership(&self, party: Party, user: &UserId) -> Option<&Membership> {
        self.memberships.values().find(|one| (one.member.party, &one.member.user_id) == (party, user))
    }

    fn grant_stands(&self, session: &Session) -> bool {
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

    pub(crate) fn holdings(&self) -> Vec<Holding> {
        let resellers = self.resellers.keys().map(|id| Holding::reseller(*id));
        let merchants = self.merchants.values().map(|one| Holding::merchant(one.id, one.reseller));
        let locations = self.locations.values().map(|one| Holding::location(one.id, one.merchant_id));
        let members = self.memberships.values().map(|one| {
            let Member { user_id, party, role } = &one.member;
            Holding::member(user_id.clone(), *party, *role)
        });
        let clients = self.clients.values().map(|(client, _)| {
            Holding::client(client.id.clone(), client.party, client.role, client.revoked_at.is_some())
        });
        resellers.chain(merchants).chain(locations).chain(members).chain(clients).collect()
    }

    /// Whether the identity provider ended a session of which a token was issued at this instant.
    fn is_logged_out(&self, session: &Session, issued_at: OffsetDateTime) -> bool {
        let logouts = [self.session_logouts.get(&session.key), self.user_logouts.get(&session.member.user_id)];
        logouts.into_iter().flatten().any(|(issued_until, _)| issued_at <= *issued_until)
    }

    fn is_ended(&self, token: &SessionToken) -> bool {
        self.ended_tokens.values().any(|(ended, _)| ended.covers(token))
    }

    /// Whether the token that started a session was ended.
    fn is_stale(&self, session: &Session) -> bool {
        self.ended_tokens.values().any(|(ended, _)| session.is_ended_by(ended))
    }

    fn end_token(&mut self, ended: EndedToken, keep_until: OffsetDateTime) {
        let kept = self.ended_tokens.entry((ended.session, ended.token)).or_insert((ended, keep_until));
        kept.0.issued_at = kept.0.issued_at.max(ended.issued_at);
        kept.1 = kept.1.max(keep_until);
    }

    /// Takes away the sessions of a grant, and ends their tokens.
    fn end_sessions_of(&mut self, grant: GrantId) {
        let gone: Vec<_> = self.sessions.values().filter(|one| one.grant == grant).cloned().collect();
        for session in gone {
            self.sessions.remove(&session.key);
            self.end_token(session.ended_token(), session.ends_at);
        }
    }

    fn held(&self, key: &SessionKey, now: OffsetDateTime) -> Option<Session> {
        let session = self.sessions.get(key)?;
        let holds = !session.is_over(now)
            && self.grant_stands(session)
            && !self.is_logged_out(session, session.token_issued_at)
            && !self.is_stale(session);
        let reseller = match session.member.party {
            Party::Merchant(id) => self.merchants.get(&id).and_then(|merchant| merchant.reseller),
            Party::Reseller(id) => Some(id),
        };
        holds.then(|| Session { reseller, ..session.clone() })
    }
}

fn page<T>(rows: impl Iterator<Item = T>, limit: u32) -> Vec<T> {
    rows.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}

#[async_trait]
impl DirectoryRepository for InMemoryStore {
    async fn add_reseller(&self, reseller: &Reseller, told: &AuditEvent) -> Result<(), AddPartyError> {
        let mut tables = self.tenancy();
        if tables.resellers.contains_key(&reseller.id) {
            return Err(AddPartyError::Taken);
        }
        tables.resellers.insert(reseller.id, reseller.clone());
        self.tables().tell(told.clone());
        Ok(())
    }

    async fn add_merchant(
        &self,
        merchant: &Merchant,
        once: Option<&Once>,
        told: &AuditEvent,
    ) -> Result<(), AddPartyError> {
        let mut tables = self.tenancy();
        if let Some(kept) = tables.answered(once) {
            return Err(AddPartyError::Answered(kept));
        }
        if merchant.reseller.is_some_and(|reseller| !tables.resellers.contains_key(&reseller)) {
            return Err(AddPartyError::UnknownReseller);
        }
        if tables.merchants.contains_key(&merchant.id) {
            return Err(AddPartyError::Taken);
        }
        tables.merchants.insert(merchant.id, merchant.clone());
        tables.keep_answer(once);
        self.tables().tell(told.clone());
        Ok(())
    }

    async fn rename_merchant(
        &self,
        scope: Scope,
        id: MerchantId,
        name: &Name,
        told: &AuditEvent,
    ) -> Result<Option<Merchant>, StorageError> {
        let mut tables = self.tenancy();
        let Some(merchant) = tables.merchants.get_mut(&id).filter(|merchant| scope.sees(merchant)) else {
            return Ok(None);
        };
        merchant.name = name.clone();
        let renamed = merchant.clone();
        self.tables().tell(told.clone());
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

    async fn list_merchants(&self, wanted: &MerchantPage) -> Result<Vec<Merchant>, StorageError> {
        let tables = self.tenancy();
        let later = tables.merchants.values().filter(|merchant| wanted.after.is_none_or(|after| merchant.id > after));
        Ok(page(later.filter(|merchant| wanted.scope.sees(merchant)).cloned(), wanted.limit))
    }
}

#[async_trait]
impl MemberRepository for InMemoryStore {
    async fn put(&self, membership: &Membership, before: Option<GrantId>, told: &AuditEvent) -> Result<(), GrantError> {
        let mut tables = self.tenancy();
        let Member { user_id, party, .. } = &membership.member;
        if !tables.knows(*party) {
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
        self.tables().tell(told.clone());
        Ok(())
    }

    async fn remove(&self, party: Party, user: &UserId, told: &AuditEvent) -> Result<bool, StorageError> {
        let mut tables = self.tenancy();
        let Some(grant) = tables.membership(party, user).map(|present| present.grant) else { return Ok(false) };
        tables.memberships.remove(&grant);
        tables.end_sessions_of(grant);
        self.tables().tell(told.clone());
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
    async fn add(&self, client: &ApiClient, secret: &SecretHash, told: &AuditEvent) -> Result<(), GrantError> {
        let mut tables = self.tenancy();
        if !tables.knows(client.party) {
            return Err(GrantError::UnknownParty);
        }
        let taken = tables.clients.values().any(|(other, _)| other.id == client.id || other.grant == client.grant);
        if taken {
            return Err(GrantError::Taken);
        }
        tables.clients.insert(client.id.clone(), (client.clone(), secret.clone()));
        self.tables().tell(told.clone());
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
        told: &AuditEvent,
    ) -> Result<bool, StorageError> {
        let mut tables = self.tenancy();
        let Some((client, hash)) = tables.clients.get_mut(id).filter(|(client, _)| client.revoked_at.is_none()) else {
            return Ok(false);
        };
        let before = std::mem::replace(&mut client.grant, grant);
        *hash = secret.clone();
        tables.end_sessions_of(before);
        self.tables().tell(told.clone());
        Ok(true)
    }

    async fn revoke(&self, id: &ApiClientId, at: OffsetDateTime, told: &AuditEvent) -> Result<bool, StorageError> {
        let mut tables = self.tenancy();
        let Some((client, _)) = tables.clients.get_mut(id).filter(|(client, _)| client.revoked_at.is_none()) else {
            return Ok(false);
        };
        client.revoked_at = Some(at);
        let grant = client.grant;
        tables.end_sessions_of(grant);
        self.tables().tell(told.clone());
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
        limit: &ClaimLimit,
        now: OffsetDateTime,
    ) -> Result<FailureWindow, StorageError> {
        let mut tables = self.tenancy();
        let window = limit.count(tables.failures.get(subject).copied(), now);
        tables.failures.insert(subject.to_owned(), window);
        Ok(window)
    }
}

#[async_trait]
impl SessionRepository for InMemoryStore {
    async fn start(&self, session: &Session, told: &AuditEvent) -> Result<(), StartError> {
        let mut tables = self.tenancy();
        if !tables.grant_stands(session) {
            return Err(StartError::NoGrant);
        }
        if tables.is_logged_out(session, session.token_issued_at) {
            return Err(StartError::LoggedOut);
        }
        if tables.is_stale(session) {
            return Err(StartError::Ended);
        }
        tables.sessions.insert(session.key, session.clone());
        self.tables().tell(told.clone());
        Ok(())
    }

    async fn find(&self, token: &SessionToken, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let tables = self.tenancy();
        let held = tables.held(&token.session, now);
        Ok(held.filter(|session| !tables.is_logged_out(session, token.issued_at) && !tables.is_ended(token)))
    }

    async fn find_by_key(&self, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        Ok(self.tenancy().held(key, now))
    }

    async fn end(
        &self,
        token: &SessionToken,
        keep_until: OffsetDateTime,
        told: &AuditEvent,
    ) -> Result<bool, StorageError> {
        let mut tables = self.tenancy();
        let is_out = |session: &&Session| tables.is_logged_out(session, token.issued_at) || tables.is_ended(token);
        let gone = tables.sessions.get(&token.session).filter(|session| !is_out(session)).cloned();
        let SessionToken { session, token, issued_at } = *token;
        if let Some(gone) = &gone {
            tables.end_token(EndedToken { session, token: Some(token), issued_at }, keep_until);
            tables.sessions.remove(&gone.key);
            tables.end_token(gone.ended_token(), keep_until);
            self.tables().tell(told.clone());
        }
        Ok(gone.is_some())
    }

    async fn is_ended(&self, token: &SessionToken) -> Result<bool, StorageError> {
        Ok(self.tenancy().is_ended(token))
    }

    async fn log_out(
        &self,
        logout: &Logout,
        keep_until: OffsetDateTime,
        told: &AuditEvent,
    ) -> Result<(), StorageError> {
        let mut tables = self.tenancy();
        match logout {
            Logout::Session { session, issued_until } => {
                let kept = tables.session_logouts.entry(*session).or_insert((*issued_until, keep_until));
                *kept = (kept.0.max(*issued_until), kept.1.max(keep_until));
            }
            Logout::User { user_id, issued_until } => {
                let kept = tables.user_logouts.entry(user_id.clone()).or_insert((*issued_until, keep_until));
                *kept = (kept.0.max(*issued_until), kept.1.max(keep_until));
            }
        }
        self.tables().tell(told.clone());
        Ok(())
    }
}
