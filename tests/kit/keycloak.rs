//! Keycloak for tests: one process for all tests, started by `scripts/test-keycloak`.
//!
//! Most tests share it ([`Keycloak::shared`]). A test that rotates its keys or stops it locks it
//! ([`Keycloak::exclusive`]). If it cannot be started, for lack of Java for example, tests that need it are skipped, with
//! a notice on standard error that output capture does not hide.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The administrator's log-in, as `scripts/test-keycloak` creates it.
const ADMIN: [(&str, &str); 4] =
    [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "admin"), ("password", "throw-away")];
/// Exit code of the script if a prerequisite is missing on this machine.
const MISSING_PREREQUISITE: i32 = 3;

static ISSUER: OnceCell<Option<String>> = OnceCell::const_new();
static IN_USE: RwLock<()> = RwLock::const_new(());

/// A running Keycloak and the lock on it.
pub struct Keycloak {
    /// The realm's issuer.
    pub issuer: String,
    http: Client,
    _lock: Lock,
}

enum Lock {
    Shared(#[expect(dead_code, reason = "held until the test ends")] RwLockReadGuard<'static, ()>),
    Exclusive(#[expect(dead_code, reason = "held until the test ends")] RwLockWriteGuard<'static, ()>),
}

impl Keycloak {
    /// Locks Keycloak for use beside other tests. Returns `None` if it is not available.
    pub async fn shared() -> Option<Self> {
        let issuer = issuer().await?;
        Some(Self { issuer, http: client(), _lock: Lock::Shared(IN_USE.read().await) })
    }

    /// Locks Keycloak for this test alone. Returns `None` if it is not available.
    pub async fn exclusive() -> Option<Self> {
        let issuer = issuer().await?;
        Some(Self { issuer, http: client(), _lock: Lock::Exclusive(IN_USE.write().await) })
    }

    /// Activates a new RS256 key. The old keys stay published unless `drop_old` is set.
    ///
    /// # Panics
    /// If Keycloak rejects a request.
    pub async fn rotate_keys(&self, drop_old: bool) {
        self.assert_exclusive();
        let keys = "components?type=org.keycloak.keys.KeyProvider";
        let before = self.admin(Method::GET, keys, None).await;
        let ours = before.as_array().expect("a list").iter().filter(|provider| {
            matches!(provider["providerId"].as_str(), Some("rsa-generated"))
                && provider["config"]["enabled"][0] != "false"
        });
        let ours: Vec<_> = ours.collect();
        let highest = ours.iter().filter_map(|key| key["config"]["priority"][0].as_str()?.parse::<u32>().ok()).max();
        let next = highest.unwrap_or(100) + 1;
        let realm = self.admin(Method::GET, "", None).await;
        let key = json!({
            "name": format!("rotated-{next}"), "providerId": "rsa-generated", "parentId": realm["id"],
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": [next.to_string()], "enabled": ["true"], "active": ["true"],
                       "algorithm": ["RS256"], "keySize": ["2048"]},
        });
        self.admin(Method::POST, "components", Some(&key)).await;
        for old in ours {
            let mut old = old.clone();
            old["config"]["active"] = json!(["false"]);
            if drop_old {
                old["config"]["enabled"] = json!(["false"]);
            }
            let path = format!("components/{}", old["id"].as_str().expect("an id"));
            self.admin(Method::PUT, &path, Some(&old)).await;
        }
    }

    /// Sets a client's back-channel logout URI and returns the previous one.
    ///
    /// # Panics
    /// If Keycloak rejects a request.
    pub async fn set_backchannel_logout_uri(&self, client_id: &str, address: &str) -> String {
        self.assert_exclusive();
        let found = self.admin(Method::GET, &format!("clients?clientId={client_id}"), None).await;
        let mut client = found[0].clone();
        let before = client["attributes"]["backchannel.logout.url"].as_str().expect("an address").to_owned();
        client["attributes"]["backchannel.logout.url"] = json!(address);
        let path = format!("clients/{}", client["id"].as_str().expect("an id"));
        self.admin(Method::PUT, &path, Some(&client)).await;
        before
    }

    /// Stops Keycloak, which keeps its keys and sessions.
    ///
    /// # Panics
    /// If it does not stop.
    pub async fn halt(&self) {
        self.assert_exclusive();
        let output = run_script("halt").await;
        assert!(output.status.success(), "{}", stderr_text(&output));
    }

    /// Starts Keycloak again, at the same address.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn resume(&self) {
        self.assert_exclusive();
        let output = run_script("start").await;
        assert!(output.status.success(), "{}", stderr_text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), self.issuer);
    }

    /// An access token of Keycloak's administrator, from the realm `master`.
    ///
    /// # Panics
    /// If Keycloak issues none.
    pub async fn admin_token(&self) -> String {
        let master = self.issuer.replace("/realms/viopay", "/realms/master");
        let request = self.http.post(format!("{master}/protocol/openid-connect/token")).form(&ADMIN);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no administrator: {answer}")).to_owned()
    }

    async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let realm = self.issuer.replace("/realms/", "/admin/realms/");
        let url = if path.is_empty() { realm } else { format!("{realm}/{path}") };
        let request = self.http.request(method, url).bearer_auth(self.admin_token().await);
        let request = body.into_iter().fold(request, RequestBuilder::json);
        let response = request.send().await.unwrap().error_for_status().unwrap();
        let text = response.text().await.unwrap();
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    fn assert_exclusive(&self) {
        assert!(matches!(self._lock, Lock::Exclusive(_)), "other tests use this Keycloak at the same time");
    }
}

fn client() -> Client {
    Client::builder().no_proxy().build().expect("a client")
}

async fn issuer() -> Option<String> {
    ISSUER.get_or_init(start).await.clone()
}

async fn start() -> Option<String> {
    let output = run_script("start").await;
    if output.status.code() == Some(MISSING_PREREQUISITE) {
        let stderr = stderr_text(&output);
        let why = stderr.lines().last().unwrap_or_default().trim_start_matches("test-keycloak: ").to_owned();
        // eprintln! would be captured while the test passes.
        std::io::stderr().write_all(format!("\nSKIPPED keycloak: {why}\n").as_bytes()).unwrap();
        return None;
    }
    assert!(output.status.success(), "{}", stderr_text(&output));
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

async fn run_script(command: &'static str) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test-keycloak");
    let run = move || Command::new(path).arg(command).output().expect("scripts/test-keycloak can be run");
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn stderr_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
