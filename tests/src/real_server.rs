//! A server in the test's own process, wired as `pos-server serve` wires it: a store and an identity provider that the
//! settings name, and the shipped defaults. It knows the resellers, merchants and people of [`crate::people`]. For tests of how it gets on with a provider, whose tokens carry the real time: its clock shows the
//! system's, and can be moved ahead of it.

use std::net::TcpListener;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_adapters::storage;
use pos_application::ProvisionDevices;
use pos_domain::{Act, MerchantId};
use pos_port_clock::Clock;
use pos_server::http_server::HttpServer;
use pos_server::settings::Settings;
use pos_server::wiring::Parts;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::issuer::PORTAL;
use crate::people::{AUDIENCE, ApiClient};
use crate::population::populate;
use crate::server::{Answer, USER_AGENT, send};
use crate::stores::{options, sqlite_url};

/// The system's clock, moved by so many seconds.
#[derive(Default)]
struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now(&self) -> OffsetDateTime {
        SystemClock.now() + time::Duration::seconds(self.0.load(Ordering::SeqCst))
    }
}

/// Where people come in, as the default settings have it.
pub const HOST: &str = "merchant.viopay.io";

/// A running server on an SQLite file of its own.
pub struct RealServer {
    clock: Arc<MovedClock>,
    url: String,
    client: Client,
    provision: ProvisionDevices,
    server: HttpServer,
    _folder: TempDir,
}

impl RealServer {
    /// Starts one that trusts `issuer`. `settings` are `POS__SECTION__KEY` and value.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start(issuer: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        storage::migrate(&options(sqlite_url(&folder))).await.unwrap();
        let database = format!("sqlite://{}", folder.path().join("pos.db").display());
        let own = [
            ("POS__HTTP__WORKERS", "2"),
            ("POS__LIMITS__DEVICE_PER_MINUTE", "0"),
            ("POS__DATABASE__URL", &database),
            ("POS__IDENTITY__ISSUER", issuer),
            ("POS__IDENTITY__AUDIENCE", AUDIENCE),
            ("POS__IDENTITY__LOGOUT_CLIENTS", PORTAL),
        ];
        let variables = own.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let clock = Arc::new(MovedClock::default());
        let settings = Settings::load(None, variables).expect("the test's settings");
        let parts = Parts::by_clock(settings, clock.clone()).await.expect("parts");
        let server = HttpServer::start(TcpListener::bind("127.0.0.1:0").unwrap(), &parts).expect("a server");
        populate(&parts.storage.storage).await;
        let fleet = parts.storage.storage.fleet.clone();
        Self {
            clock,
            url: format!("http://{}", server.address()),
            client: Client::builder().no_proxy().build().unwrap(),
            provision: ProvisionDevices::new(fleet, Arc::new(SystemClock), Arc::new(SystemEntropy)),
            server,
            _folder: folder,
        }
    }

    /// Moves its clock on, or back: the provider's stays.
    pub fn move_clock(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Where it wants to be told of log-outs.
    #[must_use]
    pub fn backchannel_logout_uri(&self) -> String {
        format!("{}/session/backchannel-logout", self.url)
    }

    /// Initiates the session of a person's token.
    pub async fn initiate(&self, token: &str) -> Answer {
        let request = self.request(Method::POST, "/session/initiate").bearer_auth(token);
        send(request.json(&json!({ "host": HOST }))).await
    }

    /// Lets a machine in with its own secret.
    pub async fn client_session(&self, client: ApiClient) -> Answer {
        self.client_session_at("/client/session", client, &client.secret()).await
    }

    /// Lets a machine in by either name of the route, or keeps it out.
    pub async fn client_session_at(&self, path: &str, client: ApiClient, secret: &str) -> Answer {
        let body = json!({ "client_id": client.client_id, "client_secret": secret });
        send(self.request(Method::POST, path).json(&body)).await
    }

    /// The token of a machine that is let in.
    ///
    /// # Panics
    /// When it is not.
    pub async fn machine(&self, client: ApiClient) -> String {
        let answer = self.client_session(client).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// A call for a merchant or a reseller, with a token.
    pub async fn call(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let request = self.request(method, path).bearer_auth(token);
        send(body.into_iter().fold(request, RequestBuilder::json)).await
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.abort().await;
    }

    /// A new device of a merchant.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn device(&self, merchant: Uuid) -> String {
        let ids = self.provision.some(1, MerchantId(merchant), &Act::operator()).await.expect("a device");
        ids.first().expect("one id").to_string()
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

    /// A claim of a code.
    pub async fn claim(&self, token: &str, code: &str) -> Answer {
        let request = self.request(Method::POST, "/pos/claim").bearer_auth(token);
        send(request.json(&json!({ "pairing_code": code }))).await
    }

    /// A claim of a fresh code of a new device of a merchant.
    pub async fn claim_new_device(&self, token: &str, merchant: Uuid) -> Answer {
        let code = self.code(&self.device(merchant).await).await;
        self.claim(token, &code).await
    }

    /// `GET /health/ready`.
    pub async fn ready(&self) -> Answer {
        send(self.request(Method::GET, "/health/ready")).await
    }
}
