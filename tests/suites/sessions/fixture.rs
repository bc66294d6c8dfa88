//! Fixture of the session suites: an issuer, a tenant directory, and servers that use both.

use std::sync::Arc;

use pos_adapters::clock::SystemEntropy;
use pos_adapters::identity::oidc::{OidcClientTokens, OidcSettings, OidcVerifier};
use pos_adapters::storage::OpenedStorage;
use pos_application::test_support::{OTHER_RESELLER, RESELLER, SISTER, TestApp};
use pos_dev_idp::{DevIdp, DevIdpSettings, MintOptions, RunningDevIdp};
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{ApiClientId, AuditContext, GrantId, MerchantId, Party, Role};
use pos_domain::tenancy::{ApiClient, SecretHash};
use pos_port_clock::{Clock as _, ManualClock};
use pos_port_storage::Storage;
use pos_tests::app::app_at;
use pos_tests::server::{Answer, MERCHANT, OTHER_MERCHANT, Options, START, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::{Value, json};
use time::Duration;
use uuid::Uuid;

/// A merchant of [`OTHER_RESELLER`].
pub(crate) const DISTANT: MerchantId = MerchantId(Uuid::from_u128(0x4444));
pub(crate) const SECRET: &str = "battery&staple+ 7";
pub(crate) const HOST: &str = "merchant.viopay.io";
pub(crate) const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The tokens of a log-in.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) session_id: String,
}

pub(crate) struct SessionFixture {
    pub(crate) app: TestApp,
    pub(crate) idp: RunningDevIdp,
    pub(crate) store: TestStore,
}

fn realm() -> DevIdpSettings {
    let (shop, other, reseller) = (MERCHANT.to_string(), OTHER_MERCHANT.to_string(), RESELLER.to_string());
    let user = |name: &str, more: Value| {
        let mut user = json!({ "username": name, "password": "pw", "sub": name });
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        user
    };
    let settings = json!({
        "audience": "pos-activation",
        "users": [
            user("ann", json!({"merchant_id": shop, "roles": ["merchant-admin"]})),
            user("vic", json!({"merchant_id": shop, "roles": ["merchant-viewer"]})),
            user("modest", json!({"merchant_id": shop, "roles": ["merchant-admin"]})),
            user("roleless", json!({"merchant_id": shop})),
            user("stranger", json!({"merchant_id": shop, "roles": ["merchant-admin"]})),
            user("eve", json!({"merchant_id": other, "roles": ["merchant-admin"]})),
            user("rob", json!({"reseller_id": reseller, "roles": ["reseller-admin", "merchant-admin"]})),
            user("branch", json!({"merchant_id": shop, "reseller_id": reseller, "roles": ["merchant-admin"]})),
            user("misled", json!({"merchant_id": other, "reseller_id": reseller, "roles": ["merchant-admin"]})),
            user("sara", json!({"merchant_id": SISTER.to_string(), "roles": ["merchant-admin"]})),
            user("rita", json!({"reseller_id": reseller, "roles": ["reseller-admin"]})),
            user("rex", json!({"reseller_id": reseller, "roles": ["reseller-viewer"]})),
            user("olga", json!({"reseller_id": OTHER_RESELLER.to_string(), "roles": ["reseller-admin"]})),
            user("lost", json!({"roles": ["merchant-admin"]})),
        ],
        "clients": [
            {"client_id": "portal"},
            {"client_id": "till", "secret": SECRET, "merchant_id": shop, "roles": ["merchant-admin"]},
            {"client_id": "bare", "secret": SECRET},
            {"client_id": "elsewhere", "secret": SECRET, "merchant_id": other},
            {"client_id": "fleet", "secret": SECRET, "reseller_id": reseller, "roles": ["reseller-viewer"]},
            {"client_id": "renamed", "secret": "another secret at the provider"},
        ],
    });
    serde_json::from_value(settings).unwrap()
}

