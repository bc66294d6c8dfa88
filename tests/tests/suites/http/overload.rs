//! More calls at once than the server takes in: as many as there are places are served, the others stand in line for a while
//! and are told to come back later.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pos_adapters::storage::{OpenedStorage, PoolMonitor, PoolState};
use pos_domain::{Device, DeviceId, EndedCode, PairingCode, Sighting, Transition};
use pos_port_identity::{FixedVerifier, Principal, TokenVerifier, VerifyError};
use pos_port_storage::{DeviceRepository, InMemoryStore, Once, SaveError, SaveOnceError, Storage, StorageError};
use pos_tests::server::{Answer, Options, TestServer, USER_AGENT, merchant_tokens, send};
use pos_tests::stores::TestStore;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes; only a test that hangs reaches it.
const LONG: Duration = Duration::from_secs(60);

/// Lets nobody through until it is opened, and tells how many stand before it.
struct Gate {
    open: Semaphore,
    inside: watch::Sender<usize>,
}

impl Gate {
    fn shut() -> Arc<Self> {
        Arc::new(Self { open: Semaphore::new(0), inside: watch::Sender::new(0) })
    }

    async fn pass(&self) {
        /// Leaves when the call ends or its caller goes away.
        struct Inside<'a>(&'a Gate);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.inside.send_modify(|inside| *inside -= 1);
            }
        }
        self.inside.send_modify(|inside| *inside += 1);
        let _inside = Inside(self);
        let _ = self.open.acquire().await;
    }

    async fn until_inside(&self, count: usize) {
        let mut inside = self.inside.subscribe();
        timeout(LONG, inside.wait_for(|inside| *inside == count)).await.expect("so many stand there").unwrap();
    }

    fn open(&self) {
        self.open.close();
    }
}

/// What stands behind the gate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Polls,
    Claims,
}

/// A store that finds devices behind a gate.
struct Gated(Arc<InMemoryStore>, Arc<Gate>, Behind);

#[async_trait]
impl DeviceRepository for Gated {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        if self.2 == Behind::Polls {
            self.1.pass().await;
        }
        self.0.find(id).await
    }
    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        if self.2 == Behind::Claims {
            self.1.pass().await;
        }
        self.0.find_by_pairing_code(code).await
    }
    async fn find_ended_code(&self, code: PairingCode) -> Result<Option<EndedCode>, StorageError> {
        self.0.find_ended_code(code).await
    }
    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        self.0.save(transition).await
    }
    async fn save_once(&self, transition: &Transition, once: &Once) -> Result<(), SaveOnceError> {
        self.0.save_once(transition, once).await
    }
    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError> {
        self.0.record_sighting(id, sighting).await
    }
}

/// An identity provider's keys behind a gate.
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

/// One worker, so that all places are in one room, with so many of each kind, and nobody in line.
fn places(terminals: usize, portals: usize, imports: usize) -> Vec<(&'static str, String)> {
    vec![
        ("POS__HTTP__WORKERS", "1".into()),
        ("POS__HTTP__MAX_TERMINAL_CALLS", terminals.to_string()),
        ("POS__HTTP__MAX_PORTAL_CALLS", portals.to_string()),
        ("POS__IMPORT__MAX_AT_ONCE", imports.to_string()),
        ("POS__HTTP__MAX_PLACE_WAIT_MS", "0".into()),
    ]
}

