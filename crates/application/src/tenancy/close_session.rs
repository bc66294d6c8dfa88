use std::collections::BTreeMap;
use std::sync::Arc;

use pos_domain::{Actor, AuditEvent, AuditKind, CallContext, Session, Subject, UserId};
use pos_port_clock::Clock;
use pos_port_identity::{LogoutVerifier, Principal, VerifyError};
use pos_port_storage::{Logout, SessionRepository, StorageError};
use time::{Duration, OffsetDateTime};

use super::on_record::of_session;

/// Ends sessions: the caller's own, or those the identity provider says are over.
pub struct CloseSession {
    sessions: Arc<dyn SessionRepository>,
    logouts: Arc<dyn LogoutVerifier>,
    clock: Arc<dyn Clock>,
    max_lifetime: Duration,
}

/// Why nobody was logged out.
#[derive(Debug, thiserror::Error)]
pub enum LogOutError {
    /// See [`VerifyError`].
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl CloseSession {
    /// Logouts are kept for `max_lifetime`, after which no session they name could still be going on.
    #[must_use]
    pub fn new(
        sessions: Arc<dyn SessionRepository>,
        logouts: Arc<dyn LogoutVerifier>,
        clock: Arc<dyn Clock>,
        max_lifetime: Duration,
    ) -> Self {
        Self { sessions, logouts, clock, max_lifetime }
    }

    /// Ends the session of a verified token, if there is one, and returns whether there was. If so, the token, and earlier ones
    /// of the same session, initiate no other; a later one may, because who logs in anew at the provider may be given the
    /// same session of the provider's.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    pub async fn end(&self, principal: &Principal, context: CallContext) -> Result<bool, StorageError> {
        let (token, now) = (&principal.session, self.clock.now());
        let by = context.by(Actor::User(principal.user_id.clone()));
        let ended = match self.sessions.find(&token.token(), now).await? {
            Some(session) => {
                // A session that is started at the same time as it ends leaves a row that lasts as long as any session;
                // the leeway of the token's expiry is less than what retention adds.
                let keep_until = token.expires_at.max(now.saturating_add(self.max_lifetime));
                let told = of_session(AuditKind::SessionEnded, &session, by, now);
                self.sessions.end(&token.token(), keep_until, &told).await?
            }
            None => false,
        };
        tracing::info!(user_id = %principal.user_id, ended, "session ended");
        Ok(ended)
    }

    /// Ends what a logout token names, as far as it was issued up to the logout: one session, or without one all of a
    /// user's.
    ///
    /// # Errors
    /// [`LogOutError`].
    pub async fn log_out(&self, token: &str, context: CallContext) -> Result<(), LogOutError> {
        let notice = self.logouts.verify_logout(token).await?;
        let now = self.clock.now();
        let (logout, told) = match (notice.session, notice.user_id) {
            (Some(key), user) => {
                let session = self.sessions.find_by_key(&key, now).await?;
                let logout = Logout::Session { session: key, issued_until: notice.issued_at };
                (logout, of_one(session.as_ref(), user, context, now))
            }
            (None, Some(user_id)) => {
                let told = of_logout(Some(user_id.clone()), context, now).with("sessions", "all");
                (Logout::User { user_id, issued_until: notice.issued_at }, told)
            }
            (None, None) => return Err(VerifyError::Rejected("neither session nor subject").into()),
        };
        self.sessions.log_out(&logout, now.saturating_add(self.max_lifetime), &told).await?;
        tracing::info!(
            whole_user = matches!(logout, Logout::User { .. }),
            "the identity provider logged a session out"
        );
        Ok(())
    }
}

/// The end of one session, which may not have been initiated here; then its user is known only if the provider says so.
fn of_one(session: Option<&Session>, named: Option<UserId>, context: CallContext, at: OffsetDateTime) -> AuditEvent {
    let member = session.map(|session| &session.member);
    let user = named.or_else(|| member.map(|member| member.user_id.clone()));
    let told = of_logout(user, context, at).with("sessions", "one");
    match member.map(|member| member.party) {
        Some(party) => told.for_merchant(party.merchant()).with("party", Subject::from(party)),
        None => told,
    }
}

fn of_logout(user: Option<UserId>, context: CallContext, at: OffsetDateTime) -> AuditEvent {
    AuditEvent {
        at,
        act: context.by(Actor::IdentityProvider),
        merchant_id: None,
        kind: AuditKind::SessionsLoggedOut,
        subject: user.map(Subject::User),
        detail: BTreeMap::new(),
    }
}
