//! The Keycloak of the tests: one process for all of them, started by `scripts/test-keycloak`.
//!
//! Most tests share it ([`Keycloak::shared`]); one that changes its keys or takes it down has it alone meanwhile
//! ([`Keycloak::alone`]). Where it cannot be had, for lack of Java for example, there is none, and that is said on
//! standard error even by tests whose output is captured.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What `scripts/test-keycloak` sets.
const ADMIN: [(&str, &str); 4] =
    [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "admin"), ("password", "throw-away")];
/// What the script exits with when this machine lacks something.
const LACKING: i32 = 3;

static ISSUER: OnceCell<Option<String>> = OnceCell::const_new();
static IN_USE: RwLock<()> = RwLock::const_new(());

/// A running Keycloak, and the right to use it.
pub struct Keycloak {
    /// The realm's issuer.
    pub issuer: String,
    http: Client,
    _right: Right,
}

enum Right {
    Shared(#[expect(dead_code, reason = "held until the test ends")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held until the test ends")] RwLockWriteGuard<'static, ()>),
}

impl Keycloak {
    /// It, beside other tests; `None` when it cannot be had here.
    pub async fn shared() -> Option<Self> {
        let issuer = issuer().await?;
        Some(Self { issuer, http: client(), _right: Right::Shared(IN_USE.read().await) })
    }

    /// It, while no other test uses it; `None` when it cannot be had here.
    pub async fn alone() -> Option<Self> {
        let issuer = issuer().await?;
        Some(Self { issuer, http: client(), _right: Right::Alone(IN_USE.write().await) })
    }

    /// Puts a new RS256 key in use. Those before stay published, or with `drop_old` are withdrawn.
    ///
    /// # Panics
    /// When Keycloak refuses.
    pub async fn rotate_keys(&self, drop_old: bool) {
        self.assert_alone();
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

    /// Gives a client another back-channel logout address, and answers the one before.
    ///
    /// # Panics
    /// When Keycloak refuses.
    pub async fn set_backchannel_logout_uri(&self, client_id: &str, address: &str) -> String {
        self.assert_alone();
        let found = self.admin(Method::GET, &format!("clients?clientId={client_id}"), None).await;
        let mut client = found[0].clone();
        let before = client["attributes"]["backchannel.logout.url"].as_str().expect("an address").to_owned();
        client["attributes"]["backchannel.logout.url"] = json!(address);
        let path = format!("clients/{}", client["id"].as_str().expect("an id"));
        self.admin(Method::PUT, &path, Some(&client)).await;
        before
    }

    /// Stops it; its keys and sessions stay.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn halt(&self) {
        self.assert_alone();
        let output = script("halt").await;
        assert!(output.status.success(), "{}", told(&output));
    }

    /// Starts it again, where it was.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn resume(&self) {
        self.assert_alone();
        let output = script("start").await;
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), self.issuer);
    }

    /// An access token of the server's administrator, from the realm `master`.
    ///
    /// # Panics
    /// When none is given.
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

    fn assert_alone(&self) {
        assert!(matches!(self._right, Right::Alone(_)), "other tests use this Keycloak too");
    }
}

fn client() -> Client {
    Client::builder().no_proxy().build().expect("a client")
}

async fn issuer() -> Option<String> {
    ISSUER.get_or_init(find).await.clone()
}

async fn find() -> Option<String> {
    let output = script("start").await;
    if output.status.code() == Some(LACKING) {
        let why = told(&output);
        let why = why.lines().last().unwrap_or_default().trim_start_matches("test-keycloak: ").to_owned();
        // Not eprintln!, which is captured while a test passes.
        std::io::stderr().write_all(format!("\nSKIPPED keycloak: {why}\n").as_bytes()).unwrap();
        return None;
    }
    assert!(output.status.success(), "{}", told(&output));
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

async fn script(command: &'static str) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test-keycloak");
    let run = move || Command::new(path).arg(command).output().expect("scripts/test-keycloak can be run");
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
