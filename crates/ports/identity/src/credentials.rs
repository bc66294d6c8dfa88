//! Client-credentials port: obtains access tokens for API clients from the identity provider.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use pos_domain::shared::ApiClientId;
use secrecy::SecretString;

/// Obtains a machine's access token by the client-credentials grant (RFC 6749, section 4.4).
#[async_trait]
pub trait ClientTokens: Send + Sync {
    /// Returns an access token for the client.
    ///
    /// # Errors
    /// [`ClientTokenError`].
    async fn token_for(&self, client: &ApiClientId, secret: &SecretString) -> Result<SecretString, ClientTokenError>;
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum ClientTokenError {
    /// The provider refuses the client. The text is its OAuth error code, such as `invalid_client`.
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// The provider does not respond, or with neither a token nor an OAuth error code for wrong credentials.
    #[error("identity provider unavailable")]
    Unavailable {
        /// Value of the provider's `Retry-After`, if any.
        retry_after: Option<Duration>,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Fake provider with a fixed list of clients and their tokens.
#[derive(Debug, Default)]
pub struct FixedClientTokens(HashMap<String, String>);

impl FixedClientTokens {
    /// Creates a provider that returns these tokens by client id, whatever the secret, and refuses other clients.
    #[must_use]
    pub fn new(tokens: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(tokens.into_iter().collect())
    }
}

#[async_trait]
impl ClientTokens for FixedClientTokens {
    async fn token_for(&self, client: &ApiClientId, _: &SecretString) -> Result<SecretString, ClientTokenError> {
        let token = self.0.get(client.as_str()).cloned();
        token.map(SecretString::from).ok_or_else(|| ClientTokenError::Refused("invalid_client".to_owned()))
    }
}
