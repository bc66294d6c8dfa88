//! In-memory fake of sessions, logouts and revoked tokens.

use async_trait::async_trait;
use pos_domain::audit::AuditEvent;
use pos_domain::tenancy::{RevokedToken, Session, SessionKey, SessionToken};
use time::OffsetDateTime;

use crate::InMemoryStore;
use crate::shared::StorageError;
use crate::tenancy::{Logout, SessionRepository, StartError};

#[async_trait]
impl SessionRepository for InMemoryStore {
    async fn start(&self, session: &Session, audit: &AuditEvent) -> Result<(), StartError> {
        let mut tables = self.tenancy();
        if !tables.grant_is_valid(session) {
            return Err(StartError::NoGrant);
        }
        if tables.is_logged_out(session, session.token_issued_at) {
            return Err(StartError::LoggedOut);
        }
        if tables.is_revoked(session) {
            return Err(StartError::Ended);
        }
        tables.sessions.insert(session.key, session.clone());
        self.tables().insert_audit_event(audit.clone());
        Ok(())
    }

    async fn find(&self, token: &SessionToken, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        let tables = self.tenancy();
        let session = tables.find_valid(&token.session, now);
        Ok(session.filter(|session| !tables.is_logged_out(session, token.issued_at) && !tables.is_ended(token)))
    }

    async fn find_by_key(&self, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, StorageError> {
        Ok(self.tenancy().find_valid(key, now))
    }

    async fn end(
        &self,
        token: &SessionToken,
        expires_at: OffsetDateTime,
        audit: &AuditEvent,
    ) -> Result<bool, StorageError> {
        let mut tables = self.tenancy();
        let is_unusable = |session: &&Session| tables.is_logged_out(session, token.issued_at) || tables.is_ended(token);
        let ended = tables.sessions.get(&token.session).filter(|session| !is_unusable(session)).cloned();
        let SessionToken { session, token, issued_at } = *token;
        if let Some(ended) = &ended {
            tables.revoke_token(RevokedToken { session, token: Some(token), issued_at }, expires_at);
            tables.sessions.remove(&ended.key);
            tables.revoke_token(ended.revoked_token(), expires_at);
            self.tables().insert_audit_event(audit.clone());
        }
        Ok(ended.is_some())
    }

    async fn is_ended(&self, token: &SessionToken) -> Result<bool, StorageError> {
        Ok(self.tenancy().is_ended(token))
    }

    async fn log_out(
        &self,
        logout: &Logout,
        expires_at: OffsetDateTime,
        audit: &AuditEvent,
    ) -> Result<(), StorageError> {
        let mut tables = self.tenancy();
        match logout {
            Logout::Session { session, issued_until } => {
                let stored = tables.session_logouts.entry(*session).or_insert((*issued_until, expires_at));
                *stored = (stored.0.max(*issued_until), stored.1.max(expires_at));
            }
            Logout::User { user_id, issued_until } => {
                let stored = tables.user_logouts.entry(user_id.clone()).or_insert((*issued_until, expires_at));
                *stored = (stored.0.max(*issued_until), stored.1.max(expires_at));
            }
        }
        self.tables().insert_audit_event(audit.clone());
        Ok(())
    }
}
