//! Purge schedule of a server: interval, metrics, graceful stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use pos_adapters::storage::OpenedStorage;
use pos_port_storage::Storage;
use pos_port_storage::audit::{ExpiredKind, PurgeBatch, Purged, PurgedBatch, RetentionRepository};
use pos_port_storage::shared::StorageError;
use pos_tests::server::{Options, START, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::{Client, Method};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Timeout that only a hanging test reaches.
const TIMEOUT: StdDuration = StdDuration::from_secs(60);

pub(super) fn every_second() -> Options {
    let settings = vec![
        ("POS__RETENTION__EVERY_SECS", "1".to_owned()),
        ("POS__RETENTION__BATCH", "3".to_owned()),
        ("POS__RETENTION__EVENTS_KEEP_DAYS", "395".to_owned()),
    ];
    Options { settings, ..Options::default() }
}

/// The value of a series in the metrics; 0 if it is missing.
pub(super) async fn metric(server: &TestServer, series: &str) -> u64 {
    let page = send(server.request(Method::GET, "/metrics")).await.text;
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    value.unwrap_or(0)
}

/// Returns once `series` has at least this value.
pub(super) async fn wait_for_metric(server: &TestServer, series: &str, value: u64) {
    let polling = async {
        while metric(server, series).await < value {
            tokio::time::sleep(StdDuration::from_millis(20)).await;
        }
    };
    timeout(TIMEOUT, polling).await.unwrap_or_else(|_| panic!("{series} does not reach {value}"));
}

async fn assert_server_purges(store: TestStore) {
    let server = TestServer::start(store.opened(), every_second());
    let id = server.device().await;
    for _ in 0..5 {
        server.code(&id).await;
    }
    for _ in 0..4 {
        let _ = server.claim("ann", &json!({"pairing_code": "ZZZZZZ"})).await.failure(400, "4004");
    }
    wait_for_metric(&server, "pos_purge_runs_total{outcome=\"done\"}", 1).await;
    assert_eq!(metric(&server, "pos_purged_rows_total{kind=\"past_codes\"}").await, 0, "nothing has expired yet");
    server.clock.advance(Duration::days(800));
    // Four refused claims and three session events; events of merchants and members are never purged.
    let expired = [("past_codes", 4), ("claim_failures", 2), ("device_events", 5), ("audit_events", 4 + 3)];
    for (kind, rows) in expired {
        wait_for_metric(&server, &format!("pos_purged_rows_total{{kind=\"{kind}\"}}"), rows).await;
    }
    let now = u64::try_from((START + Duration::days(800)).unix_timestamp()).unwrap();
    wait_for_metric(&server, "pos_purge_last_success_timestamp_seconds", now).await;
    for (kind, rows) in expired {
        assert_eq!(metric(&server, &format!("pos_purged_rows_total{{kind=\"{kind}\"}}")).await, rows, "{kind}");
    }
    timeout(TIMEOUT, server.stop_gracefully()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_purges_postgres_on_schedule() {
    assert_server_purges(TestStore::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_purges_sqlite_on_schedule() {
    assert_server_purges(TestStore::sqlite().await).await;
}

/// A repository with endless expired rows, whose batches wait for a permit to end.
struct EndlessRows {
    started: Semaphore,
    may_end: Semaphore,
    ended: AtomicU64,
}

#[async_trait]
impl RetentionRepository for EndlessRows {
    async fn purge(&self, _: &PurgeBatch) -> Result<Purged, StorageError> {
        self.started.add_permits(1);
        self.may_end.acquire().await.unwrap().forget();
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(Purged::Done(PurgedBatch { removed: 1, more: true, through: None }))
    }

    async fn count_expired(&self, _: ExpiredKind, _: OffsetDateTime, _: u32) -> Result<u64, StorageError> {
        Ok(1)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_running_batch_only() {
    let store = TestStore::sqlite().await;
    let endless =
        Arc::new(EndlessRows { started: Semaphore::new(0), may_end: Semaphore::new(1), ended: AtomicU64::new(0) });
    let storage = Storage { retention: endless.clone(), ..store.opened().storage.clone() };
    let opened = OpenedStorage { storage, pool: store.opened().pool.clone() };
    let server = TestServer::start(&opened, every_second());
    timeout(TIMEOUT, endless.started.acquire_many(2)).await.unwrap().unwrap().forget();
    assert_eq!(endless.ended.load(Ordering::SeqCst), 1, "batches run one after the other");
    let url = format!("{}/health/live", server.url);
    let stopping = tokio::spawn(server.stop_gracefully());
    let refusing = async {
        while Client::builder().no_proxy().build().unwrap().get(&url).send().await.is_ok() {
            tokio::time::sleep(StdDuration::from_millis(10)).await;
        }
    };
    timeout(TIMEOUT, refusing).await.unwrap();
    assert!(!stopping.is_finished(), "the server refuses connections and waits for the batch");
    endless.may_end.add_permits(1_000);
    timeout(TIMEOUT, stopping).await.unwrap().unwrap();
    let ended = endless.ended.load(Ordering::SeqCst);
    assert!(ended < 1_000, "the purge does not stop");
    drop(opened);
    assert_eq!(Arc::strong_count(&endless), 1, "the schedule was dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interval_of_zero_disables_the_schedule() {
    let store = TestStore::sqlite().await;
    let endless =
        Arc::new(EndlessRows { started: Semaphore::new(0), may_end: Semaphore::new(1_000), ended: AtomicU64::new(0) });
    let storage = Storage { retention: endless.clone(), ..store.opened().storage.clone() };
    let opened = OpenedStorage { storage, pool: store.opened().pool.clone() };
    let settings = vec![("POS__RETENTION__EVERY_SECS", "0".to_owned())];
    let server = TestServer::start(&opened, Options { settings, ..Options::default() });
    drop(opened);
    assert_eq!(Arc::strong_count(&endless), 3, "the test, its store and the use cases hold it, no schedule does");
    server.stop().await;
}
