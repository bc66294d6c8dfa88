//! Concurrency limits and load shedding: requests beyond the permits wait in a queue, then are rejected with 503 and
//! `Retry-After`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pos_adapters::storage::OpenedStorage;
use pos_domain::device::{Device, PairingCode, PastCode, TerminalInfo, Transition};
use pos_domain::shared::DeviceId;
use pos_port_identity::{FixedVerifier, Principal, TokenVerifier, VerifyError};
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::shared::IdempotencyRecord;
use pos_port_storage::shared::{PoolMonitor, PoolState};
use pos_port_storage::shared::{SaveError, SaveIdempotentError, StorageError};
use pos_port_storage::{InMemoryStore, Storage};
use pos_tests::server::{Answer, Options, TestServer, USER_AGENT, merchant_tokens, send};
use pos_tests::stores::TestStore;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Upper limit of a wait; only a test that hangs reaches it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Blocks callers until it is opened, and counts those that are blocked.
struct Gate {
    open: Semaphore,
    blocked: watch::Sender<usize>,
}

impl Gate {
    fn closed() -> Arc<Self> {
        Arc::new(Self { open: Semaphore::new(0), blocked: watch::Sender::new(0) })
    }

    async fn pass(&self) {
        /// Counts down when the call ends or is dropped.
        struct Blocked<'a>(&'a Gate);
        impl Drop for Blocked<'_> {
            fn drop(&mut self) {
                self.0.blocked.send_modify(|blocked| *blocked -= 1);
            }
        }
        self.blocked.send_modify(|blocked| *blocked += 1);
        let _blocked = Blocked(self);
        let _ = self.open.acquire().await;
    }

    async fn wait_for_blocked(&self, count: usize) {
        let mut blocked = self.blocked.subscribe();
        timeout(TIMEOUT, blocked.wait_for(|blocked| *blocked == count)).await.expect("so many are blocked").unwrap();
    }

    fn open(&self) {
        self.open.close();
    }
}

/// The requests that the gate blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GatedCalls {
    Polls,
    Claims,
}

/// A store whose look-ups of devices block at a gate.
struct GatedStore(Arc<InMemoryStore>, Arc<Gate>, GatedCalls);

#[async_trait]
impl DeviceRepository for GatedStore {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        if self.2 == GatedCalls::Polls {
            self.1.pass().await;
        }
        self.0.find(id).await
    }
    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        if self.2 == GatedCalls::Claims {
            self.1.pass().await;
        }
        self.0.find_by_pairing_code(code).await
    }
    async fn find_past_code(&self, code: PairingCode) -> Result<Option<PastCode>, StorageError> {
        self.0.find_past_code(code).await
    }
    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        self.0.save(transition).await
    }
    async fn save_idempotent(
        &self,
        transition: &Transition,
        once: &IdempotencyRecord,
    ) -> Result<(), SaveIdempotentError> {
        self.0.save_idempotent(transition, once).await
    }
    async fn update_terminal_info(&self, id: &DeviceId, terminal_info: &TerminalInfo) -> Result<(), StorageError> {
        self.0.update_terminal_info(id, terminal_info).await
    }
}

/// A token verifier that blocks at a gate.
struct GatedVerifier(FixedVerifier, Arc<Gate>);

#[async_trait]
impl TokenVerifier for GatedVerifier {
    async fn verify(&self, token: &str) -> Result<Principal, VerifyError> {
        self.1.pass().await;
        self.0.verify(token).await
    }
    fn is_ready(&self) -> bool {
        true
    }
}

struct NoPool;

impl PoolMonitor for NoPool {
    fn state(&self) -> PoolState {
        PoolState { max: 0, size: 0, available: 0, waiting: 0 }
    }
}

/// One worker, so that all requests share one limiter, with these limits and without a queue.
fn limits(terminals: usize, portals: usize, imports: usize) -> Vec<(&'static str, String)> {
    vec![
        ("POS__HTTP__WORKERS", "1".into()),
        ("POS__HTTP__MAX_CONCURRENT_TERMINAL_REQUESTS", terminals.to_string()),
        ("POS__HTTP__MAX_CONCURRENT_PORTAL_REQUESTS", portals.to_string()),
        ("POS__IMPORT__MAX_CONCURRENT", imports.to_string()),
        ("POS__HTTP__QUEUE_TIMEOUT_MS", "0".into()),
    ]
}

