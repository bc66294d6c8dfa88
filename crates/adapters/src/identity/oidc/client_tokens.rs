use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use openidconnect::core::{CoreClient, CoreProviderMetadata};
use openidconnect::{ClientId, ClientSecret, OAuth2TokenResponse as _, RequestTokenError};
use pos_domain::ApiClientId;
use pos_port_clock::Clock;
use pos_port_identity::{ClientTokenError, ClientTokens};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use super::provider::Provider;
use super::settings::{OidcSettings, OidcSetupError};

/// Asks the provider for machines' access tokens, at the endpoint that discovery names.
///
/// What discovery says is asked again after `keys_max_age`. While the provider is away nobody gets a token.
pub struct OidcClientTokens {
    provider: Provider,
    clock: Arc<dyn Clock>,
    max_age: Duration,
    known: ArcSwapOption<(CoreProviderMetadata, OffsetDateTime)>,
}

impl OidcClientTokens {
    /// Does no I/O: the provider may be away.
    ///
    /// # Errors
    /// [`OidcSetupError`] when the settings make no sense or are not safe.
    pub fn new(settings: &OidcSettings, clock: Arc<dyn Clock>) -> Result<Self, OidcSetupError> {
        let issuer = settings.validate()?;
        let provider = Provider::new(issuer, settings.allow_insecure_issuer, settings.http_timeout)?;
        Ok(Self { provider, clock, max_age: settings.keys_max_age, known: ArcSwapOption::empty() })
    }

    async fn metadata(&self) -> Result<CoreProviderMetadata, ClientTokenError> {
        let now = self.clock.now();
        let fresh = |at: OffsetDateTime| Duration::try_from(now - at).is_ok_and(|age| age < self.max_age);
        if let Some(known) = self.known.load_full().filter(|known| fresh(known.1)) {
            return Ok(known.0.clone());
        }
        let metadata = self.provider.discover().await.map_err(unavailable)?;
        self.known.store(Some(Arc::new((metadata.clone(), now))));
        Ok(metadata)
    }
}

fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientTokenError {
    ClientTokenError::Unavailable(cause.into())
}

#[async_trait]
impl ClientTokens for OidcClientTokens {
    async fn token_for(&self, client: &ApiClientId, secret: &SecretString) -> Result<SecretString, ClientTokenError> {
        let id = ClientId::new(client.as_str().to_owned());
        let secret = ClientSecret::new(secret.expose_secret().to_owned());
        let asking = CoreClient::from_provider_metadata(self.metadata().await?, id, Some(secret));
        let request = asking.exchange_client_credentials().map_err(unavailable)?;
        let answer = tokio::time::timeout(self.provider.timeout(), request.request_async(self.provider.http())).await;
        match answer.map_err(unavailable)? {
            Ok(tokens) => Ok(SecretString::from(tokens.access_token().secret().clone())),
            // A word of RFC 6749, section 5.2; the provider's sentence beside it is its own affair.
            Err(RequestTokenError::ServerResponse(refusal)) => Err(match refusal.error().as_ref() {
                word @ ("server_error" | "temporarily_unavailable" | "slow_down") => unavailable(word.to_owned()),
                word => ClientTokenError::Refused(word.chars().filter(|c| !c.is_control()).take(64).collect()),
            }),
            Err(RequestTokenError::Request(error)) => Err(unavailable(error)),
            // The answer itself is not told: it may hold a token.
            Err(RequestTokenError::Parse(..)) => Err(unavailable("the token endpoint's answer cannot be read")),
            Err(RequestTokenError::Other(_)) => Err(unavailable("the token endpoint's answer is none")),
        }
    }
}
