//! HTTP client for the provider's discovery document and key set.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::core::{CoreJsonWebKey, CoreProviderMetadata};
use openidconnect::http::Method;
use openidconnect::http::header::{ACCEPT, HeaderValue};
use openidconnect::reqwest::{self, Client, redirect};
use openidconnect::url::Url;
use openidconnect::{AsyncHttpClient, DiscoveryError, HttpRequest, HttpResponse, IssuerUrl, http};

use crate::oidc::settings::{OidcSetupError, PlainHttp, is_loopback, may_fetch, plain_http};

/// Maximum size of a document, in bytes.
const MAX_DOCUMENT_LEN: usize = 1024 * 1024;

/// Accepted media types of a key set: its registered type (RFC 7517, section 8.5.1), and the one that most providers use.
const KEY_SET_TYPES: HeaderValue = HeaderValue::from_static("application/jwk-set+json, application/json");

/// The path suffix of a discovery document, which is JSON (OpenID Connect Discovery 1.0, section 4.2).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Fetches the issuer's discovery document and its key set.
pub(super) struct Provider {
    issuer: IssuerUrl,
    http: GuardedClient,
    timeout: Duration,
}

/// Why fetching the keys failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the provider did not answer in time")]
    Timeout,
    #[error(transparent)]
    Discovery(#[from] DiscoveryError<HttpError>),
    #[error("the provider publishes no usable key")]
    NoUsableKey,
}

impl Provider {
    pub(super) fn new(issuer: IssuerUrl, allow_insecure: bool, timeout: Duration) -> Result<Self, OidcSetupError> {
        let plain_http = plain_http(issuer.url(), allow_insecure);
        // No connection reuse: an idle connection would depend on the runtime of the worker that opened it.
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

    /// Fetches the discovery document and its keys. Keys that the library cannot parse are left out.
    pub(super) async fn fetch(&self) -> Result<Vec<CoreJsonWebKey>, FetchError> {
        Ok(self.discover().await?.jwks().keys().clone())
    }

    /// Fetches the discovery document with its keys.
    pub(super) async fn discover(&self) -> Result<CoreProviderMetadata, FetchError> {
        let discovery = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http);
        Ok(tokio::time::timeout(self.timeout, discovery).await.map_err(|_| FetchError::Timeout)??)
    }

    /// The HTTP client.
    pub(super) fn http(&self) -> &GuardedClient {
        &self.http
    }

    /// The timeout of one request.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// An HTTP client that requires the same transport security as the issuer, follows no redirects, and limits the size of
/// responses.
pub(super) struct GuardedClient {
    client: Client,
    plain_http: PlainHttp,
}

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the document's URL does not use https, or contains a user name")]
    Insecure,
    #[error("the document is too large")]
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
        let mut result = http::Response::builder().status(response.status());
        if let Some(headers) = result.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_DOCUMENT_LEN {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(result.body(body)?)
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
