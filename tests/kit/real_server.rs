//! In-process server with the wiring of `pos-server serve`: store, identity provider and defaults come from settings.
//!
//! It has the resellers, merchants and users of [`crate::users`]. It is for tests against an identity provider, whose
//! tokens carry the real time: its clock is the system clock plus an offset.

use std::net::TcpListener;

use pos_adapters::clock::SystemClock;
use pos_adapters::storage;
use pos_application::test_support::TestApp;
use pos_domain::shared::{AuditContext, MerchantId};
use pos_port_clock::Clock;
use pos_server::http_server::HttpServer;
use pos_server::settings::Settings;
use pos_server::wiring::Dependencies;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::app::app;
use crate::issuer::PORTAL;
use crate::seed::seed_directory;
use crate::server::{Answer, as_terminal, send};
use crate::stores::{options, sqlite_url};
use crate::users::{AUDIENCE, ApiClient};

/// The system clock plus an offset in seconds.
#[derive(Default)]
struct OffsetClock(AtomicI64);

impl Clock for OffsetClock {
    fn now(&self) -> OffsetDateTime {
        SystemClock.now() + time::Duration::seconds(self.0.load(Ordering::SeqCst))
    }
}

/// The portal's host in the default settings.
pub const HOST: &str = "merchant.viopay.io";

/// A running server on an SQLite file of its own.
pub struct RealServer {
    clock: Arc<OffsetClock>,
    url: String,
    client: Client,
    app: TestApp<SystemClock>,
    server: HttpServer,
    _folder: TempDir,
}

impl RealServer {
    /// Starts a server that trusts `issuer`. `settings` are pairs of `POS__SECTION__KEY` and value.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start(issuer: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        storage::migrate(&options(sqlite_url(&folder))).await.unwrap();
        let database = format!("sqlite://{}", folder.path().join("pos.db").display());
        let base = [
            ("POS__HTTP__WORKERS", "2"),
            ("POS__LIMITS__DEVICE_PER_MINUTE", "0"),
            ("POS__DATABASE__URL", &database),
            ("POS__IDENTITY__ISSUER", issuer),
            ("POS__IDENTITY__AUDIENCE", AUDIENCE),
            ("POS__IDENTITY__LOGOUT_CLIENTS", PORTAL),
        ];
        let variables = base.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let clock = Arc::new(OffsetClock::default());
        let settings = Settings::load(None, variables).expect("the test's settings");
        let dependencies = Dependencies::with_clock(settings, clock.clone()).await.expect("dependencies");
        let server = HttpServer::start(TcpListener::bind("127.0.0.1:0").unwrap(), &dependencies).expect("a server");
        seed_directory(&dependencies.storage.storage).await;
        Self {
            clock,
            url: format!("http://{}", server.address()),
            client: Client::builder().no_proxy().build().unwrap(),
            app: app(&dependencies.storage.storage),
            server,
            _folder: folder,
        }
    }

    /// Moves the server's clock, forwards or backwards. The provider's clock is unchanged.
    pub fn move_clock(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Its back-channel logout URI.
    #[must_use]
    pub fn backchannel_logout_uri(&self) -> String {
        format!("{}/session/backchannel-logout", self.url)
    }

    /// Initiates the session of a user's token.
    pub async fn initiate(&self, token: &str) -> Answer {
        let request = self.request(Method::POST, "/session/initiate").bearer_auth(token);
        send(request.json(&json!({ "host": HOST }))).await
    }

    /// Requests a session for an API client with its own secret.
    pub async fn client_session(&self, client: ApiClient) -> Answer {
        self.client_session_at("/client/session", client, &client.secret()).await
    }

    /// Requests a session for an API client at either path of the route, with the given secret.
    pub async fn client_session_at(&self, path: &str, client: ApiClient, secret: &str) -> Answer {
        let body = json!({ "client_id": client.client_id, "client_secret": secret });
        send(self.request(Method::POST, path).json(&body)).await
    }

    /// The access token of a new session of an API client.
    ///
    /// # Panics
    /// If the request is rejected.
    pub async fn client_access_token(&self, client: ApiClient) -> String {
        let answer = self.client_session(client).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// Sends an authenticated request, with an optional JSON body.
    pub async fn call(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let request = self.request(method, path).bearer_auth(token);
        send(body.into_iter().fold(request, RequestBuilder::json)).await
    }

    /// Stops the server.
    pub async fn stop(self) {
        self.server.abort().await;
    }

    /// Provisions a device for a merchant and returns its id.
    ///
    /// # Panics
    /// If the store returns an error.
    pub async fn device(&self, merchant: Uuid) -> String {
        let ids =
            self.app.fleet.provision.some(1, MerchantId(merchant), &AuditContext::operator()).await.expect("a device");
        ids.first().expect("one id").to_string()
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

    /// Claims a code.
    pub async fn claim(&self, token: &str, code: &str) -> Answer {
        let request = self.request(Method::POST, "/pos/claim").bearer_auth(token);
        send(request.json(&json!({ "pairing_code": code }))).await
    }

    /// Claims a new code of a new device of a merchant.
    pub async fn claim_new_device(&self, token: &str, merchant: Uuid) -> Answer {
        let code = self.code(&self.device(merchant).await).await;
        self.claim(token, &code).await
    }

    /// `GET /health/ready`.
    pub async fn ready(&self) -> Answer {
        send(self.request(Method::GET, "/health/ready")).await
    }
}
