//! Stand-in for an identity provider where there is none, as at the command line.

use async_trait::async_trait;
use pos_domain::shared::ApiClientId;
use secrecy::SecretString;

use crate::{ClientTokenError, ClientTokens, LogoutNotice, LogoutVerifier, Principal, TokenVerifier, VerifyError};

/// Answers every call with `Unavailable`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProvider;

#[async_trait]
impl TokenVerifier for NoProvider {
    async fn verify(&self, _: &str) -> Result<Principal, VerifyError> {
        Err(VerifyError::Unavailable)
    }

    fn is_ready(&self) -> bool {
        false
    }
}

#[async_trait]
impl LogoutVerifier for NoProvider {
    async fn verify_logout(&self, _: &str) -> Result<LogoutNotice, VerifyError> {
        Err(VerifyError::Unavailable)
    }
}

#[async_trait]
impl ClientTokens for NoProvider {
    async fn token_for(&self, _: &ApiClientId, _: &SecretString) -> Result<SecretString, ClientTokenError> {
        Err(ClientTokenError::Unavailable { retry_after: None, source: "no identity provider is configured".into() })
    }
}
