//! Load generator: terminals and their merchant, until stopped. Every response is checked.
//!
//! A failed request is any request that was not answered with the status of the contract, whatever the reason: a refused or
//! closed connection, an incomplete response, a 5xx. Nothing is sent twice; the client library opens another connection only
//! if the idle one was closed before any byte of the request was written, which is how HTTP ends an idle connection.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Deployment;

/// Pause between two requests of one terminal.
const PAUSE: Duration = Duration::from_millis(20);
/// Much longer than anything takes.
const TIMEOUT: Duration = Duration::from_secs(90);

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

/// Results of a load.
pub(super) struct Outcome {
    pub(super) answered: u64,
    pub(super) claimed: Vec<String>,
}

impl Load {
    /// Starts with unclaimed devices. Half of the terminals reuse their connection, half open one per request.
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

    /// Waits until `requests` more requests were answered.
    pub(super) async fn more(&self, requests: u64) {
        let goal = self.shared.answered.load(Ordering::SeqCst) + requests;
        self.until(|load| load.shared.answered.load(Ordering::SeqCst) >= goal).await;
    }

    /// Waits until a condition is met; fails if a request fails meanwhile.
    pub(super) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !condition(self) {
                self.shared.assert_no_failure();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, waiting).await.expect("progress");
    }

    /// The devices whose claim was answered.
    pub(super) fn claimed(&self) -> Vec<String> {
        self.shared.claimed.lock().unwrap().clone()
    }

    /// Stops every terminal after its pairing, and checks that no request failed.
    pub(super) async fn stop(mut self) -> Outcome {
        self.shared.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.terminals.join_next().await {
            ended.unwrap();
        }
        self.shared.assert_no_failure();
        Outcome { answered: self.shared.answered.load(Ordering::SeqCst), claimed: self.claimed() }
    }
}

async fn run(shared: Arc<Shared>, keep_alive: bool) {
    let client = || Client::builder().no_proxy().pool_max_idle_per_host(usize::from(keep_alive)).timeout(TIMEOUT);
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

/// A complete pairing, including a long poll.
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
    // A replica that shuts down answers held status requests at once with the current status.
    waited.and(claimed)?;
    let status = shared.ask("last poll", poll()).await?;
    if status["is_claimed"] != true {
        return Err(format!("not claimed after a successful claim: {status}"));
    }
    Ok(())
}

impl Shared {
    fn assert_no_failure(&self) {
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
