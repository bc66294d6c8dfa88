//! Back-channel logout port: verification of logout tokens.

use std::collections::HashMap;

use async_trait::async_trait;
use pos_domain::shared::UserId;
use pos_domain::tenancy::SessionKey;
use time::OffsetDateTime;

use crate::VerifyError;

/// Content of a verified logout token: a session, a user, or both were logged out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutNotice {
    /// Key of the session that ended.
    pub session: Option<SessionKey>,
    /// User of the session; without a session, all of the user's sessions ended.
    pub user_id: Option<UserId>,
    /// When the token was issued, by the provider's clock.
    pub issued_at: OffsetDateTime,
}

/// Verifies logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.6).
#[async_trait]
pub trait LogoutVerifier: Send + Sync {
    /// Verifies `token`. The notice names a session or a user.
    ///
    /// # Errors
    /// As [`crate::TokenVerifier::verify`].
    async fn verify_logout(&self, token: &str) -> Result<LogoutNotice, VerifyError>;
}

/// Fake verifier with a fixed list of logout tokens.
#[derive(Debug, Default)]
pub struct FixedLogouts(HashMap<String, LogoutNotice>);

impl FixedLogouts {
    /// Creates a verifier that accepts these tokens and rejects all others.
    #[must_use]
    pub fn new(tokens: impl IntoIterator<Item = (String, LogoutNotice)>) -> Self {
        Self(tokens.into_iter().collect())
    }
}

#[async_trait]
impl LogoutVerifier for FixedLogouts {
    async fn verify_logout(&self, token: &str) -> Result<LogoutNotice, VerifyError> {
        self.0.get(token).cloned().ok_or(VerifyError::Rejected("unknown token"))
    }
}
