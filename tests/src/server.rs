//! A whole server in the test's own process: real HTTP on a free port, the store and the clock the test chooses.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use pos_adapters::clock::SystemEntropy;
use pos_adapters::storage::OpenedStorage;
use pos_application::ProvisionDevices;
use pos_domain::{Act, DeviceId, MerchantId, UserId};
use pos_port_clock::{Clock, Entropy, ManualClock};
use pos_port_identity::{
    ClientTokens, FixedClientTokens, FixedLogouts, FixedVerifier, LogoutVerifier, Principal, TokenVerifier,
};
use pos_port_storage::Storage;
use pos_server::http_server::HttpServer;
use pos_server::settings::Settings;
use pos_server::wiring::Parts;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::people;

/// When every test begins.
pub const START: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
/// The merchant whose devices the tests provision.
pub const MERCHANT: MerchantId = MerchantId(Uuid::from_u128(0x1111));
/// Another one.
pub const OTHER_MERCHANT: MerchantId = MerchantId(Uuid::from_u128(0x2222));
/// What a terminal says of itself in these tests.
pub const USER_AGENT: &str = "Viopay-POS/1.4.2 (Android 12; PAX-A920)";

/// What a test may choose; the rest is as the defaults have it.
pub struct Options {
    /// `POS__SECTION__KEY` and value.
    pub settings: Vec<(&'static str, String)>,
    /// Who may come in; by default the tokens of [`merchant_tokens`].
    pub verifier: Arc<dyn TokenVerifier>,
    /// What a logout token ends; by default none is known.
    pub logouts: Arc<dyn LogoutVerifier>,
    /// Which machines the identity provider lets in; by default none.
    pub client_tokens: Arc<dyn ClientTokens>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Time.
    pub clock: Arc<ManualClock>,
    /// Whether [`TestServer::sign_in`] adds the people of [`merchant_tokens`]; otherwise the test brings its own.
    pub people: bool,
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
            people: true,
        }
    }
}

/// The tokens `ann`, `bob` (of [`MERCHANT`]), `eve` (of [`OTHER_MERCHANT`]) and `lost` (of none).
#[must_use]
pub fn merchant_tokens() -> FixedVerifier {
    let people = [("ann", Some(MERCHANT)), ("bob", Some(MERCHANT)), ("eve", Some(OTHER_MERCHANT)), ("lost", None)];
    FixedVerifier::new(people.map(|(name, merchant_id)| {
        (name.to_owned(), Principal::fixed(UserId::parse(name).expect("a name"), merchant_id))
    }))
}

/// A running server and a client for it.
pub struct TestServer {
    /// Where it listens: `http://127.0.0.1:port`.
    pub url: String,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// Its store.
    pub storage: Storage,
    client: Client,
    signed_in: OnceCell<()>,
    provision: ProvisionDevices,
    server: HttpServer,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as text.
    pub text: String,
}