fn gated(settings: Vec<(&'static str, String)>) -> (TestServer, Arc<Gate>) {
    gated_server(GatedCalls::Polls, settings)
}

fn gated_server(calls: GatedCalls, settings: Vec<(&'static str, String)>) -> (TestServer, Arc<Gate>) {
    let (store, gate) = (Arc::new(InMemoryStore::default()), Gate::closed());
    let devices = Arc::new(GatedStore(store.clone(), gate.clone(), calls));
    let opened = OpenedStorage { storage: Storage { devices, ..Storage::of(store) }, pool: Arc::new(NoPool) };
    (TestServer::start(&opened, Options { settings, ..Options::default() }), gate)
}

fn poll(server: &TestServer, device: &str) -> RequestBuilder {
    let request = server.request(Method::GET, "/pos/status").header("X-Device-Id", device);
    request.header("User-Agent", USER_AGENT).header("X-Client-Type", "pos")
}

fn polls(server: &TestServer, device: &str, count: usize) -> Vec<JoinHandle<Answer>> {
    (0..count).map(|_| tokio::spawn(send(poll(server, device)))).collect()
}

fn assert_shed(answer: &Answer) {
    assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
    answer.assert_retry_after(2);
    assert!(answer.details().is_null(), "{answer:?}");
}

async fn wait_for_queued(server: &TestServer, count: usize) {
    let metric = format!("pos_http_queue_length{{of=\"terminals\"}} {count}\n");
    timeout(TIMEOUT, async { while !metrics(server).await.contains(&metric) {} }).await.expect("so many are queued");
}

async fn metrics(server: &TestServer) -> String {
    send(server.request(Method::GET, "/metrics")).await.text
}

#[tokio::test]
async fn requests_beyond_the_limit_are_shed_at_once() {
    let (server, gate) = gated(limits(4, 2, 1));
    let device = server.device().await;
    let waiting = polls(&server, &device, 4);
    gate.wait_for_blocked(4).await;
    for shed in polls(&server, &device, 40) {
        assert_shed(&timeout(TIMEOUT, shed).await.expect("a response while others are blocked").unwrap());
    }
    gate.wait_for_blocked(4).await;
    let metrics = metrics(&server).await;
    assert!(metrics.contains("pos_http_requests_shed_total{of=\"terminals\"} 40"), "{metrics}");
    assert!(metrics.contains("method=\"GET\",route=\"/pos/status\",status=\"503\"} 40"), "{metrics}");
    gate.open();
    for served in waiting {
        assert_eq!(served.await.unwrap().status, 200);
    }
    // No permit is leaked.
    for _ in 0..20 {
        assert_eq!(send(poll(&server, &device)).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_burst_beyond_the_limit_is_served_from_the_queue() {
    let mut settings = limits(4, 2, 1);
    settings.retain(|(name, _)| *name != "POS__HTTP__QUEUE_TIMEOUT_MS");
    settings.push(("POS__HTTP__QUEUE_TIMEOUT_MS", "10000".into()));
    let (server, gate) = gated(settings);
    let device = server.device().await;
    let leaving = raw_poll(&server, &device).await;
    gate.wait_for_blocked(1).await;
    let burst = polls(&server, &device, 44);
    gate.wait_for_blocked(4).await;
    wait_for_queued(&server, 41).await;
    // The permit of a client that disconnects goes to the next request in the queue.
    reset(leaving);
    wait_for_queued(&server, 40).await;
    gate.wait_for_blocked(4).await;
    gate.open();
    for served in burst {
        assert_eq!(timeout(TIMEOUT, served).await.expect("a response").unwrap().status, 200);
    }
    let metrics = metrics(&server).await;
    for line in ["pos_http_requests_shed_total{of=\"terminals\"} 0", "pos_http_queue_length{of=\"terminals\"} 0"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_full_limiter_affects_neither_operations_nor_other_traffic_classes() {
    let (server, gate) = gated(limits(1, 2, 1));
    let device = server.device().await;
    let waiting = polls(&server, &device, 1);
    gate.wait_for_blocked(1).await;
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(send(server.request(Method::GET, path)).await.status, 200, "{path}");
    }
    assert_eq!(send(server.request(Method::GET, "/nowhere")).await.failure(404, "4004"), "Not found");
    let claim = server.claim("ann", &json!({ "pairing_code": "K7M3NP" })).await;
    assert_eq!(claim.failure(400, "4004"), "Pairing code not found");
    assert_shed(&send(poll(&server, &device)).await);
    gate.open();
    for served in waiting {
        assert_eq!(served.await.unwrap().status, 200);
    }
    server.stop().await;
}

/// Sends a poll on its own connection without reading the response.
async fn raw_poll(server: &TestServer, device: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "GET /pos/status HTTP/1.1\r\nHost: test\r\nX-Device-Id: {device}\r\nUser-Agent: {USER_AGENT}\r\nX-Client-Type: \
         pos\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Resets a connection, so that the server notices the disconnect. An orderly close looks like a shutdown of the sending
/// side only.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_disconnected_caller_releases_its_permit() {
    let (server, gate) = gated(limits(2, 2, 1));
    let device = server.device().await;
    for _ in 0..3 {
        let leaving = [raw_poll(&server, &device).await, raw_poll(&server, &device).await];
        gate.wait_for_blocked(2).await;
        assert_shed(&send(poll(&server, &device)).await);
        leaving.into_iter().for_each(reset);
        gate.wait_for_blocked(0).await;
    }
    let staying = polls(&server, &device, 2);
    gate.wait_for_blocked(2).await;
    gate.open();
    for served in staying {
        assert_eq!(served.await.unwrap().status, 200);
    }
    server.stop().await;
}

/// However long the response takes.
#[tokio::test]
async fn a_caller_that_has_shut_down_its_sending_side_gets_its_response() {
    let (server, gate) = gated(limits(2, 2, 1));
    let device = server.device().await;
    let mut half_closed = raw_poll(&server, &device).await;
    half_closed.shutdown().await.unwrap();
    gate.wait_for_blocked(1).await;
    // After these requests the server has read the end of its input, which was sent before them.
    for _ in 0..5 {
        assert_eq!(send(server.request(Method::GET, "/health/live")).await.status, 200);
    }
    gate.wait_for_blocked(1).await;
    gate.open();
    let mut answer = String::new();
    timeout(TIMEOUT, half_closed.read_to_string(&mut answer)).await.expect("an answer and the end").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.stop().await;
}

/// One account's requests leave permits for other accounts.
#[tokio::test]
async fn an_account_holds_no_more_than_its_share_of_the_permits() {
    let (server, gate) = gated_server(GatedCalls::Claims, limits(1, 4, 1));
    let server = Arc::new(server);
    let claim = |user: &'static str| {
        let server = server.clone();
        tokio::spawn(async move { server.claim(user, &json!({ "pairing_code": "K7M3NP" })).await })
    };
    let mut blocked = vec![claim("ann"), claim("ann"), claim("ann")];
    gate.wait_for_blocked(3).await;
    let refused = claim("ann").await.unwrap();
    assert_eq!(refused.failure(429, "4290"), "Too many requests at once, try again later");
    refused.assert_retry_after(1);
    blocked.push(claim("eve"));
    gate.wait_for_blocked(4).await;
    gate.open();
    for served in blocked {
        assert_eq!(served.await.unwrap().failure(400, "4004"), "Pairing code not found");
    }
    assert_eq!(claim("ann").await.unwrap().failure(400, "4004"), "Pairing code not found");
    Arc::into_inner(server).unwrap().stop().await;
}

/// Requests that wait for the identity provider, and uploads, use no permit of another traffic class.
#[tokio::test]
async fn claims_and_imports_have_their_own_limits() {
    let store = TestStore::sqlite().await;
    let gate = Gate::closed();
    let verifier = Arc::new(GatedVerifier(merchant_tokens(), gate.clone()));
    let options = Options { settings: limits(1, 2, 1), verifier, ..Options::default() };
    let server = Arc::new(TestServer::start(store.opened(), options));
    let device = server.device().await;
    let claim = || {
        let server = server.clone();
        tokio::spawn(async move { server.claim("ann", &json!({ "pairing_code": "K7M3NP" })).await })
    };
    let import = || {
        let request = server.request(Method::POST, "/reseller/devices/import").bearer_auth("ann");
        tokio::spawn(send(request.header("Content-Type", "text/csv").body("device_id,merchant_id\n")))
    };
    let (claims, file) = ([claim(), claim()], import());
    gate.wait_for_blocked(3).await;
    assert_shed(&claim().await.unwrap());
    assert_shed(&import().await.unwrap());
    let locations = server.request(Method::GET, "/merchant/locations").bearer_auth("ann");
    assert_shed(&send(locations).await);
    assert_eq!(server.terminal(Method::GET, "/pos/status", &device).await.status, 200);
    gate.open();
    for served in claims {
        assert_eq!(served.await.unwrap().failure(400, "4004"), "Pairing code not found");
    }
    assert_eq!(file.await.unwrap().failure(403, "4003"), "Session does not act for a reseller");
    assert_eq!(claim().await.unwrap().status, 400);
    Arc::into_inner(server).unwrap().stop().await;
}

#[tokio::test]
async fn a_held_status_request_uses_no_permit() {
    let store = TestStore::sqlite().await;
    let mut settings = limits(1, 2, 1);
    settings.push(("POS__TERMINAL__WAIT_RECHECK_SECS", "300".into()));
    let server = TestServer::start(store.opened(), Options { settings, ..Options::default() });
    let device = server.device().await;
    let code = server.code(&device).await;
    let waiting: Vec<_> =
        (0..3).map(|_| tokio::spawn(send(poll(&server, &device).header("Prefer", "wait=25")))).collect();
    // A status request that finds the only permit taken is shed, held or not; at least one of them is held.
    let others = async {
        while metrics(&server).await.contains("pos_waiting_terminals 0") {}
        while server.terminal(Method::GET, "/pos/status", &device).await.status != 200 {}
    };
    timeout(TIMEOUT, others).await.expect("polls are served while a request is held");
    assert_eq!(server.claim("ann", &json!({ "pairing_code": code })).await.status, 200);
    let mut claimed = 0;
    for answer in waiting {
        let answer = answer.await.unwrap();
        match answer.status.as_u16() {
            200 => claimed += usize::from(answer.json()["is_claimed"] == true),
            _ => assert_shed(&answer),
        }
    }
    assert!(claimed >= 1, "a held request is notified");
    // Each permit that a held request released is available again, exactly once.
    for _ in 0..5 {
        assert_eq!(send(poll(&server, &device).header("Prefer", "wait=25")).await.status, 200);
        assert_eq!(send(poll(&server, &device)).await.status, 200);
    }
    server.stop().await;
}