impl SessionFixture {
    pub(crate) async fn new(store: TestStore) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let address = ([127, 0, 0, 1], 0).into();
        let idp = DevIdp::start(realm(), address, clock.clone(), Arc::new(SystemEntropy)).await.unwrap();
        let app = app_at(&store.opened().storage, &clock);
        let fixture = Self { app, idp, store };
        fixture.populate().await;
        fixture
    }

    async fn populate(&self) {
        for (id, name) in [(RESELLER, "Northern Terminals"), (OTHER_RESELLER, "Southern Terminals")] {
            self.app.add_reseller(id, name).await;
        }
        for (id, name, reseller) in [
            (MERCHANT, "Corner Shop", Some(RESELLER)),
            (OTHER_MERCHANT, "Other Shop", None),
            (SISTER, "Sister Shop", Some(RESELLER)),
            (DISTANT, "Distant Shop", Some(OTHER_RESELLER)),
        ] {
            self.app.add_merchant(id, name, reseller).await;
        }
        for (user, party, role) in [
            ("sara", Party::Merchant(SISTER), Role::Admin),
            ("rita", Party::Reseller(RESELLER), Role::Operator),
            ("rex", Party::Reseller(RESELLER), Role::Admin),
            ("olga", Party::Reseller(OTHER_RESELLER), Role::Admin),
            ("ann", Party::Merchant(MERCHANT), Role::Admin),
            ("vic", Party::Merchant(MERCHANT), Role::Admin),
            ("modest", Party::Merchant(MERCHANT), Role::Operator),
            ("roleless", Party::Merchant(MERCHANT), Role::Admin),
            ("branch", Party::Merchant(MERCHANT), Role::Operator),
            ("eve", Party::Merchant(OTHER_MERCHANT), Role::Admin),
            ("misled", Party::Merchant(OTHER_MERCHANT), Role::Admin),
            ("rob", Party::Reseller(RESELLER), Role::Admin),
        ] {
            self.app.add_member(user, party, role).await;
        }
        let merchants = [("till", Role::Operator), ("bare", Role::Viewer), ("elsewhere", Role::Operator)];
        for (client, role) in merchants.into_iter().chain([("renamed", Role::Operator), ("unheard-of", Role::Admin)]) {
            self.client(client, Party::Merchant(MERCHANT), role).await;
        }
        self.client("fleet", Party::Reseller(RESELLER), Role::Admin).await;
    }

    /// A client whose secret is [`SECRET`].
    pub(crate) async fn client(&self, id: &str, party: Party, role: Role) -> ApiClient {
        self.app.add_client(id, SECRET, party, role).await
    }

    /// A server on the fixture's store.
    pub(crate) fn server(&self) -> TestServer {
        self.server_on(self.store.opened(), Vec::new())
    }

    /// A server with these settings, and a limit on failed claims that [`has_session`] does not reach.
    pub(crate) fn server_on(&self, opened: &OpenedStorage, mut settings: Vec<(&'static str, String)>) -> TestServer {
        settings.push(("POS__CLAIM__MAX_FAILURES", "1000000".into()));
        let mut oidc = OidcSettings::new(self.idp.issuer(), "pos-activation");
        oidc.logout_clients = vec!["portal".to_owned()];
        let verifier = Arc::new(OidcVerifier::new(oidc.clone(), self.app.clock.clone()).unwrap());
        let client_tokens = Arc::new(OidcClientTokens::new(&oidc, self.app.clock.clone()).unwrap());
        TestServer::start(
            opened,
            Options {
                settings,
                verifier: verifier.clone(),
                logouts: verifier,
                client_tokens,
                clock: self.app.clock.clone(),
                seed_users: false,
                ..Options::default()
            },
        )
    }

    /// Another replica with its own connections.
    pub(crate) async fn replica(&self) -> TestServer {
        self.server_on(&self.store.reopened().await, Vec::new())
    }

    pub(crate) async fn log_in(&self, user: &str) -> Tokens {
        self.request_tokens(&[("grant_type", "password"), ("username", user), ("password", "pw")]).await
    }

    pub(crate) async fn refresh(&self, tokens: &Tokens) -> Tokens {
        self.request_tokens(&[("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh)]).await
    }

    async fn request_tokens(&self, form: &[(&str, &str)]) -> Tokens {
        let url = format!("{}/protocol/openid-connect/token", self.idp.issuer());
        let mut all = vec![("client_id", "portal")];
        all.extend(form);
        let answer: Value = reqwest::Client::new().post(url).form(&all).send().await.unwrap().json().await.unwrap();
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        Tokens { access: text("access_token"), refresh: text("refresh_token"), session_id: text("session_state") }
    }

    /// A token with the usual claims and these changes; `null` removes a claim.
    pub(crate) fn mint(&self, changes: &Value) -> String {
        let now = self.unix_seconds();
        let mut claims = json!({
            "iss": self.idp.issuer(), "aud": "pos-activation", "azp": "portal", "typ": "Bearer", "sub": "ann",
            "iat": now, "exp": now + 300, "merchant_id": MERCHANT.to_string(), "roles": ["merchant-admin"],
        });
        apply_changes(&mut claims, changes);
        self.idp.mint(&claims, MintOptions::default()).unwrap()
    }

    /// A logout token with the usual claims and these changes; `null` removes a claim.
    pub(crate) fn logout_token(&self, changes: &Value) -> String {
        let now = self.unix_seconds();
        let mut claims = json!({
            "iss": self.idp.issuer(), "aud": "portal", "typ": "Logout", "iat": now, "exp": now + 120, "jti": "1",
            "events": { LOGOUT_EVENT: {} },
        });
        apply_changes(&mut claims, changes);
        let header = json!({"typ": "logout+jwt"}).as_object().unwrap().clone();
        self.idp.mint(&claims, MintOptions { header, ..MintOptions::default() }).unwrap()
    }

    pub(crate) fn unix_seconds(&self) -> i64 {
        self.app.clock.now().unix_timestamp()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.app.clock.advance(Duration::seconds(seconds));
    }
}

/// Gives a client another grant and this hash. Returns false if the client is unknown.
pub(super) async fn rotate(storage: &Storage, id: &ApiClientId, hash: &SecretHash) -> bool {
    let audit_event = audit_event(AuditKind::ClientRotated, id);
    storage.clients.rotate(id, GrantId(Uuid::new_v4()), hash, &audit_event).await.unwrap()
}

/// Revokes a client. Returns false if the client is unknown.
pub(super) async fn revoke(storage: &Storage, id: &ApiClientId) -> bool {
    let audit_event = audit_event(AuditKind::ClientRevoked, id);
    storage.clients.revoke(id, START, &audit_event).await.unwrap()
}

fn audit_event(kind: AuditKind, id: &ApiClientId) -> AuditEvent {
    AuditEvent::of(kind, Subject::Client(id.clone()), AuditContext::operator(), START)
}

fn apply_changes(claims: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
}

pub(crate) async fn post(server: &TestServer, path: &str, token: &str, body: &Value) -> Answer {
    send(server.request(Method::POST, path).bearer_auth(token).json(body)).await
}

pub(crate) async fn initiate(server: &TestServer, token: &str) -> Answer {
    post(server, "/session/initiate", token, &json!({ "host": HOST })).await
}

pub(crate) async fn end(server: &TestServer, token: &str) -> Answer {
    send(server.request(Method::POST, "/session/end").bearer_auth(token)).await
}

pub(crate) async fn client_session(server: &TestServer, id: &str, secret: &str) -> Answer {
    let body = json!({ "client_id": id, "client_secret": secret });
    send(server.request(Method::POST, "/client/session").json(&body)).await
}

pub(crate) async fn log_out(server: &TestServer, token: &str) -> Answer {
    let form = [("logout_token", token)];
    send(server.request(Method::POST, "/session/backchannel-logout").form(&form)).await
}

/// Whether a token has a session that acts for a merchant. A claim with an unknown code is answered 400 if so, and 401
/// otherwise.
pub(crate) async fn has_session(server: &TestServer, token: &str) -> bool {
    let answer = server.claim(token, &json!({"pairing_code": "ZZZZZZ"})).await;
    match answer.status.as_u16() {
        400 => true,
        401 => {
            assert_eq!(answer.failure(401, "4001"), "Session has not been initiated");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
            false
        }
        _ => panic!("{answer:?}"),
    }
}

/// A merchant as responses show it.
pub(crate) fn party_json(id: MerchantId, name: &str) -> Value {
    json!({ "id": id.to_string(), "name": name })
}

/// Generates a test of each case on SQLite, on PostgreSQL, and on PostgreSQL through PgBouncer.
macro_rules! on_both_engines {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = pos_tests::stores::TestStore::sqlite().await;
                super::$case($crate::sessions::fixture::SessionFixture::new(store).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = pos_tests::stores::TestStore::postgres().await;
                super::$case($crate::sessions::fixture::SessionFixture::new(store).await).await;
            })+
        }
        mod pgbouncer {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let store = pos_tests::stores::TestStore::pgbouncer().await;
                super::$case($crate::sessions::fixture::SessionFixture::new(store).await).await;
            })+
        }
    };
}

pub(crate) use on_both_engines;
