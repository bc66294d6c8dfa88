//! From a bearer token to the one who holds it.
//!
//! A handler gives the token it was sent to a [`TokenVerifier`] and gets a [`Principal`], or the reason why not.
//! [`FixedVerifier`] is the fake: a list of tokens and whom they name.
//!
//! What machines need besides is in the same manner: [`ClientTokens`] for a token of the provider's, [`LogoutVerifier`] for what the provider says of a session's end.

mod credentials;
mod logout;
mod principal;

use std::collections::HashMap;

use async_trait::async_trait;

pub use credentials::{ClientTokenError, ClientTokens, FixedClientTokens};
pub use logout::{FixedLogouts, LogoutNotice, LogoutVerifier};
pub use principal::{Principal, TokenSession};

/// Why a token names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The token is malformed, forged, expired, not yet valid, or meant for somebody else. The text says which, for a
    /// log; it never holds a part of the token.
    #[error("token rejected: {0}")]
    Rejected(&'static str),
    /// The token is good, and a claim that the settings name cannot be used: the caller is known, and may not act.
    #[error("Access token claim {claim} must be {wanted}")]
    Claim {
        /// The claim, as the settings name it.
        claim: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Whether the token is good cannot be told now, because the identity provider's keys cannot be had.
    #[error("identity provider unavailable")]
    Unavailable,
}

/// Checks bearer tokens.
#[async_trait]
pub trait TokenVerifier: Send + Sync {
    /// Verifies `token`, the text after `Bearer `.
    ///
    /// # Errors
    /// [`VerifyError::Rejected`] whenever the token itself is at fault, [`VerifyError::Claim`] when it is a good one with
    /// a claim that cannot be used. [`VerifyError::Unavailable`] only when the
    /// provider's keys are needed for the answer and are out of reach.
    async fn verify(&self, token: &str) -> Result<Principal, VerifyError>;

    /// Whether tokens can be verified at the moment, for a health report. Does no I/O.
    fn is_ready(&self) -> bool;
}

/// A verifier that knows a fixed list of tokens.
#[derive(Debug, Default)]
pub struct FixedVerifier(HashMap<String, Principal>);

impl FixedVerifier {
    /// Knows `tokens` and rejects every other.
    #[must_use]
    pub fn new(tokens: impl IntoIterator<Item = (String, Principal)>) -> Self {
        Self(tokens.into_iter().collect())
    }
}

#[async_trait]
impl TokenVerifier for FixedVerifier {
    async fn verify(&self, token: &str) -> Result<Principal, VerifyError> {
        self.0.get(token).cloned().ok_or(VerifyError::Rejected("not on the list"))
    }

    fn is_ready(&self) -> bool {
        true
    }
}
