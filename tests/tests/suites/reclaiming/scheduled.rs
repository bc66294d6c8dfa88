//! A server that serves goes round by itself, tells it in its metrics, and stops with the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use pos_adapters::storage::OpenedStorage;
use pos_port_storage::{ReclaimBatch, Reclaimable, Reclaimed, ReclaimedBatch, Reclaiming, Storage, StorageError};
use pos_tests::server::{Options, START, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::{Client, Method};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longer than any round takes here; only a test that hangs gets near it.
const PATIENCE: StdDuration = StdDuration::from_secs(60);

pub(super) fn every_second() -> Options {
    let settings = vec![
        ("POS__RECLAIM__EVERY_SECS", "1".to_owned()),
        ("POS__RECLAIM__BATCH", "3".to_owned()),
        ("POS__RECLAIM__EVENTS_KEEP_DAYS", "395".to_owned()),
    ];
    Options { settings, ..Options::default() }
}

/// The value of a series in the metrics; 0 while it is not there.
pub(super) async fn metric(server: &TestServer, series: &str) -> u64 {
    let page = send(server.request(Method::GET, "/metrics")).await.text;
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    value.unwrap_or(0)
}

/// Looks at the metrics until `series` has this value, or one above it.
pub(super) async fn reached(server: &TestServer, series: &str, value: u64) {
    let looking = async {
        while metric(server, series).await < value {
            tokio::time::sleep(StdDuration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{series} does not reach {value}"));
}

async fn goes_round(store: TestStore) {
    let server = TestServer::start(store.opened(), every_second());
    let id = server.device().await;
    for _ in 0..5 {
        server.code(&id).await;
    }
    for _ in 0..4 {
        let _ = server.claim("ann", &json!({"pairing_code": "ZZZZZZ"})).await.failure(400, "4004");
    }
    reached(&server, "pos_reclaim_rounds_total{outcome=\"done\"}", 1).await;
    assert_eq!(metric(&server, "pos_reclaimed_rows_total{kind=\"ended_codes\"}").await, 0, "nothing is over yet");
    server.clock.advance(Duration::days(800));
    // Four refused claims and three sessions; merchants and members stay on record.
    let over = [("ended_codes", 4), ("claim_failures", 2), ("device_events", 5), ("audit_events", 4 + 3)];
    for (kind, rows) in over {
        reached(&server, &format!("pos_reclaimed_rows_total{{kind=\"{kind}\"}}"), rows).await;
    }
    let now = u64::try_from((START + Duration::days(800)).unix_timestamp()).unwrap();
    reached(&server, "pos_reclaim_last_success_timestamp_seconds", now).await;
    for (kind, rows) in over {
        assert_eq!(metric(&server, &format!("pos_reclaimed_rows_total{{kind=\"{kind}\"}}")).await, rows, "{kind}");
    }
    timeout(PATIENCE, server.stop_gracefully()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    goes_round(TestStore::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    goes_round(TestStore::sqlite().await).await;
}

/// There is always more to remove, and each batch waits until it is let go on.
struct Endless {
    begun: Semaphore,
    may_end: Semaphore,
    ended: AtomicU64,
}

#[async_trait]
impl Reclaiming for Endless {
    async fn reclaim(&self, _: &ReclaimBatch) -> Result<Reclaimed, StorageError> {
        self.begun.add_permits(1);
        self.may_end.acquire().await.unwrap().forget();
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(Reclaimed::Done(ReclaimedBatch { removed: 1, more: true, through: None }))
    }

    async fn reclaimable(&self, _: Reclaimable, _: OffsetDateTime, _: u32) -> Result<u64, StorageError> {
        Ok(1)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_batch_under_way_and_no_longer() {
    let store = TestStore::sqlite().await;
    let endless = Arc::new(Endless { begun: Semaphore::new(0), may_end: Semaphore::new(1), ended: AtomicU64::new(0) });
    let storage = Storage { reclaiming: endless.clone(), ..store.opened().storage.clone() };
    let opened = OpenedStorage { storage, pool: store.opened().pool.clone() };
    let server = TestServer::start(&opened, every_second());
    timeout(PATIENCE, endless.begun.acquire_many(2)).await.unwrap().unwrap().forget();
    assert_eq!(endless.ended.load(Ordering::SeqCst), 1, "one after the other");
    let url = format!("{}/health/live", server.url);
    let stopping = tokio::spawn(server.stop_gracefully());
    let refuses = async {
        while Client::builder().no_proxy().build().unwrap().get(&url).send().await.is_ok() {
            tokio::time::sleep(StdDuration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, refuses).await.unwrap();
    assert!(!stopping.is_finished(), "it refuses connections, and a batch is under way");
    endless.may_end.add_permits(1_000);
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
    let ended = endless.ended.load(Ordering::SeqCst);
    assert!(ended < 1_000, "it goes on for ever");
    drop(opened);
    assert_eq!(Arc::strong_count(&endless), 1, "nobody is left to go round");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_switched_off() {
    let store = TestStore::sqlite().await;
    let endless =
        Arc::new(Endless { begun: Semaphore::new(0), may_end: Semaphore::new(1_000), ended: AtomicU64::new(0) });
    let storage = Storage { reclaiming: endless.clone(), ..store.opened().storage.clone() };
    let opened = OpenedStorage { storage, pool: store.opened().pool.clone() };
    let settings = vec![("POS__RECLAIM__EVERY_SECS", "0".to_owned())];
    let server = TestServer::start(&opened, Options { settings, ..Options::default() });
    drop(opened);
    assert_eq!(Arc::strong_count(&endless), 2, "the test and the server's store, and no schedule");
    server.stop().await;
}