impl TestServer {
    /// Starts a server on `opened`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(opened: &OpenedStorage, options: Options) -> Self {
        let defaults = [
            ("POS__HTTP__BIND", "127.0.0.1:0".to_owned()),
            ("POS__HTTP__WORKERS", "2".to_owned()),
            // The clock stands still, so that no pause would ever end a burst.
            ("POS__LIMITS__DEVICE_PER_MINUTE", "0".to_owned()),
        ];
        let settings: BTreeMap<_, _> = defaults.into_iter().chain(options.settings).collect();
        let variables = settings.into_iter().map(|(key, value)| (key.to_owned(), value));
        let settings = Settings::load(None, variables).expect("the test's settings");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let clock: Arc<dyn Clock> = options.clock.clone();
        let parts = Parts {
            settings,
            storage: opened.clone(),
            verifier: options.verifier,
            logouts: options.logouts,
            client_tokens: options.client_tokens,
            clock: clock.clone(),
            entropy: options.entropy,
        };
        let server = HttpServer::start(listener, &parts).expect("a server");
        let storage = opened.storage.clone();
        Self {
            url: format!("http://{}", server.address()),
            clock: options.clock,
            signed_in: OnceCell::new_with((!options.people).then_some(())),
            provision: ProvisionDevices::new(storage.fleet.clone(), clock, Arc::new(SystemEntropy)),
            storage,
            client: Client::builder().no_proxy().build().expect("a client"),
            server,
        }
    }

    /// Stops it as a signal does: requests under way are finished.
    ///
    /// # Panics
    /// When it fails meanwhile.
    pub async fn stop_gracefully(self) {
        self.server.serve_until(std::future::ready(()), std::future::pending()).await.expect("an orderly end");
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.abort().await;
    }

    /// Adds the merchants and members of [`merchant_tokens`], with their sessions, once.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn sign_in(&self) {
        self.signed_in.get_or_init(|| people::sign_in(&self.storage)).await;
    }

    /// Provisions a device for [`MERCHANT`] and answers its id.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn device(&self) -> String {
        self.sign_in().await;
        let ids = self.provision.some(1, MERCHANT, &Act::operator()).await.expect("a device");
        ids.first().map(DeviceId::to_string).expect("one id")
    }

    /// A request to `path`, as yet without headers.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A terminal's call with its three headers.
    pub async fn terminal(&self, method: Method, path: &str, device_id: &str) -> Answer {
        let request = self.request(method, path).header("X-Device-Id", device_id);
        send(request.header("User-Agent", USER_AGENT).header("X-Client-Type", "pos")).await
    }

    /// A new code for a device.
    ///
    /// # Panics
    /// When none is given.
    pub async fn code(&self, device_id: &str) -> String {
        let answer = self.terminal(Method::POST, "/pos/pairing-code", device_id).await;
        answer.json()["pairing_code"].as_str().unwrap_or_else(|| panic!("no code: {answer:?}")).to_owned()
    }

    /// A claim with a body that is JSON.
    ///
    /// # Panics
    /// When the server does not answer at all.
    pub async fn claim(&self, token: &str, body: &Value) -> Answer {
        self.sign_in().await;
        send(self.request(Method::POST, "/pos/claim").bearer_auth(token).json(body)).await
    }
}

/// Sends a request and reads the answer to its end.
///
/// # Panics
/// When the server does not answer at all.
pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a body") }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = HeaderName::try_from(name).ok()?;
        self.headers.get(name).map(HeaderValue::to_str).and_then(Result::ok)
    }

    /// Checks that this is a failure in the one envelope, with this status and code, and answers its message.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn failure(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["error"]["code"].as_str()), (status, Some(code)), "{self:?}");
        let trace_id = body["error"]["trace_id"].as_str().unwrap_or_default();
        assert!(trace_id.len() == 32 && trace_id.bytes().all(|b| b.is_ascii_hexdigit()), "{self:?}");
        assert_eq!(self.header("x-trace-id"), Some(trace_id), "{self:?}");
        let known = ["code", "message", "details", "trace_id"];
        let fields = body["error"].as_object().expect("an object");
        assert!(fields.keys().all(|field| known.contains(&field.as_str())), "{self:?}");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{self:?}");
        body["error"]["message"].as_str().expect("a message").to_owned()
    }

    /// The seconds of `Retry-After`.
    ///
    /// # Panics
    /// When it is missing or no number.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        let seconds = self.header("retry-after").and_then(|seconds| seconds.parse().ok());
        seconds.unwrap_or_else(|| panic!("no Retry-After: {self:?}"))
    }

    /// Checks that `Retry-After` asks for this wait, or for a little more, so that not all come back at once.
    ///
    /// # Panics
    /// When it does not.
    pub fn assert_sent_away_for(&self, seconds: u64) {
        let longest = seconds + (seconds / 4).max(1);
        assert!((seconds..=longest).contains(&self.retry_after()), "{self:?}");
    }

    /// `error.details`.
    #[must_use]
    pub fn details(&self) -> Value {
        self.json()["error"]["details"].clone()
    }
}
