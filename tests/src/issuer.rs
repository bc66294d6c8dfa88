//! One interface over a real Keycloak and over the development issuer, both with the people of [`crate::people`], so
//! that a test is written once and holds both to one behaviour.

mod browser;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_dev_idp::{DevIdp, HaltedDevIdp, RunningDevIdp};
use reqwest::{Client, redirect};
use serde_json::Value;
use tokio::sync::Mutex;

pub use browser::LogIn;

use crate::keycloak::Keycloak;
use crate::people::{ApiClient, Person, dev_idp_settings};

/// The client that takes passwords.
pub const TEST_LOGIN: &str = "test-login";
/// The same, but what it gets holds for five seconds only.
pub const TEST_LOGIN_SHORT: &str = "test-login-short";
/// The portal's pages.
pub const PORTAL: &str = "portal";
/// Where a log-in at the portal leads back to.
pub const CALLBACK: &str = "http://localhost:3000/callback";

/// Keycloak's guard against guessing refuses a person who logs in twice at the same moment, and the tests run side by side.
static ONE_LOG_IN_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// An identity provider with the example realm.
pub struct Issuer {
    /// As in the tokens' `iss`.
    pub url: String,
    kind: Kind,
    http: Client,
}

enum Kind {
    Keycloak(Keycloak),
    DevIdp(Mutex<DevIdpState>),
}

enum DevIdpState {
    Running(RunningDevIdp),
    Halted(HaltedDevIdp),
    Changing,
}

/// What the token endpoint gave.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// To be sent as Bearer.
    pub access: String,
    /// For new ones; a service account gets none.
    pub refresh: Option<String>,
    /// For the client, when `openid` was asked for.
    pub id: Option<String>,
    /// Which client got them.
    pub client_id: String,
}

/// Why the token endpoint gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error` (RFC 6749, section 5.2).
    pub error: String,
}

impl Issuer {
    /// The development issuer, this test's own, on the system's clock.
    pub async fn dev_idp() -> Self {
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let clock = Arc::new(SystemClock);
        let idp = DevIdp::start(dev_idp_settings(), any_port, clock, Arc::new(SystemEntropy)).await.unwrap();
        let (url, running) = (idp.issuer().to_owned(), Mutex::new(DevIdpState::Running(idp)));
        Self { url, kind: Kind::DevIdp(running), http: client() }
    }

    /// The Keycloak of all tests; `None` when there is none here.
    pub async fn keycloak() -> Option<Self> {
        Keycloak::shared().await.map(Self::of_keycloak)
    }

    /// The Keycloak of all tests, while this test has it alone and may change its keys and take it down.
    pub async fn keycloak_alone() -> Option<Self> {
        Keycloak::alone().await.map(Self::of_keycloak)
    }

    fn of_keycloak(keycloak: Keycloak) -> Self {
        Self { url: keycloak.issuer.clone(), kind: Kind::Keycloak(keycloak), http: client() }
    }

