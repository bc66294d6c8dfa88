//! OAuth client credentials grant: access tokens for API clients (RFC 6749, section 4.4).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use openidconnect::core::{CoreClient, CoreProviderMetadata};
use openidconnect::http::StatusCode;
use openidconnect::http::header::{HeaderMap, RETRY_AFTER};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use openidconnect::{ClientId, ClientSecret, OAuth2TokenResponse as _, RequestTokenError};
use pos_domain::shared::ApiClientId;
use pos_port_clock::Clock;
use pos_port_identity::{ClientTokenError, ClientTokens};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use crate::oidc::provider::{GuardedClient, HttpError, Provider};
use crate::oidc::settings::{OidcSettings, OidcSetupError};

/// Requests access tokens for API clients from the provider's token endpoint.
///
/// The discovery document is fetched again after `keys_max_age`. While the provider is unavailable, no token is issued.
pub struct OidcClientTokens {
    provider: Provider,
    clock: Arc<dyn Clock>,
    max_age: Duration,
    discovered: ArcSwapOption<(CoreProviderMetadata, OffsetDateTime)>,
}

impl OidcClientTokens {
    /// Does no I/O: the provider may be unavailable.
    ///
    /// # Errors
    /// [`OidcSetupError`] if the settings are invalid or unsafe.
    pub fn new(settings: &OidcSettings, clock: Arc<dyn Clock>) -> Result<Self, OidcSetupError> {
        let issuer = settings.validate()?;
        let provider = Provider::new(issuer, settings.allow_insecure_issuer, settings.http_timeout)?;
        Ok(Self { provider, clock, max_age: settings.keys_max_age, discovered: ArcSwapOption::empty() })
    }

    async fn metadata(&self) -> Result<CoreProviderMetadata, ClientTokenError> {
        let now = self.clock.now();
        let fresh = |at: OffsetDateTime| Duration::try_from(now - at).is_ok_and(|age| age < self.max_age);
        if let Some(cached) = self.discovered.load_full().filter(|cached| fresh(cached.1)) {
            return Ok(cached.0.clone());
        }
        let metadata = self.provider.discover().await.map_err(unavailable)?;
        self.discovered.store(Some(Arc::new((metadata.clone(), now))));
        Ok(metadata)
    }
}

fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientTokenError {
    ClientTokenError::Unavailable { retry_after: None, source: cause.into() }
}

/// Error codes by which a provider rejects a client's credentials (RFC 6749, section 5.2). Other codes have other causes.
const REFUSALS: [&str; 3] = ["invalid_client", "unauthorized_client", "invalid_grant"];

/// Maximum `Retry-After` that is accepted from a provider.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// One token request, with the status and headers of its response.
struct TokenRequest<'p> {
    http: &'p GuardedClient,
    head: Mutex<Option<(StatusCode, HeaderMap)>>,
}

impl TokenRequest<'_> {
    fn head(&self) -> Option<(StatusCode, HeaderMap)> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the response status rejects the request, rather than asks to retry later.
    fn is_rejected(&self) -> bool {
        self.head().is_some_and(|(status, _)| {
            let retryable = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
            status.is_client_error() && !retryable.contains(&status)
        })
    }

    /// The `Retry-After` of the response: seconds, or an HTTP date (RFC 9110, section 10.2.3).
    fn retry_after(&self, now: OffsetDateTime) -> Option<Duration> {
        let (_, headers) = self.head()?;
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let until = OffsetDateTime::from(httpdate::parse_http_date(text).ok()?);
                Duration::try_from(until - now).unwrap_or(Duration::ZERO)
            }
        };
        Some(wait.clamp(Duration::from_secs(1), MAX_RETRY_AFTER))
    }
}

impl<'c> AsyncHttpClient<'c> for TokenRequest<'_> {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.http.get(request).await?;
            let head = (response.status(), response.headers().clone());
            *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
            Ok(response)
        })
    }
}

#[async_trait]
impl ClientTokens for OidcClientTokens {
    async fn token_for(&self, client: &ApiClientId, secret: &SecretString) -> Result<SecretString, ClientTokenError> {
        let id = ClientId::new(client.as_str().to_owned());
        let secret = ClientSecret::new(secret.expose_secret().to_owned());
        let oauth_client = CoreClient::from_provider_metadata(self.metadata().await?, id, Some(secret));
        let request = oauth_client.exchange_client_credentials().map_err(unavailable)?;
        let attempt = TokenRequest { http: self.provider.http(), head: Mutex::default() };
        let response = tokio::time::timeout(self.provider.timeout(), request.request_async(&attempt)).await;
        let unavailable = |cause: Box<dyn std::error::Error + Send + Sync>| ClientTokenError::Unavailable {
            retry_after: attempt.retry_after(self.clock.now()),
            source: cause,
        };
        match response.map_err(|timeout| unavailable(timeout.into()))? {
            Ok(tokens) => Ok(SecretString::from(tokens.access_token().secret().clone())),
            // An error code of RFC 6749, section 5.2. The provider's description is ignored.
            Err(RequestTokenError::ServerResponse(refusal)) => Err(match refusal.error().as_ref() {
                code if REFUSALS.contains(&code) && attempt.is_rejected() => ClientTokenError::Refused(code.to_owned()),
                code => {
                    let code: String = code.chars().filter(|c| !c.is_control()).take(64).collect();
                    unavailable(format!("the token endpoint returned {code:?}").into())
                }
            }),
            Err(RequestTokenError::Request(error)) => Err(unavailable(error.into())),
            // The response itself is not included: it may contain a token.
            Err(RequestTokenError::Parse(..)) => Err(unavailable("the token response is unreadable".into())),
            Err(RequestTokenError::Other(_)) => Err(unavailable("the token response is invalid".into())),
        }
    }
}
