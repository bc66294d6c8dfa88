//! Isolation within the connection pool: terminal info, portals and readiness do not starve each other.

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_tests::postgres::TestDatabase;
use pos_tests::server::{Answer, Options, TestServer, send};
use pos_tests::stores::{options, sqlite_url};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Upper limit of a wait; only a test that hangs reaches it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Terminals that bootstrap at once.
const FLEET: usize = 60;
/// Connections in the pool of each test.
const POOL: usize = 4;

async fn postgres() -> (TestDatabase, OpenedStorage) {
    let database = TestDatabase::migrated().await;
    // Waits for a lock outlast the test, so that no timeout releases them.
    let longer_than_the_test = Duration::from_secs(600);
    let options = StorageOptions {
        max_connections: POOL,
        acquire_timeout: longer_than_the_test,
        statement_timeout: longer_than_the_test,
        ..options(database.url().parse().unwrap())
    };
    let opened = storage::open(&options).await.unwrap();
    (database, opened)
}

async fn sqlite() -> (TempDir, OpenedStorage) {
    let folder = tempfile::tempdir().unwrap();
    let longer_than_the_test = Duration::from_secs(600);
    let options = StorageOptions {
        acquire_timeout: longer_than_the_test,
        statement_timeout: longer_than_the_test,
        ..options(sqlite_url(&folder))
    };
    storage::migrate(&options).await.unwrap();
    let opened = storage::open(&options).await.unwrap();
    (folder, opened)
}

fn server(opened: &OpenedStorage) -> Arc<TestServer> {
    let settings = vec![("POS__HTTP__REQUEST_TIMEOUT_SECS", "600".to_owned())];
    Arc::new(TestServer::start(opened, Options { settings, ..Options::default() }))
}

async fn devices(server: &TestServer, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(server.device().await);
    }
    ids
}

/// Bootstraps all these devices concurrently.
fn bootstrap(server: &Arc<TestServer>, ids: Vec<String>) -> JoinSet<Answer> {
    ids.into_iter()
        .map(|id| {
            let server = Arc::clone(server);
            async move { server.terminal(Method::POST, "/pos/bootstrap", &id).await }
        })
        .collect()
}

/// Waits for this many responses, each with 200.
async fn wait_for_responses(calls: &mut JoinSet<Answer>, count: usize) {
    for _ in 0..count {
        let answer = timeout(TIMEOUT, calls.join_next()).await.expect("a response to a bootstrap").unwrap().unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
}

async fn get(server: &TestServer, path: &str) -> Answer {
    timeout(TIMEOUT, send(server.request(Method::GET, path))).await.expect("an answer in time")
}

async fn assert_ready(server: &TestServer) {
    let answer = get(server, "/health/ready").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

async fn dropped_updates(server: &TestServer) -> String {
    let page = get(server, "/metrics").await.text;
    let line = page.lines().find_map(|line| line.strip_prefix("pos_storage_terminal_info_dropped_total "));
    line.expect("the metric").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_bootstraps_starves_neither_portals_nor_readiness() {
    let (database, opened) = postgres().await;
    let server = server(&opened);
    let fleet = devices(&server, FLEET).await;
    let blocker = database.client().await;
    blocker.batch_execute("BEGIN; SELECT FROM devices FOR UPDATE").await.unwrap();
    let mut calls = bootstrap(&server, fleet);
    // The updates on a third of the pool wait for the lock. All other updates are dropped.
    wait_for_responses(&mut calls, FLEET - POOL / 3).await;
    assert_eq!(dropped_updates(&server).await, (FLEET - POOL / 3).to_string());
    assert_ready(&server).await;
    for _ in 0..3 {
        let id = server.device().await;
        let code = server.code(&id).await;
        let claim = json!({"pairing_code": code});
        let answer = timeout(TIMEOUT, server.claim("ann", &claim)).await.expect("a response to a claim");
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    assert!(!calls.is_empty());
    blocker.batch_execute("ROLLBACK").await.unwrap();
    wait_for_responses(&mut calls, POOL / 3).await;
    assert_ready(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_is_ready() {
    let (database, opened) = postgres().await;
    let server = server(&opened);
    let blocker = database.client().await;
    // A claim reads the failed claims, on a connection of the pool.
    blocker.batch_execute("BEGIN; LOCK TABLE claim_failures IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut claims: JoinSet<Answer> = (0..3 * POOL)
        .map(|_| {
            let server = Arc::clone(&server);
            async move { server.claim("ann", &json!({"pairing_code": "AAAAAA"})).await }
        })
        .collect();
    let watcher = database.client().await;
    let all_blocked = async {
        let blocked =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while watcher.query_one(blocked, &[]).await.unwrap().get::<_, i64>(0) < i64::try_from(POOL).unwrap() {
            tokio::task::yield_now().await;
        }
    };
    timeout(TIMEOUT, all_blocked).await.expect("every connection waits for the lock");
    assert_ready(&server).await;
    blocker.batch_execute("ROLLBACK").await.unwrap();
    while let Some(answer) = claims.join_next().await {
        assert_ne!(answer.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_bootstraps_does_not_fill_the_queue_of_sqlites_writer() {
    let (folder, opened) = sqlite().await;
    let server = server(&opened);
    let fleet = devices(&server, FLEET).await;
    let mut other = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let mut calls = bootstrap(&server, fleet);
    wait_for_responses(&mut calls, FLEET - 32).await;
    assert_ready(&server).await;
    other.batch_execute("ROLLBACK").unwrap();
    wait_for_responses(&mut calls, 32).await;
    assert_eq!(dropped_updates(&server).await, (FLEET - 32).to_string());
}
