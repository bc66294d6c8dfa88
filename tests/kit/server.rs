//! In-process server for tests: real HTTP on a free port, with the test's store and clock.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use pos_adapters::clock::SystemEntropy;
use pos_adapters::storage::OpenedStorage;
use pos_application::IdentityPorts;
use pos_application::test_support::TestApp;
pub use pos_application::test_support::{MERCHANT, OTHER_MERCHANT, START};
use pos_domain::shared::{AuditContext, DeviceId, UserId};
use pos_port_clock::{Entropy, ManualClock};
use pos_port_identity::{
    ClientTokens, FixedClientTokens, FixedLogouts, FixedVerifier, LogoutVerifier, Principal, TokenVerifier,
};
use pos_port_storage::Storage;
use pos_server::http_server::HttpServer;
use pos_server::settings::Settings;
use pos_server::wiring::Dependencies;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::app::app_at;
use crate::users;

/// The `User-Agent` of terminals in these tests.
pub const USER_AGENT: &str = "Viopay-POS/1.4.2 (Android 12; PAX-A920)";

/// Options of a [`TestServer`]. Everything else has the default settings.
pub struct Options {
    /// Pairs of `POS__SECTION__KEY` and value.
    pub settings: Vec<(&'static str, String)>,
    /// Verifier of access tokens; by default it accepts the tokens of [`merchant_tokens`].
    pub verifier: Arc<dyn TokenVerifier>,
    /// Verifier of logout tokens; by default it accepts none.
    pub logouts: Arc<dyn LogoutVerifier>,
    /// Client credentials that the identity provider accepts; by default none.
    pub client_tokens: Arc<dyn ClientTokens>,
    /// Source of randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The server's clock.
    pub clock: Arc<ManualClock>,
    /// Whether [`TestServer::seed_sessions`] adds the users of [`merchant_tokens`]. Otherwise the test adds its own users.
    pub seed_users: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            verifier: Arc::new(merchant_tokens()),
            logouts: Arc::new(FixedLogouts::default()),
            client_tokens: Arc::new(FixedClientTokens::default()),
            entropy: Arc::new(SystemEntropy),
            clock: Arc::new(ManualClock::at(START)),
            seed_users: true,
        }
    }
}

/// The tokens `ann`, `bob` (of [`MERCHANT`]), `eve` (of [`OTHER_MERCHANT`]) and `lost` (of none).
#[must_use]
pub fn merchant_tokens() -> FixedVerifier {
    let users = [("ann", Some(MERCHANT)), ("bob", Some(MERCHANT)), ("eve", Some(OTHER_MERCHANT)), ("lost", None)];
    FixedVerifier::new(users.map(|(name, merchant_id)| {
        (name.to_owned(), Principal::fixed(UserId::parse(name).expect("a name"), merchant_id))
    }))
}

/// A running server and a client for it.
pub struct TestServer {
    /// Base URL: `http://127.0.0.1:port`.
    pub url: String,
    /// The server's clock.
    pub clock: Arc<ManualClock>,
    /// The server's store.
    pub storage: Storage,
    client: Client,
    sessions_seeded: OnceCell<()>,
    server: HttpServer,
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The body, as text.
    pub text: String,
}

