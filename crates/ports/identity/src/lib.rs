//! Identity ports: verification of bearer and logout tokens, and client credentials.
//!
//! A handler passes the token of a request to a [`TokenVerifier`], which returns a [`Principal`] or the reason of the
//! rejection. [`FixedVerifier`] is the fake: a list of tokens and their principals.
//!
//! [`ClientTokens`] obtains access tokens for machines, and [`LogoutVerifier`] verifies the provider's logout tokens.
//! Both have such a fake.

mod credentials;
mod logout;
mod no_provider;
mod principal;

use std::collections::HashMap;

use async_trait::async_trait;

pub use credentials::{ClientTokenError, ClientTokens, FixedClientTokens};
pub use logout::{FixedLogouts, LogoutNotice, LogoutVerifier};
pub use no_provider::NoProvider;
pub use principal::{Principal, TokenSession};

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The token is malformed, forged, expired, not yet valid, or issued for another audience. The text says which, for
    /// the log; it never contains a part of the token.
    #[error("token rejected: {0}")]
    Rejected(&'static str),
    /// The token is valid, but a claim named in the settings is unusable: the caller is authenticated but may not act.
    #[error("Access token claim {claim} must be {wanted}")]
    Claim {
        /// Name of the claim, as in the settings.
        claim: String,
        /// What the claim must be.
        wanted: &'static str,
    },
    /// The token cannot be verified now, because the identity provider's keys are not available.
    #[error("identity provider unavailable")]
    Unavailable,
}

/// Verifies bearer tokens.
#[async_trait]
pub trait TokenVerifier: Send + Sync {
    /// Verifies `token`, the text after `Bearer `.
    ///
    /// # Errors
    /// [`VerifyError::Rejected`] if the token itself is invalid, [`VerifyError::Claim`] if it is valid but has an
    /// unusable claim. [`VerifyError::Unavailable`] only if the provider's keys are needed and cannot be fetched.
    async fn verify(&self, token: &str) -> Result<Principal, VerifyError>;

    /// Returns whether tokens can currently be verified, for a health report. Does no I/O.
    fn is_ready(&self) -> bool;
}

/// Fake verifier with a fixed list of tokens.
#[derive(Debug, Default)]
pub struct FixedVerifier(HashMap<String, Principal>);

impl FixedVerifier {
    /// Creates a verifier that accepts these tokens and rejects all others.
    #[must_use]
    pub fn new(tokens: impl IntoIterator<Item = (String, Principal)>) -> Self {
        Self(tokens.into_iter().collect())
    }
}

#[async_trait]
impl TokenVerifier for FixedVerifier {
    async fn verify(&self, token: &str) -> Result<Principal, VerifyError> {
        self.0.get(token).cloned().ok_or(VerifyError::Rejected("unknown token"))
    }

    fn is_ready(&self) -> bool {
        true
    }
}