    /// Tokens for a person by name and password, through a client that may do that.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn token(&self, person: Person, client_id: &str) -> Result<Tokens, Refusal> {
        let password = person.password();
        let _alone = ONE_LOG_IN_AT_A_TIME.lock().await;
        let form = [
            ("grant_type", "password"),
            ("scope", "openid"),
            ("client_id", client_id),
            ("username", person.name),
            ("password", &password),
        ];
        self.ask(client_id, &form).await
    }

    /// Tokens for a person who logs in at the portal: authorization code with PKCE, through the form in the browser.
    ///
    /// # Panics
    /// When it does not come to a code.
    pub async fn login(&self, person: Person) -> Tokens {
        let log_in = LogIn::begin(&self.http, &self.url).await;
        let code = log_in.submit(person.name, &person.password()).await.expect("a code");
        log_in.redeem(self, &code).await.expect("tokens")
    }

    /// A log-in at the portal, step by step.
    pub async fn browser(&self) -> LogIn {
        LogIn::begin(&self.http, &self.url).await
    }

    /// A token for a machine, with its own secret or another.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn client_token(&self, client: ApiClient, secret: &str) -> Result<Tokens, Refusal> {
        let id = client.client_id;
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        self.ask(id, &form).await
    }

    /// New tokens of the same session.
    ///
    /// # Errors
    /// [`Refusal`], when the session has ended for example.
    pub async fn refresh(&self, tokens: &Tokens) -> Result<Tokens, Refusal> {
        let refresh = tokens.refresh.as_deref().expect("a refresh token");
        let form = [("grant_type", "refresh_token"), ("client_id", &tokens.client_id), ("refresh_token", refresh)];
        self.ask(&tokens.client_id, &form).await
    }

    /// Ends the session that the tokens belong to.
    ///
    /// # Panics
    /// When the provider refuses.
    pub async fn logout(&self, tokens: &Tokens) {
        let refresh = tokens.refresh.as_deref().expect("a refresh token");
        let form = [("client_id", tokens.client_id.as_str()), ("refresh_token", refresh)];
        let answer = self.http.post(self.endpoint("logout")).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }

    /// Has the portal told of log-outs at another address until [`Issuer::tell_of_log_outs_at`] is called with what this
    /// answers: the address before.
    ///
    /// # Panics
    /// When the provider is away, or shared with other tests.
    pub async fn tell_of_log_outs_at(&self, address: &str) -> String {
        match &self.kind {
            Kind::Keycloak(keycloak) => keycloak.set_backchannel_logout_uri(PORTAL, address).await,
            Kind::DevIdp(state) => match &*state.lock().await {
                DevIdpState::Running(idp) => idp.set_backchannel_logout_uri(PORTAL, Some(address)).expect("an address"),
                DevIdpState::Halted(_) | DevIdpState::Changing => panic!("it is away"),
            },
        }
    }

    /// Puts a new signing key in use. Those before stay published, or with `drop_old` are withdrawn.
    ///
    /// # Panics
    /// When the provider is away, or shared with other tests.
    pub async fn rotate_keys(&self, drop_old: bool) {
        match &self.kind {
            Kind::Keycloak(keycloak) => keycloak.rotate_keys(drop_old).await,
            Kind::DevIdp(state) => match &*state.lock().await {
                DevIdpState::Running(idp) => idp.rotate_keys(drop_old).await.unwrap(),
                DevIdpState::Halted(_) | DevIdpState::Changing => panic!("it is away"),
            },
        }
    }

    /// Takes the provider down. It remembers its keys and sessions.
    pub async fn stop(&self) {
        match &self.kind {
            Kind::Keycloak(keycloak) => keycloak.halt().await,
            Kind::DevIdp(state) => {
                let mut state = state.lock().await;
                *state = match std::mem::replace(&mut *state, DevIdpState::Changing) {
                    DevIdpState::Running(idp) => DevIdpState::Halted(idp.halt().await),
                    other => other,
                };
            }
        }
    }

    /// Brings the provider back, where it was.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn start(&self) {
        match &self.kind {
            Kind::Keycloak(keycloak) => keycloak.resume().await,
            Kind::DevIdp(state) => {
                let mut state = state.lock().await;
                *state = match std::mem::replace(&mut *state, DevIdpState::Changing) {
                    DevIdpState::Halted(idp) => DevIdpState::Running(idp.resume().unwrap()),
                    other => other,
                };
            }
        }
    }

    fn endpoint(&self, name: &str) -> String {
        format!("{}/protocol/openid-connect/{name}", self.url)
    }

    async fn ask(&self, client_id: &str, form: &[(&str, &str)]) -> Result<Tokens, Refusal> {
        let response = self.http.post(self.endpoint("token")).form(form).send().await.expect("the issuer answers");
        let status = response.status().as_u16();
        let answer: Value = response.json().await.expect("JSON");
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let Some(access) = text("access_token").filter(|_| status == 200) else {
            return Err(Refusal { status, error: text("error").unwrap_or_default() });
        };
        Ok(Tokens { access, refresh: text("refresh_token"), id: text("id_token"), client_id: client_id.to_owned() })
    }
}

/// What a token says, unverified.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The key a token says it was signed with.
///
/// # Panics
/// When it says none.
#[must_use]
pub fn key_id(token: &str) -> String {
    part(token, 0)["kid"].as_str().expect("a key id").to_owned()
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("a token");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// One that follows nobody, because the way back leads to a portal that is not there.
fn client() -> Client {
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().expect("a client")
}
