//! Development issuer in its own process, which can be frozen, killed and restarted with new keys.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::model::{Instant, SECOND};
use crate::people::People;
use crate::process::{Process, free_port};
use crate::time::now;

/// Audience of the tokens.
pub(crate) const AUDIENCE: &str = "pos-activation";
const PORTAL: &str = "chaos-portal";

/// A user's access token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) issued: Instant,
    pub(crate) expires: Instant,
    /// The start of the issuer that it is from: each start has its own keys.
    pub(crate) generation: u64,
}

/// The issuer.
pub(crate) struct Issuer {
    program: PathBuf,
    realm: PathBuf,
    log: PathBuf,
    port: u16,
    http: reqwest::Client,
    process: Mutex<Option<Process>>,
    generation: AtomicU64,
    started_at: AtomicI64,
}

impl Issuer {
    /// Starts an issuer for these users.
    pub(crate) async fn start(
        name: &str,
        program: &Path,
        people: &People,
        folder: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let realm = folder.join(format!("realm-{name}.json"));
        let users: Vec<Value> = people
            .all()
            .map(|person| {
                json!({
                    "username": person.name, "password": person.password(), "sub": person.name,
                    "merchant_id": person.merchant, "roles": ["merchant-admin"],
                })
            })
            .collect();
        let settings = json!({ "audience": AUDIENCE, "users": users, "clients": [{ "client_id": PORTAL }] });
        std::fs::write(&realm, settings.to_string())?;
        let this = Self {
            program: program.to_owned(),
            realm,
            log: log.join(format!("issuer-{name}.log")),
            port: free_port()?,
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build()?,
            process: Mutex::default(),
            generation: AtomicU64::new(0),
            started_at: AtomicI64::new(0),
        };
        this.start_process().await?;
        Ok(this)
    }

    /// The issuer identifier (`iss`).
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/realms/viopay", self.port)
    }

    /// Starts the process, with new keys, and waits until it responds.
    pub(crate) async fn start_process(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["dev-idp", "--bind", &format!("127.0.0.1:{}", self.port), "--realm"]).arg(&self.realm);
        self.generation.fetch_add(1, Ordering::SeqCst);
        *self.process.lock().await = Some(Process::start(&mut command, &self.log)?);
        let discovery = format!("{}/.well-known/openid-configuration", self.address());
        for _ in 0..600 {
            if self.http.get(&discovery).send().await.is_ok_and(|answer| answer.status().is_success()) {
                self.started_at.store(now(), Ordering::SeqCst);
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the issuer did not start, see {}", self.log.display())
    }

    pub(crate) async fn kill(&self) {
        if let Some(process) = self.process.lock().await.as_mut() {
            process.kill().await;
        }
    }

    pub(crate) async fn signal(&self, signal: Signal) {
        if let Some(process) = self.process.lock().await.as_ref() {
            process.signal(signal);
        }
    }

    /// The number and the time of the last start.
    pub(crate) fn generation(&self) -> (u64, Instant) {
        (self.generation.load(Ordering::SeqCst), self.started_at.load(Ordering::SeqCst))
    }

    /// Logs a user in; `None` while the issuer is down.
    pub(crate) async fn token(&self, name: &str, password: &str) -> Option<Token> {
        let (generation, _) = self.generation();
        let form = [("grant_type", "password"), ("client_id", PORTAL), ("username", name), ("password", password)];
        let url = format!("{}/protocol/openid-connect/token", self.address());
        let response: Value = self.http.post(url).form(&form).send().await.ok()?.json().await.ok()?;
        let text = response.get("access_token")?.as_str()?.to_owned();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let instant = |name: &str| Some(claims.get(name)?.as_i64()? * SECOND);
        Some(Token { issued: instant("iat")?, expires: instant("exp")?, text, generation })
    }
}

/// Fails if the server binary does not exist.
pub(crate) fn check_program(program: &Path) -> anyhow::Result<()> {
    program.exists().then_some(()).with_context(|| format!("no server at {}: run scripts/chaos", program.display()))
}
