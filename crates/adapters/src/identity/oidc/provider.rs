//! The provider's documents, over HTTP.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::core::{CoreJsonWebKey, CoreProviderMetadata};
use openidconnect::http::Method;
use openidconnect::http::header::{ACCEPT, HeaderValue};
use openidconnect::reqwest::{self, Client, redirect};
use openidconnect::url::Url;
use openidconnect::{AsyncHttpClient, DiscoveryError, HttpRequest, HttpResponse, IssuerUrl, http};

use super::settings::{OidcSetupError, PlainHttp, is_loopback, may_fetch, plain_http};

/// The longest document that is read, in bytes.
const MAX_DOCUMENT_LEN: usize = 1024 * 1024;

/// What a key set may come as: its own type (RFC 7517, section 8.5.1), and the one that most providers give.
const KEY_SET_TYPES: HeaderValue = HeaderValue::from_static("application/jwk-set+json, application/json");

/// The end of a discovery document's path, which is JSON (OpenID Connect Discovery 1.0, section 4.2).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Where keys come from: the issuer's discovery document and the key set it names.
pub(super) struct Provider {
    issuer: IssuerUrl,
    http: GuardedClient,
    timeout: Duration,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the provider did not answer in time")]
    Timeout,
    #[error(transparent)]
    Discovery(#[from] DiscoveryError<HttpError>),
    #[error("the provider publishes no key that we can use")]
    NoUsableKey,
}

impl Provider {
    pub(super) fn new(issuer: IssuerUrl, allow_insecure: bool, timeout: Duration) -> Result<Self, OidcSetupError> {
        let plain_http = plain_http(issuer.url(), allow_insecure);
        // Kept-alive connections would belong to the runtime of whichever worker opened them.
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(timeout)
            .timeout(timeout)
            .pool_max_idle_per_host(0);
        if is_loopback(issuer.url()) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(OidcSetupError::HttpClient)?;
        Ok(Self { issuer, http: GuardedClient { client, plain_http }, timeout })
    }

    /// Fetches the discovery document, and the keys it points to; each key the library can read.
    pub(super) async fn fetch(&self) -> Result<Vec<CoreJsonWebKey>, FetchError> {
        Ok(self.discover().await?.jwks().keys().clone())
    }

    /// Fetches the discovery document with its keys.
    pub(super) async fn discover(&self) -> Result<CoreProviderMetadata, FetchError> {
        let discovery = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http);
        Ok(tokio::time::timeout(self.timeout, discovery).await.map_err(|_| FetchError::Timeout)??)
    }

    /// The client that requests go through.
    pub(super) fn http(&self) -> &GuardedClient {
        &self.http
    }

    /// How long one exchange may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// An HTTP client that goes only where the issuer's own security allows, follows nobody, and reads no more than it
/// must.
pub(super) struct GuardedClient {
    client: Client,
    plain_http: PlainHttp,
}

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the document's address does not use https, or holds a user name")]
    Insecure,
    #[error("the document is too long")]
    TooLong,
    #[error("request failed")]
    Request(#[from] reqwest::Error),
    #[error("response malformed")]
    Response(#[from] http::Error),
}

impl GuardedClient {
    pub(super) async fn get(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut request = reqwest::Request::try_from(request)?;
        if request.method() == Method::GET && !request.url().path().ends_with(DISCOVERY) {
            request.headers_mut().insert(ACCEPT, KEY_SET_TYPES);
        }
        if !self.allows(request.url()) {
            return Err(HttpError::Insecure);
        }
        let mut response = self.client.execute(request).await?;
        let mut answer = http::Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_DOCUMENT_LEN {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(answer.body(body)?)
    }

    fn allows(&self, url: &Url) -> bool {
        may_fetch(url, self.plain_http)
    }
}

impl<'c> AsyncHttpClient<'c> for GuardedClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.get(request))
    }
}
