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
use pos_domain::ApiClientId;
use pos_port_clock::Clock;
use pos_port_identity::{ClientTokenError, ClientTokens};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use super::provider::{GuardedClient, HttpError, Provider};
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
    ClientTokenError::Unavailable { retry_after: None, source: cause.into() }
}

/// The words by which a provider refuses a client's credentials (RFC 6749, section 5.2). No other answer is about them.
const REFUSALS: [&str; 3] = ["invalid_client", "unauthorized_client", "invalid_grant"];

/// The longest wait that is taken over from a provider.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// One request for a token, and what the head of its answer says.
struct TokenRequest<'p> {
    http: &'p GuardedClient,
    head: Mutex<Option<(StatusCode, HeaderMap)>>,
}

impl TokenRequest<'_> {
    fn head(&self) -> Option<(StatusCode, HeaderMap)> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the answer has a status that refuses what was asked, rather than puts it off.
    fn is_refused(&self) -> bool {
        self.head().is_some_and(|(status, _)| {
            let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
            status.is_client_error() && !later.contains(&status)
        })
    }

    /// How long the answer asks to wait: seconds, or until an instant (RFC 9110, section 10.2.3).
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
        Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
    }
}

impl<'c> AsyncHttpClient<'c> for TokenRequest<'_> {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.http.get(request).await?;
            let head = (answer.status(), answer.headers().clone());
            *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
            Ok(answer)
        })
    }
}

#[async_trait]
impl ClientTokens for OidcClientTokens {
    async fn token_for(&self, client: &ApiClientId, secret: &SecretString) -> Result<SecretString, ClientTokenError> {
        let id = ClientId::new(client.as_str().to_owned());
        let secret = ClientSecret::new(secret.expose_secret().to_owned());
        let asking = CoreClient::from_provider_metadata(self.metadata().await?, id, Some(secret));
        let request = asking.exchange_client_credentials().map_err(unavailable)?;
        let asked = TokenRequest { http: self.provider.http(), head: Mutex::default() };
        let answer = tokio::time::timeout(self.provider.timeout(), request.request_async(&asked)).await;
        let unavailable = |cause: Box<dyn std::error::Error + Send + Sync>| ClientTokenError::Unavailable {
            retry_after: asked.retry_after(self.clock.now()),
            source: cause,
        };
        match answer.map_err(|timeout| unavailable(timeout.into()))? {
            Ok(tokens) => Ok(SecretString::from(tokens.access_token().secret().clone())),
            // A word of RFC 6749, section 5.2; the provider's sentence beside it is its own affair.
            Err(RequestTokenError::ServerResponse(refusal)) => Err(match refusal.error().as_ref() {
                word if REFUSALS.contains(&word) && asked.is_refused() => ClientTokenError::Refused(word.to_owned()),
                word => {
                    let word: String = word.chars().filter(|c| !c.is_control()).take(64).collect();
                    unavailable(format!("the token endpoint answers {word:?}").into())
                }
            }),
            Err(RequestTokenError::Request(error)) => Err(unavailable(error.into())),
            // The answer itself is not told: it may hold a token.
            Err(RequestTokenError::Parse(..)) => Err(unavailable("the token endpoint's answer cannot be read".into())),
            Err(RequestTokenError::Other(_)) => Err(unavailable("the token endpoint's answer is none".into())),
        }
    }
}
