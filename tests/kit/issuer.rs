//! Identity provider for tests: one interface over a real Keycloak and the development issuer.
//!
//! Both have the users of [`crate::users`], so each test runs against both and checks that they behave the same.

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
use crate::users::{ApiClient, User, dev_idp_settings};

/// The client with direct access grants (password grant).
pub const TEST_LOGIN: &str = "test-login";
/// Like [`TEST_LOGIN`], with access tokens that expire after five seconds.
pub const TEST_LOGIN_SHORT: &str = "test-login-short";
/// The client of the portal's pages.
pub const PORTAL: &str = "portal";
/// The portal's redirect URI.
pub const CALLBACK: &str = "http://localhost:3000/callback";

/// Serializes log-ins: tests run in parallel, and Keycloak's brute-force protection rejects concurrent log-ins of one user.
static LOGIN_LOCK: Mutex<()> = Mutex::const_new(());

/// An identity provider with the example realm.
pub struct Issuer {
    /// The `iss` claim of its tokens.
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
    Transitioning,
}

/// A successful token response.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token, sent as a Bearer token.
    pub access: String,
    /// The refresh token; a service account gets none.
    pub refresh: Option<String>,
    /// The ID token, if the scope `openid` was requested.
    pub id: Option<String>,
    /// The client that requested the tokens.
    pub client_id: String,
}

/// An error response of the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error` (RFC 6749, section 5.2).
    pub error: String,
}

impl Issuer {
    /// A development issuer for this test alone, on the system clock.
    pub async fn dev_idp() -> Self {
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let clock = Arc::new(SystemClock);
        let idp = DevIdp::start(dev_idp_settings(), any_port, clock, Arc::new(SystemEntropy)).await.unwrap();
        let (url, running) = (idp.issuer().to_owned(), Mutex::new(DevIdpState::Running(idp)));
        Self { url, kind: Kind::DevIdp(running), http: client() }
    }

    /// The Keycloak that all tests share; `None` if it is not available.
    pub async fn keycloak() -> Option<Self> {
        Keycloak::shared().await.map(Self::of_keycloak)
    }

    /// The shared Keycloak, locked for this test, which may rotate its keys and stop it.
    pub async fn keycloak_exclusive() -> Option<Self> {
        Keycloak::exclusive().await.map(Self::of_keycloak)
    }

    fn of_keycloak(keycloak: Keycloak) -> Self {
        Self { url: keycloak.issuer.clone(), kind: Kind::Keycloak(keycloak), http: client() }
    }

