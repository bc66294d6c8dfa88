//! Responses to faults of the store and of the identity provider.

use std::sync::Arc;

use async_trait::async_trait;
use pos_adapters::storage::OpenedStorage;
use pos_domain::device::{Device, PairingCode, PastCode, TerminalInfo, Transition};
use pos_domain::shared::DeviceId;
use pos_port_identity::{Principal, TokenVerifier, VerifyError};
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::shared::IdempotencyRecord;
use pos_port_storage::shared::{PoolMonitor, PoolState};
use pos_port_storage::shared::{SaveError, SaveIdempotentError, StorageError, StorageHealth};
use pos_port_storage::{InMemoryStore, Storage};
use pos_tests::server::{Answer, Options, TestServer, send};
use reqwest::Method;
use serde_json::json;

/// A store that fails in one way.
#[derive(Clone, Copy)]
enum Broken {
    Unavailable,
    Faulty,
    Panics,
    Hangs,
}

const SECRET: &str = "password=hunter2 SELECT * FROM devices";

impl Broken {
    async fn fail<T>(self) -> Result<T, StorageError> {
        match self {
            Self::Unavailable => Err(StorageError::Unavailable(SECRET.into())),
            Self::Faulty => Err(StorageError::Fault(SECRET.into())),
            Self::Panics => panic!("{SECRET}"),
            Self::Hangs => std::future::pending().await,
        }
    }
}

#[async_trait]
impl DeviceRepository for Broken {
    async fn find(&self, _: &DeviceId) -> Result<Option<Device>, StorageError> {
        self.fail().await
    }
    async fn find_by_pairing_code(&self, _: PairingCode) -> Result<Option<Device>, StorageError> {
        self.fail().await
    }
    async fn find_past_code(&self, _: PairingCode) -> Result<Option<PastCode>, StorageError> {
        self.fail().await
    }
    async fn save(&self, _: &Transition) -> Result<(), SaveError> {
        Ok(self.fail().await?)
    }
    async fn save_idempotent(&self, _: &Transition, _: &IdempotencyRecord) -> Result<(), SaveIdempotentError> {
        Ok(self.fail().await?)
    }
    async fn update_terminal_info(&self, _: &DeviceId, _: &TerminalInfo) -> Result<(), StorageError> {
        self.fail().await
    }
}

#[async_trait]
impl StorageHealth for Broken {
    async fn ping(&self) -> Result<(), StorageError> {
        self.fail().await
    }
}

impl PoolMonitor for Broken {
    fn state(&self) -> PoolState {
        PoolState { max: 3, size: 2, available: 1, waiting: 7 }
    }
}

fn server(broken: Broken, settings: Vec<(&'static str, String)>) -> TestServer {
    let store = Arc::new(InMemoryStore::default());
    let storage = Storage { devices: Arc::new(broken), health: Arc::new(broken), ..Storage::of(store) };
    let opened = OpenedStorage { storage, pool: Arc::new(broken) };
    TestServer::start(&opened, Options { settings, ..Options::default() })
}

async fn every_route_that_uses_the_store(server: &TestServer) -> Vec<Answer> {
    vec![
        server.terminal(Method::POST, "/pos/bootstrap", "POS-00000001").await,
        server.terminal(Method::POST, "/pos/pairing-code", "POS-00000001").await,
        server.terminal(Method::GET, "/pos/status", "POS-00000001").await,
        server.claim("ann", &json!({"pairing_code": "K7M3NP"})).await,
    ]
}

#[tokio::test]
async fn an_unavailable_store_is_503_with_retry_after() {
    let server = server(Broken::Unavailable, Vec::new());
    let mut idempotency = every_route_that_uses_the_store(&server).await;
    idempotency.push(send(server.request(Method::GET, "/health/ready")).await);
    for answer in idempotency {
        assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
        assert!(answer.header("retry-after").and_then(|secs| secs.parse::<u32>().ok()).is_some_and(|secs| secs > 0));
        assert!(!answer.text.contains("hunter2"), "{answer:?}");
    }
    assert_eq!(send(server.request(Method::GET, "/health/live")).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_fault_is_500_and_does_not_expose_its_cause() {
    let server = server(Broken::Faulty, Vec::new());
    for answer in every_route_that_uses_the_store(&server).await {
        assert_eq!(answer.failure(500, "5000"), "Internal server error");
        assert!(!answer.text.contains("hunter2") && answer.details().is_null(), "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_panic_is_500_and_the_process_continues() {
    // Low concurrency limits, so that a permit leaked by a panic is noticed.
    let limits = ["POS__HTTP__MAX_CONCURRENT_TERMINAL_REQUESTS", "POS__HTTP__MAX_CONCURRENT_PORTAL_REQUESTS"]
        .map(|name| (name, "4".to_owned()));
    let server = server(Broken::Panics, limits.to_vec());
    for _ in 0..20 {
        for answer in every_route_that_uses_the_store(&server).await {
            assert_eq!(answer.failure(500, "5000"), "Internal server error");
            assert!(!answer.text.contains("hunter2"), "{answer:?}");
        }
    }
    assert_eq!(send(server.request(Method::GET, "/health/live")).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_times_out_is_503() {
    let server = server(Broken::Hangs, vec![("POS__HTTP__REQUEST_TIMEOUT_SECS", "1".into())]);
    for answer in every_route_that_uses_the_store(&server).await {
        assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
    }
    server.stop().await;
}

struct NoKeys;

#[async_trait]
impl TokenVerifier for NoKeys {
    async fn verify(&self, _: &str) -> Result<Principal, VerifyError> {
        Err(VerifyError::Unavailable)
    }
    fn is_ready(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn without_the_identity_provider_claims_are_503_and_terminals_are_served() {
    let store = pos_tests::stores::TestStore::sqlite().await;
    let options = Options { verifier: Arc::new(NoKeys), ..Options::default() };
    let server = TestServer::start(store.opened(), options);
    let id = server.device().await;
    let code = server.code(&id).await;
    let claim = server.claim("ann", &json!({ "pairing_code": code })).await;
    assert_eq!(claim.failure(503, "5003"), "Service temporarily unavailable");
    assert!(claim.header("retry-after").is_some());
    assert_eq!(server.terminal(Method::GET, "/pos/status", &id).await.status, 200);
    let ready = send(server.request(Method::GET, "/health/ready")).await;
    assert_eq!(ready.json(), json!({"status": "ready", "storage": "ok", "identity": "unavailable"}));
    server.stop().await;
}
