//! Use case: end of sessions, by the caller or by the identity provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{Actor, RequestContext, UserId};
use pos_domain::tenancy::Session;
use pos_port_clock::Clock;
use pos_port_identity::{LogoutVerifier, Principal, VerifyError};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{Logout, SessionRepository};
use time::{Duration, OffsetDateTime};

use crate::tenancy::session_audit::of_session;

/// Ends sessions: the caller's own, or those of a back-channel logout.
pub struct CloseSession {
    sessions: Arc<dyn SessionRepository>,
    logouts: Arc<dyn LogoutVerifier>,
    clock: Arc<dyn Clock>,
    max_lifetime: Duration,
}

/// Why a logout failed.
#[derive(Debug, thiserror::Error)]
pub enum LogOutError {
    /// The logout token was rejected.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl CloseSession {
    /// Creates the use case. Logouts are stored for `max_lifetime`; after that no session they name can be open.
    #[must_use]
    pub(crate) fn new(
        sessions: Arc<dyn SessionRepository>,
        logouts: Arc<dyn LogoutVerifier>,
        clock: Arc<dyn Clock>,
        max_lifetime: Duration,
    ) -> Self {
        Self { sessions, logouts, clock, max_lifetime }
    }

    /// Ends the session of a verified token, and returns whether there was one. If there was, the token and earlier tokens of the
    /// same session can initiate no other. A later token can, because the provider may reuse its session for the next log-in.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn end(&self, principal: &Principal, context: RequestContext) -> Result<bool, StorageError> {
        let (token, now) = (&principal.session, self.clock.now());
        let by = context.with_actor(Actor::User(principal.user_id.clone()));
        let ended = match self.sessions.find(&token.token(), now).await? {
            Some(session) => {
                // A session that is started while it is ended leaves a row that lasts as long as any session; the leeway of the
                // token's expiry is less than the purge adds.
                let expires_at = token.expires_at.max(now.saturating_add(self.max_lifetime));
                let audit = of_session(AuditKind::SessionEnded, &session, by, now);
                self.sessions.end(&token.token(), expires_at, &audit).await?
            }
            None => false,
        };
        tracing::info!(user_id = %principal.user_id, ended, "session ended");
        Ok(ended)
    }

    /// Ends the sessions that a logout token names, if their tokens were issued before the logout: one session, or without one
    /// all sessions of a user.
    ///
    /// # Errors
    /// [`LogOutError`].
    pub async fn log_out(&self, token: &str, context: RequestContext) -> Result<(), LogOutError> {
        let notice = self.logouts.verify_logout(token).await?;
        let now = self.clock.now();
        let (logout, audit) = match (notice.session, notice.user_id) {
            (Some(key), user) => {
                let session = self.sessions.find_by_key(&key, now).await?;
                let logout = Logout::Session { session: key, issued_until: notice.issued_at };
                (logout, of_one(session.as_ref(), user, context, now))
            }
            (None, Some(user_id)) => {
                let audit = of_logout(Some(user_id.clone()), context, now).with("sessions", "all");
                (Logout::User { user_id, issued_until: notice.issued_at }, audit)
            }
            (None, None) => return Err(VerifyError::Rejected("neither session nor subject").into()),
        };
        self.sessions.log_out(&logout, now.saturating_add(self.max_lifetime), &audit).await?;
        tracing::info!(
            whole_user = matches!(logout, Logout::User { .. }),
            "the identity provider logged a session out"
        );
        Ok(())
    }
}

/// Audit event for the logout of one session. If it was not initiated here, its user is known only if the provider names it.
fn of_one(session: Option<&Session>, named: Option<UserId>, context: RequestContext, at: OffsetDateTime) -> AuditEvent {
    let member = session.map(|session| &session.member);
    let user = named.or_else(|| member.map(|member| member.user_id.clone()));
    let audit = of_logout(user, context, at).with("sessions", "one");
    match member.map(|member| member.party) {
        Some(party) => audit.for_merchant(party.merchant()).with("party", Subject::from(party)),
        None => audit,
    }
}

fn of_logout(user: Option<UserId>, context: RequestContext, at: OffsetDateTime) -> AuditEvent {
    AuditEvent {
        at,
        audit_context: context.with_actor(Actor::IdentityProvider),
        merchant_id: None,
        kind: AuditKind::SessionsLoggedOut,
        subject: user.map(Subject::User),
        detail: BTreeMap::new(),
    }
}
