use std::collections::HashMap;

use async_trait::async_trait;
use pos_domain::{SessionKey, UserId};
use time::OffsetDateTime;

use crate::VerifyError;

/// What a verified logout token says: a session, or a user, or both, is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutNotice {
    /// The session that ended, by the key its tokens have here.
    pub session: Option<SessionKey>,
    /// Whose it was; without a session, all of the user's sessions ended.
    pub user_id: Option<UserId>,
    /// When, by the provider's clock.
    pub issued_at: OffsetDateTime,
}

/// Checks logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.6).
#[async_trait]
pub trait LogoutVerifier: Send + Sync {
    /// Verifies `token`. A notice names a session or a user.
    ///
    /// # Errors
    /// As [`crate::TokenVerifier::verify`].
    async fn verify_logout(&self, token: &str) -> Result<LogoutNotice, VerifyError>;
}

/// A verifier that knows a fixed list of logout tokens.
#[derive(Debug, Default)]
pub struct FixedLogouts(HashMap<String, LogoutNotice>);

impl FixedLogouts {
    /// Knows `tokens` and rejects every other.
    #[must_use]
    pub fn new(tokens: impl IntoIterator<Item = (String, LogoutNotice)>) -> Self {
        Self(tokens.into_iter().collect())
    }
}

#[async_trait]
impl LogoutVerifier for FixedLogouts {
    async fn verify_logout(&self, token: &str) -> Result<LogoutNotice, VerifyError> {
        self.0.get(token).cloned().ok_or(VerifyError::Rejected("not on the list"))
    }
}
