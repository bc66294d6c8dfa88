use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use pos_domain::ApiClientId;
use secrecy::SecretString;

/// Asks the identity provider for a machine's access token, by the client-credentials grant (RFC 6749, section 4.4).
#[async_trait]
pub trait ClientTokens: Send + Sync {
    /// An access token for the client.
    ///
    /// # Errors
    /// [`ClientTokenError`].
    async fn token_for(&self, client: &ApiClientId, secret: &SecretString) -> Result<SecretString, ClientTokenError>;
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum ClientTokenError {
    /// The provider does not give this client a token. The text is its word for why, such as `invalid_client`.
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// The provider does not answer, or with anything but a token or one of OAuth's words for wrong credentials.
    #[error("identity provider unavailable")]
    Unavailable {
        /// How long it asks to be left alone, if it says so.
        retry_after: Option<Duration>,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// A provider that knows a fixed list of clients, each with the token it is given.
#[derive(Debug, Default)]
pub struct FixedClientTokens(HashMap<String, String>);

impl FixedClientTokens {
    /// Knows `tokens` by client id and refuses every other, whatever the secret.
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
