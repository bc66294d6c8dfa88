use std::sync::Arc;

use pos_port_clock::Clock;
use pos_port_identity::{LogoutVerifier, Principal, VerifyError};
use pos_port_storage::{Logout, SessionRepository, StorageError};
use time::Duration;

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

    /// Ends the session of a verified token, if there is one, and tells whether there was. The same token may initiate
    /// another: who logs in anew at the provider may be given the same session of the provider's.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    pub async fn end(&self, principal: &Principal) -> Result<bool, StorageError> {
        let ended = self.sessions.end(&principal.session.key).await?;
        tracing::info!(user_id = %principal.user_id, ended, "session ended");
        Ok(ended)
    }

    /// Ends what a logout token names, for good: one session, or without one all of a user's.
    ///
    /// # Errors
    /// [`LogOutError`].
    pub async fn log_out(&self, token: &str) -> Result<(), LogOutError> {
        let notice = self.logouts.verify_logout(token).await?;
        let now = self.clock.now();
        let logout = match (notice.session, notice.user_id) {
            (Some(key), _) => Logout::Session(key),
            (None, Some(user_id)) => Logout::User { user_id, issued_until: notice.issued_at },
            (None, None) => return Err(VerifyError::Rejected("neither session nor subject").into()),
        };
        self.sessions.log_out(&logout, now, now.saturating_add(self.max_lifetime)).await?;
        tracing::info!(
            whole_user = matches!(logout, Logout::User { .. }),
            "the identity provider logged a session out"
        );
        Ok(())
    }
}
