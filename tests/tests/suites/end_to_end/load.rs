//! Terminals and merchants at work while something happens to the provider.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pos_tests::people::{GROCER, GROCER_API};
use pos_tests::real_server::RealServer;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;

/// How long a story waits for what must come.
const PATIENCE: Duration = Duration::from_secs(120);

/// One call and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) what: What,
    pub(super) status: u16,
}

impl Call {
    pub(super) fn went_well(&self) -> bool {
        let expected = match self.what {
            What::Terminal | What::Claim => 200,
            What::Provision => 201,
        };
        self.status == expected
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Terminal,
    Provision,
    Claim,
}

/// Where merchants have their tokens from.
#[derive(Clone)]
pub(super) enum TokenSource {
    /// One that is held, whose session is initiated.
    Held(String),
    /// A new one for each claim: a machine's, with a session of its own.
    Fresh,
}

impl TokenSource {
    async fn token(&self, server: &RealServer) -> String {
        match self {
            Self::Held(token) => token.clone(),
            Self::Fresh => server.machine(GROCER_API).await,
        }
    }
}

/// Callers at work, until they are stopped.
pub(super) struct Load {
    ended: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<Call>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Three terminals that ask for codes and their status, and two merchants that make device after device known and
    /// claim it.
    pub(super) fn start(server: &Arc<RealServer>, tokens: &TokenSource) -> Self {
        let (ended, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let (server, ended, calls) = (server.clone(), ended.clone(), calls.clone());
            tasks.push(tokio::spawn(async move {
                let device = server.device(GROCER).await;
                while !ended.load(Ordering::Relaxed) {
                    for (method, path) in [(Method::POST, "/pos/pairing-code"), (Method::GET, "/pos/status")] {
                        let answer = server.terminal(method, path, &device).await;
                        record(&calls, What::Terminal, answer.status.as_u16());
                    }
                    pause().await;
                }
            }));
        }
        for _ in 0..2 {
            let (server, ended, calls, tokens) = (server.clone(), ended.clone(), calls.clone(), tokens.clone());
            tasks.push(tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    let token = tokens.token(&server).await;
                    let made = server.call(Method::POST, "/merchant/devices", &token, Some(&json!({}))).await;
                    record(&calls, What::Provision, made.status.as_u16());
                    if let Some(device) = made.json()["device_id"].as_str() {
                        let answer = server.claim(&token, &server.code(device).await).await;
                        record(&calls, What::Claim, answer.status.as_u16());
                    }
                    pause().await;
                }
            }));
        }
        Self { ended, calls, tasks }
    }

    /// Waits until so many more calls of each kind were answered.
    pub(super) async fn go_on_for(&self, more: usize) {
        let begun = Instant::now();
        let before = [What::Terminal, What::Claim].map(|what| self.count(what));
        while [What::Terminal, What::Claim].into_iter().zip(before).any(|(what, n)| self.count(what) < n + more) {
            assert!(begun.elapsed() < PATIENCE, "the load stands still");
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a caller has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the work; every call there was.
    pub(super) async fn stop(self) -> Vec<Call> {
        self.ended.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a caller that did not fail");
        }
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn count(&self, what: What) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.what == what).count()
    }
}

fn record(calls: &Mutex<Vec<Call>>, what: What, status: u16) {
    calls.lock().unwrap().push(Call { what, status });
}

/// Load, and not a flood: what is measured is whether the answers are right.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
