//! Several hosts in one URL, the first of which accepts connections and says nothing.

use std::net::TcpListener;
use std::time::Duration;

use pos_adapters::storage::{self, StorageOptions};
use pos_domain::DeviceId;
use pos_port_storage::Woken;
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(300);
/// Longer than anything here takes; only a test that hangs reaches it.
const LONG: Duration = Duration::from_secs(60);

/// The database behind a host that hangs. That one hangs until it is dropped.
fn behind_one_that_hangs(database: &TestDatabase) -> (TcpListener, String) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts = format!("@{},", silent.local_addr().unwrap());
    let url = database.url().replacen('@', &hosts, 1);
    (silent, format!("{url}?target_session_attrs=read-write"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_has_the_connect_timeout_wherever_a_connection_is_opened() {
    let database = TestDatabase::empty().await;
    let (_silent, url) = behind_one_that_hangs(&database);
    let options = StorageOptions { connect_timeout: SHORT, ..options(url.parse().unwrap()) };
    // Each on its own, so that none finds out for the others.
    storage::migrate(&options).await.unwrap();
    storage::pending_migrations(&options).await.unwrap();
    storage::open(&options).await.unwrap().storage.health.ping().await.unwrap();
    let id = DeviceId::from_bits(1);
    assert_eq!(storage::open(&options).await.unwrap().storage.devices.find(&id).await.unwrap(), None);
    let storage = storage::open(&options).await.unwrap().storage;
    let mut watch = storage.changes.watch(&id).unwrap();
    assert_eq!(watch.changed(LONG).await, Woken::ByChange, "everybody is woken once the store listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_urls_own_timeout_goes_first() {
    let database = TestDatabase::migrated().await;
    let (_silent, url) = behind_one_that_hangs(&database);
    let patient = Duration::from_secs(600);
    let url = format!("{url}&connect_timeout=1").parse().unwrap();
    let options = StorageOptions { connect_timeout: patient, acquire_timeout: patient, ..options(url) };
    let storage = storage::open(&options).await.unwrap().storage;
    timeout(LONG, storage.health.ping()).await.expect("the second host is tried").unwrap();
}

/// As the defaults have it: no request has the time to wait for a host that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn requests_with_no_time_for_it_find_the_host_that_answers() {
    let database = TestDatabase::migrated().await;
    let (_silent, url) = behind_one_that_hangs(&database);
    let options = StorageOptions { connect_timeout: SHORT, acquire_timeout: SHORT, ..options(url.parse().unwrap()) };
    let storage = storage::open(&options).await.unwrap().storage;
    let mut tries = 0;
    while storage.health.ping().await.is_err() {
        tries += 1;
        assert!(tries < 20, "the host that answers is not remembered");
    }
}
