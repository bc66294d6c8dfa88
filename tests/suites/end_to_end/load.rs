//! Background load of terminals and merchants, for tests with faults of the identity provider.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pos_tests::real_server::RealServer;
use pos_tests::users::{GROCER, GROCER_API};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;

/// Upper limit of a wait; only a test that hangs reaches it.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One request and its result.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) kind: CallKind,
    pub(super) status: u16,
}

impl Call {
    pub(super) fn succeeded(&self) -> bool {
        let expected = match self.kind {
            CallKind::Terminal | CallKind::Claim => 200,
            CallKind::Provision => 201,
        };
        self.status == expected
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    Terminal,
    Provision,
    Claim,
}

/// Source of the merchants' tokens.
#[derive(Clone)]
pub(super) enum TokenSource {
    /// One token with an initiated session.
    Fixed(String),
    /// A new token for each claim, of an API client, with its own session.
    Fresh,
}

impl TokenSource {
    async fn token(&self, server: &RealServer) -> String {
        match self {
            Self::Fixed(token) => token.clone(),
            Self::Fresh => server.client_access_token(GROCER_API).await,
        }
    }
}

/// Running clients, until they are stopped.
pub(super) struct Load {
    stopped: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<Call>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts three terminals that request codes and poll their status, and two merchants that provision devices and claim
    /// them.
    pub(super) fn start(server: &Arc<RealServer>, tokens: &TokenSource) -> Self {
        let (stopped, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let (server, stopped, calls) = (server.clone(), stopped.clone(), calls.clone());
            tasks.push(tokio::spawn(async move {
                let device = server.device(GROCER).await;
                while !stopped.load(Ordering::Relaxed) {
                    for (method, path) in [(Method::POST, "/pos/pairing-code"), (Method::GET, "/pos/status")] {
                        let answer = server.terminal(method, path, &device).await;
                        record(&calls, CallKind::Terminal, answer.status.as_u16());
                    }
                    pause().await;
                }
            }));
        }
        for _ in 0..2 {
            let (server, stopped, calls, tokens) = (server.clone(), stopped.clone(), calls.clone(), tokens.clone());
            tasks.push(tokio::spawn(async move {
                while !stopped.load(Ordering::Relaxed) {
                    let token = tokens.token(&server).await;
                    let made = server.call(Method::POST, "/merchant/devices", &token, Some(&json!({}))).await;
                    record(&calls, CallKind::Provision, made.status.as_u16());
                    if let Some(device) = made.json()["device_id"].as_str() {
                        let answer = server.claim(&token, &server.code(device).await).await;
                        record(&calls, CallKind::Claim, answer.status.as_u16());
                    }
                    pause().await;
                }
            }));
        }
        Self { stopped, calls, tasks }
    }

    /// Waits until this many more requests of terminals and claims have a response.
    pub(super) async fn wait_for_calls(&self, more: usize) {
        let started = Instant::now();
        let kinds = [CallKind::Terminal, CallKind::Claim];
        let before = kinds.map(|kind| self.count(kind));
        while kinds.into_iter().zip(before).any(|(kind, n)| self.count(kind) < n + more) {
            assert!(started.elapsed() < TIMEOUT, "the load makes no progress");
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a client has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the clients and returns all their requests.
    pub(super) async fn stop(self) -> Vec<Call> {
        self.stopped.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client that did not panic");
        }
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn count(&self, kind: CallKind) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.kind == kind).count()
    }
}

fn record(calls: &Mutex<Vec<Call>>, kind: CallKind, status: u16) {
    calls.lock().unwrap().push(Call { kind, status });
}

/// Keeps the load low: the test checks responses, not throughput.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