impl TestServer {
    /// Starts a server on `opened`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(opened: &OpenedStorage, options: Options) -> Self {
        let defaults = [
            ("POS__HTTP__BIND", "127.0.0.1:0".to_owned()),
            ("POS__HTTP__WORKERS", "2".to_owned()),
            // Off: the test's clock does not advance, so the token bucket would never refill.
            ("POS__LIMITS__DEVICE_PER_MINUTE", "0".to_owned()),
        ];
        let settings: BTreeMap<_, _> = defaults.into_iter().chain(options.settings).collect();
        let variables = settings.into_iter().map(|(key, value)| (key.to_owned(), value));
        let settings = Settings::load(None, variables).expect("the test's settings");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let dependencies = Dependencies {
            settings,
            storage: opened.clone(),
            identity: IdentityPorts {
                verifier: options.verifier,
                logouts: options.logouts,
                client_tokens: options.client_tokens,
            },
            clock: options.clock.clone(),
            entropy: options.entropy,
        };
        let server = HttpServer::start(listener, &dependencies).expect("a server");
        let storage = opened.storage.clone();
        Self {
            url: format!("http://{}", server.address()),
            clock: options.clock,
            sessions_seeded: OnceCell::new_with((!options.seed_users).then_some(())),
            storage,
            client: Client::builder().no_proxy().build().expect("a client"),
            server,
        }
    }

    /// Stops the server as a signal does: it finishes requests in progress.
    ///
    /// # Panics
    /// If the shutdown fails.
    pub async fn stop_gracefully(self) {
        self.server.serve_until(std::future::ready(()), std::future::pending()).await.expect("a graceful shutdown");
    }

    /// Stops the server at once.
    pub async fn stop(self) {
        self.server.abort().await;
    }

    /// Use cases on the server's store, with its clock.
    #[must_use]
    pub fn app(&self) -> TestApp {
        app_at(&self.storage, &self.clock)
    }

    /// Adds the merchants and members of [`merchant_tokens`] and their sessions, once.
    ///
    /// # Panics
    /// If the store returns an error.
    pub async fn seed_sessions(&self) {
        self.sessions_seeded.get_or_init(|| users::seed_sessions(&self.storage)).await;
    }

    /// Provisions a device for [`MERCHANT`] and returns its id.
    ///
    /// # Panics
    /// If the store returns an error.
    pub async fn device(&self) -> String {
        self.seed_sessions().await;
        let ids = self.app().fleet.provision.some(1, MERCHANT, &AuditContext::operator()).await.expect("a device");
        ids.first().map(DeviceId::to_string).expect("one id")
    }

    /// A request to `path` without headers.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends a terminal's request with its three headers.
    pub async fn terminal(&self, method: Method, path: &str, device_id: &str) -> Answer {
        send(as_terminal(self.request(method, path), device_id)).await
    }

    /// Requests a new pairing code for a device.
    ///
    /// # Panics
    /// If the response has no code.
    pub async fn code(&self, device_id: &str) -> String {
        self.terminal(Method::POST, "/pos/pairing-code", device_id).await.pairing_code()
    }

    /// Sends a claim with a JSON body.
    ///
    /// # Panics
    /// If the server sends no response.
    pub async fn claim(&self, token: &str, body: &Value) -> Answer {
        self.seed_sessions().await;
        send(self.request(Method::POST, "/pos/claim").bearer_auth(token).json(body)).await
    }
}

/// Adds the three headers of a terminal.
pub(crate) fn as_terminal(request: RequestBuilder, device_id: &str) -> RequestBuilder {
    request.header("X-Device-Id", device_id).header("User-Agent", USER_AGENT).header("X-Client-Type", "pos")
}

/// Sends a request and reads the whole response.
///
/// # Panics
/// If the server sends no response.
pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a body") }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If the body is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The pairing code of a response.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn pairing_code(&self) -> String {
        self.json()["pairing_code"].as_str().unwrap_or_else(|| panic!("no code: {self:?}")).to_owned()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = HeaderName::try_from(name).ok()?;
        self.headers.get(name).map(HeaderValue::to_str).and_then(Result::ok)
    }

    /// Checks that this is an error in the error envelope, with this status and code, and returns its message.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn failure(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["error"]["code"].as_str()), (status, Some(code)), "{self:?}");
        let trace_id = body["error"]["trace_id"].as_str().unwrap_or_default();
        assert!(trace_id.len() == 32 && trace_id.bytes().all(|b| b.is_ascii_hexdigit()), "{self:?}");
        assert_eq!(self.header("x-trace-id"), Some(trace_id), "{self:?}");
        let allowed = ["code", "message", "details", "trace_id"];
        let fields = body["error"].as_object().expect("an object");
        assert!(fields.keys().all(|field| allowed.contains(&field.as_str())), "{self:?}");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{self:?}");
        body["error"]["message"].as_str().expect("a message").to_owned()
    }

    /// The seconds of `Retry-After`.
    ///
    /// # Panics
    /// If the header is missing or not a number.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        let seconds = self.header("retry-after").and_then(|seconds| seconds.parse().ok());
        seconds.unwrap_or_else(|| panic!("no Retry-After: {self:?}"))
    }

    /// Checks that `Retry-After` is this many seconds plus at most the jitter (a quarter, at least one second).
    ///
    /// # Panics
    /// If it is not.
    pub fn assert_retry_after(&self, seconds: u64) {
        let longest = seconds + (seconds / 4).max(1);
        assert!((seconds..=longest).contains(&self.retry_after()), "{self:?}");
    }

    /// `error.details`.
    #[must_use]
    pub fn details(&self) -> Value {
        self.json()["error"]["details"].clone()
    }
}
