//! Failover between several hosts in one URL: the first accepts connections and sends nothing.

use std::net::TcpListener;
use std::time::Duration;

use pos_adapters::storage::{self, StorageOptions};
use pos_domain::shared::DeviceId;
use pos_port_storage::pairing::Wake;
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(300);
/// Timeout that only a hanging test reaches.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A host that hangs until it is dropped, and a URL that names it before the database.
fn with_hanging_first_host(database: &TestDatabase) -> (TcpListener, String) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts = format!("@{},", silent.local_addr().unwrap());
    let url = database.url().replacen('@', &hosts, 1);
    (silent, format!("{url}?target_session_attrs=read-write"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connect_timeout_applies_to_each_host_of_every_connection() {
    let database = TestDatabase::empty().await;
    let (_silent, url) = with_hanging_first_host(&database);
    let options = StorageOptions { connect_timeout: SHORT, ..options(url.parse().unwrap()) };
    // Each opens its own store, so that none learns from another which host answers.
    storage::migrate(&options).await.unwrap();
    storage::pending_migrations(&options).await.unwrap();
    storage::open(&options).await.unwrap().storage.health.ping().await.unwrap();
    let id = DeviceId::from_bits(1);
    assert_eq!(storage::open(&options).await.unwrap().storage.devices.find(&id).await.unwrap(), None);
    let storage = storage::open(&options).await.unwrap().storage;
    let mut watch = storage.changes.subscribe(&id).unwrap();
    assert_eq!(watch.changed(TIMEOUT).await, Wake::Changed, "every subscriber wakes once the store listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connect_timeout_of_the_url_takes_precedence() {
    let database = TestDatabase::migrated().await;
    let (_silent, url) = with_hanging_first_host(&database);
    let ten_minutes = Duration::from_secs(600);
    let url = format!("{url}&connect_timeout=1").parse().unwrap();
    let options = StorageOptions { connect_timeout: ten_minutes, acquire_timeout: ten_minutes, ..options(url) };
    let storage = storage::open(&options).await.unwrap().storage;
    timeout(TIMEOUT, storage.health.ping()).await.expect("the second host is tried").unwrap();
}

/// As with the default settings, no request has time to wait for the hanging host.
#[tokio::test(flavor = "multi_thread")]
async fn requests_with_short_timeouts_reach_the_host_that_answers() {
    let database = TestDatabase::migrated().await;
    let (_silent, url) = with_hanging_first_host(&database);
    let options = StorageOptions { connect_timeout: SHORT, acquire_timeout: SHORT, ..options(url.parse().unwrap()) };
    let storage = storage::open(&options).await.unwrap().storage;
    let mut attempts = 0;
    while storage.health.ping().await.is_err() {
        attempts += 1;
        assert!(attempts < 20, "the store does not remember the host that answers");
    }
}