fn gated(settings: Vec<(&'static str, String)>) -> (TestServer, Arc<Gate>) {
    behind_gate(Behind::Polls, settings)
}

fn behind_gate(what: Behind, settings: Vec<(&'static str, String)>) -> (TestServer, Arc<Gate>) {
    let (store, gate) = (Arc::new(InMemoryStore::default()), Gate::shut());
    let devices = Arc::new(Gated(store.clone(), gate.clone(), what));
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

fn assert_turned_away(answer: &Answer) {
    assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
    answer.assert_sent_away_for(2);
    assert!(answer.details().is_null(), "{answer:?}");
}

async fn until_in_line(server: &TestServer, count: usize) {
    let line = format!("pos_http_calls_in_line{{of=\"terminals\"}} {count}\n");
    timeout(LONG, async { while !metrics(server).await.contains(&line) {} }).await.expect("so many stand in line");
}

async fn metrics(server: &TestServer) -> String {
    send(server.request(Method::GET, "/metrics")).await.text
}

#[tokio::test]
async fn of_many_calls_as_many_as_have_a_place_are_served_and_the_rest_told_at_once() {
    let (server, gate) = gated(places(4, 2, 1));
    let device = server.device().await;
    let waiting = polls(&server, &device, 4);
    gate.until_inside(4).await;
    for turned_away in polls(&server, &device, 40) {
        assert_turned_away(&timeout(LONG, turned_away).await.expect("an answer while others wait").unwrap());
    }
    gate.until_inside(4).await;
    let metrics = metrics(&server).await;
    assert!(metrics.contains("pos_http_turned_away_total{of=\"terminals\"} 40"), "{metrics}");
    assert!(metrics.contains("method=\"GET\",route=\"/pos/status\",status=\"503\"} 40"), "{metrics}");
    gate.open();
    for served in waiting {
        assert_eq!(served.await.unwrap().status, 200);
    }
    // However many rounds there are, no place is lost.
    for _ in 0..20 {
        assert_eq!(send(poll(&server, &device)).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_burst_larger_than_the_room_is_served_while_it_stands_in_line() {
    let mut settings = places(4, 2, 1);
    settings.retain(|(name, _)| *name != "POS__HTTP__MAX_PLACE_WAIT_MS");
    settings.push(("POS__HTTP__MAX_PLACE_WAIT_MS", "10000".into()));
    let (server, gate) = gated(settings);
    let device = server.device().await;
    let leaving = raw_poll(&server, &device).await;
    gate.until_inside(1).await;
    let burst = polls(&server, &device, 44);
    gate.until_inside(4).await;
    until_in_line(&server, 41).await;
    // One goes away: whoever comes next has the place.
    reset(leaving);
    until_in_line(&server, 40).await;
    gate.until_inside(4).await;
    gate.open();
    for served in burst {
        assert_eq!(timeout(LONG, served).await.expect("its turn").unwrap().status, 200);
    }
    let metrics = metrics(&server).await;
    for line in ["pos_http_turned_away_total{of=\"terminals\"} 0", "pos_http_calls_in_line{of=\"terminals\"} 0"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_a_free_place_says_how_it_is_and_serves_the_other_kind() {
    let (server, gate) = gated(places(1, 2, 1));
    let device = server.device().await;
    let waiting = polls(&server, &device, 1);
    gate.until_inside(1).await;
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(send(server.request(Method::GET, path)).await.status, 200, "{path}");
    }
    assert_eq!(send(server.request(Method::GET, "/nowhere")).await.failure(404, "4004"), "Not found");
    let claim = server.claim("ann", &json!({ "pairing_code": "K7M3NP" })).await;
    assert_eq!(claim.failure(400, "4004"), "Pairing code not found");
    assert_turned_away(&send(poll(&server, &device)).await);
    gate.open();
    for served in waiting {
        assert_eq!(served.await.unwrap().status, 200);
    }
    server.stop().await;
}

/// A poll on a connection of its own, whose answer is not read.
async fn raw_poll(server: &TestServer, device: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "GET /pos/status HTTP/1.1\r\nHost: test\r\nX-Device-Id: {device}\r\nUser-Agent: {USER_AGENT}\r\nX-Client-Type: \
         pos\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Ends a connection so that the server sees that nobody is there. One that is closed in an orderly way looks as if only its
/// sending side were shut down.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_caller_that_goes_away_gives_its_place_back() {
    let (server, gate) = gated(places(2, 2, 1));
    let device = server.device().await;
    for _ in 0..3 {
        let leaving = [raw_poll(&server, &device).await, raw_poll(&server, &device).await];
        gate.until_inside(2).await;
        assert_turned_away(&send(poll(&server, &device)).await);
        leaving.into_iter().for_each(reset);
        gate.until_inside(0).await;
    }
    let staying = polls(&server, &device, 2);
    gate.until_inside(2).await;
    gate.open();
    for served in staying {
        assert_eq!(served.await.unwrap().status, 200);
    }
    server.stop().await;
}

/// However long its answer takes.
#[tokio::test]
async fn a_caller_that_has_shut_down_its_sending_side_is_answered() {
    let (server, gate) = gated(places(2, 2, 1));
    let device = server.device().await;
    let mut half_closed = raw_poll(&server, &device).await;
    half_closed.shutdown().await.unwrap();
    gate.until_inside(1).await;
    // The end of its input has been read by now: it came before these calls.
    for _ in 0..5 {
        assert_eq!(send(server.request(Method::GET, "/health/live")).await.status, 200);
    }
    gate.until_inside(1).await;
    gate.open();
    let mut answer = String::new();
    timeout(LONG, half_closed.read_to_string(&mut answer)).await.expect("an answer and the end").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.stop().await;
}

/// One account's calls leave places to the others.
#[tokio::test]
async fn an_account_holds_no_more_than_its_share_of_the_places() {
    let (server, gate) = behind_gate(Behind::Claims, places(1, 4, 1));
    let server = Arc::new(server);
    let claim = |who: &'static str| {
        let server = server.clone();
        tokio::spawn(async move { server.claim(who, &json!({ "pairing_code": "K7M3NP" })).await })
    };
    let mut inside = vec![claim("ann"), claim("ann"), claim("ann")];
    gate.until_inside(3).await;
    let refused = claim("ann").await.unwrap();
    assert_eq!(refused.failure(429, "4290"), "Too many requests at once, try again later");
    refused.assert_sent_away_for(1);
    inside.push(claim("eve"));
    gate.until_inside(4).await;
    gate.open();
    for served in inside {
        assert_eq!(served.await.unwrap().failure(400, "4004"), "Pairing code not found");
    }
    assert_eq!(claim("ann").await.unwrap().failure(400, "4004"), "Pairing code not found");
    Arc::into_inner(server).unwrap().stop().await;
}

/// Calls of people and machines that wait for the identity provider, and files, take no place from anybody else.
#[tokio::test]
async fn claims_and_imports_have_places_of_their_own() {
    let store = TestStore::sqlite().await;
    let gate = Gate::shut();
    let verifier = Arc::new(GatedVerifier(merchant_tokens(), gate.clone()));
    let options = Options { settings: places(1, 2, 1), verifier, ..Options::default() };
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
    gate.until_inside(3).await;
    assert_turned_away(&claim().await.unwrap());
    assert_turned_away(&import().await.unwrap());
    let locations = server.request(Method::GET, "/merchant/locations").bearer_auth("ann");
    assert_turned_away(&send(locations).await);
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
async fn a_terminal_that_waits_takes_no_place() {
    let store = TestStore::sqlite().await;
    let mut settings = places(1, 2, 1);
    settings.push(("POS__TERMINAL__WAIT_RECHECK_SECS", "300".into()));
    let server = TestServer::start(store.opened(), Options { settings, ..Options::default() });
    let device = server.device().await;
    let code = server.code(&device).await;
    let waiting: Vec<_> =
        (0..3).map(|_| tokio::spawn(send(poll(&server, &device).header("Prefer", "wait=25")))).collect();
    // A wait that found the only place taken is turned away like any call; at least one got in.
    let others = async {
        while metrics(&server).await.contains("pos_waiting_terminals 0") {}
        while server.terminal(Method::GET, "/pos/status", &device).await.status != 200 {}
    };
    timeout(LONG, others).await.expect("who polls is served while somebody waits");
    assert_eq!(server.claim("ann", &json!({ "pairing_code": code })).await.status, 200);
    let mut claimed = 0;
    for answer in waiting {
        let answer = answer.await.unwrap();
        match answer.status.as_u16() {
            200 => claimed += usize::from(answer.json()["is_claimed"] == true),
            _ => assert_turned_away(&answer),
        }
    }
    assert!(claimed >= 1, "who waited heard of it");
    // What was lent to those who waited came back, once each.
    for _ in 0..5 {
        assert_eq!(send(poll(&server, &device).header("Prefer", "wait=25")).await.status, 200);
        assert_eq!(send(poll(&server, &device)).await.status, 200);
    }
    server.stop().await;
}
