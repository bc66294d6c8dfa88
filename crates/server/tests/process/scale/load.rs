//! Terminals and their merchant, all the time, until told to stop. Every answer is looked at.
//!
//! What counts as a failed request: any request that was not answered with the status the contract has for it, for
//! whatever reason: refused or cut connections, an answer cut short, a 5xx. Nothing is sent twice; the client library
//! opens another connection only if the one it kept had been closed before anything of the request was written, which
//! is how HTTP ends an idle connection.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Deployment;

/// Between two requests of one terminal.
const PAUSE: Duration = Duration::from_millis(20);
/// Far more than anything takes.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) struct Load {
    shared: Arc<Shared>,
    terminals: JoinSet<()>,
}

struct Shared {
    url: String,
    token: String,
    stop: AtomicBool,
    answered: AtomicU64,
    devices: Mutex<Vec<String>>,
    claimed: Mutex<Vec<String>>,
    failures: Mutex<Vec<String>>,
    balancer_log: PathBuf,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) answered: u64,
    pub(super) claimed: Vec<String>,
}

impl Load {
    /// Starts with fresh devices: half of the terminals keep their connection, half open one for each request.
    pub(super) fn start(deployment: &Deployment, terminals: usize, devices: Vec<String>) -> Self {
        let shared = Arc::new(Shared {
            url: deployment.balancer.url(),
            token: deployment.token.clone(),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            devices: Mutex::new(devices),
            claimed: Mutex::default(),
            failures: Mutex::default(),
            balancer_log: deployment.balancer.log(),
        });
        let mut tasks = JoinSet::new();
        for number in 0..terminals {
            tasks.spawn(run(Arc::clone(&shared), number % 2 == 0));
        }
        Self { shared, terminals: tasks }
    }

    /// Waits until so many more requests were answered.
    pub(super) async fn more(&self, requests: u64) {
        let goal = self.shared.answered.load(Ordering::SeqCst) + requests;
        self.until(|load| load.shared.answered.load(Ordering::SeqCst) >= goal).await;
    }

    /// Waits until something is so, and looks after the failures meanwhile.
    pub(super) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                self.shared.nothing_failed();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("progress");
    }

    /// The devices whose claim has been answered.
    pub(super) fn claimed(&self) -> Vec<String> {
        self.shared.claimed.lock().unwrap().clone()
    }

    /// Lets every terminal finish, and sees that nothing failed.
    pub(super) async fn stop(mut self) -> Outcome {
        self.shared.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.terminals.join_next().await {
            ended.unwrap();
        }
        self.shared.nothing_failed();
        Outcome { answered: self.shared.answered.load(Ordering::SeqCst), claimed: self.claimed() }
    }
}

async fn run(shared: Arc<Shared>, keeps: bool) {
    let client = || Client::builder().no_proxy().pool_max_idle_per_host(usize::from(keeps)).timeout(PATIENCE);
    let (terminal, portal) = (client().build().unwrap(), client().build().unwrap());
    while !shared.stop.load(Ordering::SeqCst) {
        let Some(device) = shared.devices.lock().unwrap().pop() else { return };
        if let Err(failure) = pair(&shared, &terminal, &portal, &device).await {
            shared.failures.lock().unwrap().push(format!("{device}: {failure}"));
            return;
        }
        shared.claimed.lock().unwrap().push(device);
    }
}

/// A pairing from beginning to end, a long poll included.
async fn pair(shared: &Shared, terminal: &Client, portal: &Client, device: &str) -> Result<(), String> {
    let with = |request: RequestBuilder| {
        let request = request.header("X-Device-Id", device).header("X-Client-Type", "pos");
        request.header("User-Agent", "Viopay-POS/1.4.2 (Android 12; PAX-A920)")
    };
    let poll = || with(terminal.get(format!("{}/pos/status", shared.url)));
    shared.ask("bootstrap", with(terminal.post(format!("{}/pos/bootstrap", shared.url)))).await?;
    let issued = shared.ask("pairing code", with(terminal.post(format!("{}/pos/pairing-code", shared.url)))).await?;
    let status = shared.ask("poll", poll()).await?;
    if status["pairing_code_status"] != "pending" {
        return Err(format!("not pending: {status}"));
    }
    let claim = portal.post(format!("{}/pos/claim", shared.url)).bearer_auth(&shared.token);
    let claim = claim.json(&json!({ "pairing_code": issued["pairing_code"] }));
    let waiting = poll().header("Prefer", "wait=5");
    let claiming = async {
        tokio::time::sleep(PAUSE * 2).await;
        shared.ask("claim", claim).await
    };
    let (waited, claimed) = tokio::join!(shared.ask("long poll", waiting), claiming);
    // A replica that stops answers those who wait at once, with what it knows.
    waited.and(claimed)?;
    let status = shared.ask("last poll", poll()).await?;
    if status["is_claimed"] != true {
        return Err(format!("claimed, and yet: {status}"));
    }
    Ok(())
}

impl Shared {
    fn nothing_failed(&self) {
        let failures = self.failures.lock().unwrap().clone();
        if !failures.is_empty() {
            panic!("{failures:#?}, and the balancer: {}", std::fs::read_to_string(&self.balancer_log).unwrap());
        }
    }

    async fn ask(&self, what: &str, request: RequestBuilder) -> Result<Value, String> {
        tokio::time::sleep(PAUSE).await;
        let answer = request.send().await.map_err(|error| format!("{what}: {error:?}"))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| format!("{what}: {error:?}"))?;
        if status != 200 {
            return Err(format!("{what}: {status} {body}"));
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        serde_json::from_str(&body).map_err(|error| format!("{what}: {error}: {body}"))
    }
}