    /// Requests a user's tokens with the password grant.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn token(&self, user: User, client_id: &str) -> Result<Tokens, Refusal> {
        let password = user.password();
        let _guard = LOGIN_LOCK.lock().await;
        let form = [
            ("grant_type", "password"),
            ("scope", "openid"),
            ("client_id", client_id),
            ("username", user.name),
            ("password", &password),
        ];
        self.request_tokens(client_id, &form).await
    }

    /// Logs a user in at the portal: authorization code with PKCE, through the log-in form.
    ///
    /// # Panics
    /// If no code is returned.
    pub async fn login(&self, user: User) -> Tokens {
        let log_in = LogIn::begin(&self.http, &self.url).await;
        let code = log_in.submit(user.name, &user.password()).await.expect("a code");
        log_in.redeem(self, &code).await.expect("tokens")
    }

    /// Starts a log-in at the portal, for tests that perform the steps themselves.
    pub async fn browser(&self) -> LogIn {
        LogIn::begin(&self.http, &self.url).await
    }

    /// Requests an API client's token with the given secret.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn client_token(&self, client: ApiClient, secret: &str) -> Result<Tokens, Refusal> {
        let id = client.client_id;
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        self.request_tokens(id, &form).await
    }

    /// Requests new tokens of the same session.
    ///
    /// # Errors
    /// [`Refusal`], for example if the session has ended.
    pub async fn refresh(&self, tokens: &Tokens) -> Result<Tokens, Refusal> {
        let refresh = tokens.refresh.as_deref().expect("a refresh token");
        let form = [("grant_type", "refresh_token"), ("client_id", &tokens.client_id), ("refresh_token", refresh)];
        self.request_tokens(&tokens.client_id, &form).await
    }

    /// Ends the session of the tokens.
    ///
    /// # Panics
    /// If the provider rejects the request.
    pub async fn logout(&self, tokens: &Tokens) {
        let refresh = tokens.refresh.as_deref().expect("a refresh token");
        let form = [("client_id", tokens.client_id.as_str()), ("refresh_token", refresh)];
        let answer = self.http.post(self.endpoint("logout")).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }

    /// Sets the portal's back-channel logout URI and returns the previous one, which the test must restore.
    ///
    /// # Panics
    /// If the provider is stopped, or shared with other tests.
    pub async fn set_backchannel_logout_uri(&self, address: &str) -> String {
        match &self.kind {
            Kind::Keycloak(keycloak) => keycloak.set_backchannel_logout_uri(PORTAL, address).await,
            Kind::DevIdp(state) => match &*state.lock().await {
                DevIdpState::Running(idp) => idp.set_backchannel_logout_uri(PORTAL, Some(address)).expect("an address"),
                DevIdpState::Halted(_) | DevIdpState::Transitioning => panic!("the provider is stopped"),
            },
        }
    }

    /// Activates a new signing key. The old keys stay published unless `drop_old` is set.
    ///
    /// # Panics
    /// If the provider is stopped, or shared with other tests.
    pub async fn rotate_keys(&self, drop_old: bool) {
        match &self.kind {
            Kind::Keycloak(keycloak) => keycloak.rotate_keys(drop_old).await,
            Kind::DevIdp(state) => match &*state.lock().await {
                DevIdpState::Running(idp) => idp.rotate_keys(drop_old).await.unwrap(),
                DevIdpState::Halted(_) | DevIdpState::Transitioning => panic!("the provider is stopped"),
            },
        }
    }

    /// Stops the provider, which keeps its keys and sessions.
    pub async fn stop(&self) {
        match &self.kind {
            Kind::Keycloak(keycloak) => keycloak.halt().await,
            Kind::DevIdp(state) => {
                let mut state = state.lock().await;
                *state = match std::mem::replace(&mut *state, DevIdpState::Transitioning) {
                    DevIdpState::Running(idp) => DevIdpState::Halted(idp.halt().await),
                    other => other,
                };
            }
        }
    }

    /// Starts the provider again, at the same address.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(&self) {
        match &self.kind {
            Kind::Keycloak(keycloak) => keycloak.resume().await,
            Kind::DevIdp(state) => {
                let mut state = state.lock().await;
                *state = match std::mem::replace(&mut *state, DevIdpState::Transitioning) {
                    DevIdpState::Halted(idp) => DevIdpState::Running(idp.resume().unwrap()),
                    other => other,
                };
            }
        }
    }

    fn endpoint(&self, name: &str) -> String {
        format!("{}/protocol/openid-connect/{name}", self.url)
    }

    async fn request_tokens(&self, client_id: &str, form: &[(&str, &str)]) -> Result<Tokens, Refusal> {
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

/// A token's claims, unverified.
///
/// # Panics
/// If the text is not a token.
#[must_use]
pub fn claims(token: &str) -> Value {
    decode_part(token, 1)
}

/// The `kid` of a token's header.
///
/// # Panics
/// If the header has no `kid`.
#[must_use]
pub fn key_id(token: &str) -> String {
    decode_part(token, 0)["kid"].as_str().expect("a key id").to_owned()
}

fn decode_part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("a token");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// A client that follows no redirects: the redirect URI points to a portal that does not run in tests.
fn client() -> Client {
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().expect("a client")
}
