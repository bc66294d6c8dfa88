//! Fault injection: an unreachable, busy, locked or disconnected database is unavailable in time and recovers.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_adapters::storage::{self, DatabaseUrl, OpenError, OpenedStorage, StorageOptions};
use pos_domain::device::{Device, DeviceDetails, PairingCode, Transition};
use pos_domain::shared::{
    AuditContext, DeviceId, Fingerprint, IdempotencyKey, MerchantId, Party, RequestContext, Scope,
};
use pos_port_storage::Storage;
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::fleet::CreateDevicesError;
use pos_port_storage::shared::PoolState;
use pos_port_storage::shared::{IdempotencyRecord, SaveError, StorageError};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{options, sqlite_url};
use tempfile::TempDir;
use time::OffsetDateTime;

const SHORT: Duration = Duration::from_millis(300);

/// One connection and short timeouts, so that a fault shows at once.
fn short_timeouts(url: DatabaseUrl) -> StorageOptions {
    StorageOptions { max_connections: 1, acquire_timeout: SHORT, statement_timeout: SHORT, ..options(url) }
}

async fn create_device(storage: &Storage) -> Device {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let new = Device::provision(
        DeviceId::from_bits(1),
        merchant,
        DeviceDetails::default(),
        AuditContext::operator(),
        OffsetDateTime::UNIX_EPOCH,
    );
    pos_tests::users::add_merchant(storage, merchant).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    new.into_device()
}

fn issue_code(device: Device, code: u32) -> Transition {
    device
        .issue_pairing_code(
            PairingCode::from_bits(code),
            time::Duration::minutes(5),
            RequestContext::default(),
            OffsetDateTime::UNIX_EPOCH,
        )
        .unwrap()
}

fn is_unavailable(answer: Result<(), SaveError>) -> bool {
    matches!(answer, Err(SaveError::Storage(StorageError::Unavailable(_))))
}

async fn postgres() -> (OpenedStorage, TestDatabase) {
    let database = TestDatabase::migrated().await;
    let opened = storage::open(&short_timeouts(database.url().parse().unwrap())).await.unwrap();
    (opened, database)
}

async fn sqlite() -> (OpenedStorage, SqliteConnection, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    storage::migrate(&options(sqlite_url(&folder))).await.unwrap();
    let opened = storage::open(&short_timeouts(sqlite_url(&folder))).await.unwrap();
    let mut other = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    other.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
    (opened, other, folder)
}

#[tokio::test]
async fn a_store_opens_while_the_database_is_down() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://pos:s3cret@127.0.0.1:{port}/pos").parse().unwrap();
    let opened = storage::open(&options(url)).await.unwrap();
    let error = opened.storage.health.ping().await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("s3cret"));
    assert_eq!(opened.pool.state(), PoolState { max: 8, size: 0, available: 0, waiting: 0 });
}

#[tokio::test]
async fn connecting_to_a_database_that_never_answers_times_out() {
    // Accepts connections into its backlog and sends nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://pos@{}/pos", silent.local_addr().unwrap()).parse().unwrap();
    let opened = storage::open(&StorageOptions { connect_timeout: SHORT, ..options(url) }).await.unwrap();
    assert!(matches!(opened.storage.health.ping().await, Err(StorageError::Unavailable(_))));
}

#[tokio::test]
async fn a_missing_schema_is_a_fault_not_an_outage() {
    let database = TestDatabase::empty().await;
    let storage = storage::open(&options(database.url().parse().unwrap())).await.unwrap().storage;
    let found = storage.devices.find(&DeviceId::from_bits(1)).await;
    assert!(matches!(found, Err(StorageError::Fault(_))), "{found:?}");
    storage.health.ping().await.unwrap();
}

#[tokio::test]
async fn a_cut_connection_is_replaced() {
    let (opened, database) = postgres().await;
    let device = create_device(&opened.storage).await;
    for _ in 0..3 {
        database.terminate_connections().await;
        let first = opened.storage.devices.find(device.id()).await;
        assert!(matches!(first, Ok(_) | Err(StorageError::Unavailable(_))), "{first:?}");
        assert_eq!(opened.storage.devices.find(device.id()).await.unwrap().as_ref(), Some(&device));
        assert_eq!(opened.pool.state(), PoolState { max: 1, size: 1, available: 1, waiting: 0 });
    }
}

#[tokio::test]
async fn a_statement_whose_connection_is_cut_is_unavailable() {
    let (opened, database) = postgres().await;
    let long_timeouts = StorageOptions {
        statement_timeout: Duration::from_secs(30),
        ..short_timeouts(database.url().parse().unwrap())
    };
    let storage = storage::open(&long_timeouts).await.unwrap().storage;
    let device = create_device(&opened.storage).await;
    let blocker = lock_devices(&database).await;
    let saving = tokio::spawn({
        let (storage, step) = (storage.clone(), issue_code(device.clone(), 1));
        async move { storage.fleet.save(merchant_scope(&step), &step).await }
    });
    wait_for_blocked(&database, 1).await;
    // Ends the blocked session only: if its blocker ended too, the statement could succeed before it is cut.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database.client().await.query_one(cut, &[]).await.unwrap();
    let answer = saving.await.unwrap();
    assert!(matches!(answer, Err(SaveError::Storage(StorageError::Unavailable(_)))), "{answer:?}");
    drop(blocker);
    assert_eq!(storage.devices.find(device.id()).await.unwrap(), Some(device));
}

/// Locks every device's row until the client is dropped or rolled back.
async fn lock_devices(database: &TestDatabase) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute("BEGIN; SELECT * FROM devices FOR UPDATE").await.unwrap();
    client
}

/// Returns once exactly `blocked` statements on the database wait for a lock.
async fn wait_for_blocked(database: &TestDatabase, blocked: i64) {
    let client = database.client().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) != blocked {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_locked_row_is_unavailable_in_time_and_saves_after_unlock() {
    let (opened, database) = postgres().await;
    let device = create_device(&opened.storage).await;
    let blocker = lock_devices(&database).await;
    let step = issue_code(device, 1);
    assert!(is_unavailable(opened.storage.devices.save(&step).await));
    blocker.batch_execute("ROLLBACK").await.unwrap();
    wait_for_blocked(&database, 0).await;
    opened.storage.devices.save(&step).await.unwrap();
}

/// The scope of a merchant's save, which takes a connection from the pool. A terminal's save is batched instead.
fn merchant_scope(step: &Transition) -> Scope {
    Scope::Of(Party::Merchant(step.device().merchant_id()))
}

#[tokio::test]
async fn a_cancelled_caller_leaves_a_clean_pool() {
    let (opened, database) = postgres().await;
    let long_timeouts = StorageOptions { max_connections: 1, ..options(database.url().parse().unwrap()) };
    let long_timeouts = storage::open(&long_timeouts).await.unwrap();
    let device = create_device(&opened.storage).await;
    let blocker = lock_devices(&database).await;
    let saving = tokio::spawn({
        let (storage, step) = (long_timeouts.storage.clone(), issue_code(device.clone(), 1));
        async move { storage.fleet.save(merchant_scope(&step), &step).await }
    });
    wait_for_blocked(&database, 1).await;
    saving.abort();
    assert!(saving.await.unwrap_err().is_cancelled());
    // The statement still waits for the lock, on a connection that left the pool.
    assert_eq!(long_timeouts.storage.devices.find(device.id()).await.unwrap(), Some(device));
    drop(blocker);
    assert_eq!(long_timeouts.pool.state().size, 1);
}

fn new_device() -> Transition {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let details = DeviceDetails::default();
    Device::provision(DeviceId::from_bits(1), merchant, details, AuditContext::operator(), OffsetDateTime::UNIX_EPOCH)
}

fn record() -> IdempotencyRecord {
    IdempotencyRecord {
        party: Party::Merchant(new_device().device().merchant_id()),
        key: IdempotencyKey::parse("key").unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: "created".to_owned(),
        at: OffsetDateTime::UNIX_EPOCH,
        expires_at: OffsetDateTime::UNIX_EPOCH + time::Duration::HOUR,
    }
}

/// Inserts the id of [`new_device`] in a transaction that stays open until it is rolled back.
async fn hold_device_id(database: &TestDatabase) -> tokio_postgres::Client {
    let client = database.client().await;
    let merchant = "INSERT INTO merchants VALUES ('0f0f0f0f-0000-4000-8000-000000000009', NULL, 'Shop', now())";
    client.batch_execute(merchant).await.unwrap();
    let hold = "BEGIN; INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status) \
                VALUES ('POS-00000001', '0f0f0f0f-0000-4000-8000-000000000009', 1, now(), 'inactive')";
    client.batch_execute(hold).await.unwrap();
    client
}

#[tokio::test]
async fn a_cancelled_creation_stores_nothing() {
    let database = TestDatabase::migrated().await;
    let one = StorageOptions { max_connections: 1, ..options(database.url().parse().unwrap()) };
    let opened = storage::open(&one).await.unwrap();
    pos_tests::users::add_merchant(&opened.storage, new_device().device().merchant_id()).await;
    let (fleet, idempotency) = (&opened.storage.fleet, &opened.storage.idempotency);
    let holder = hold_device_id(&database).await;
    let creating = tokio::spawn({
        let fleet = fleet.clone();
        async move { fleet.create(Scope::Operator, &[new_device()], Some(&record())).await }
    });
    wait_for_blocked(&database, 1).await;
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    // The transaction that reserved the key never commits, and its connection left the pool.
    let record = record();
    assert_eq!(idempotency.find(record.party, &record.key, record.at).await.unwrap(), None);
    holder.batch_execute("ROLLBACK").await.unwrap();
    fleet.create(Scope::Operator, &[new_device()], Some(&record)).await.unwrap();
    assert!(idempotency.find(record.party, &record.key, record.at).await.unwrap().is_some());
    let events = opened.storage.events.events_of(&DeviceHistory::whole(&DeviceId::from_bits(1))).await.unwrap();
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn a_creation_that_times_out_is_unavailable_and_stores_nothing() {
    let (opened, database) = postgres().await;
    pos_tests::users::add_merchant(&opened.storage, new_device().device().merchant_id()).await;
    let create = async || opened.storage.fleet.create(Scope::Operator, &[new_device()], Some(&record())).await;
    let holder = hold_device_id(&database).await;
    let answer = create().await;
    assert!(matches!(answer, Err(CreateDevicesError::Storage(StorageError::Unavailable(_)))), "{answer:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    wait_for_blocked(&database, 0).await;
    create().await.unwrap();
}

#[tokio::test]
async fn a_refused_creation_returns_its_connection() {
    let (opened, _database) = postgres().await;
    pos_tests::users::add_merchant(&opened.storage, new_device().device().merchant_id()).await;
    let create = async |record: Option<&IdempotencyRecord>| {
        opened.storage.fleet.create(Scope::Operator, &[new_device()], record).await
    };
    create(None).await.unwrap();
    for _ in 0..3 {
        let refused = create(Some(&record())).await;
        assert!(matches!(refused, Err(CreateDevicesError::Taken(_))), "{refused:?}");
        assert_eq!(opened.pool.state(), PoolState { max: 1, size: 1, available: 1, waiting: 0 });
    }
    let (record, idempotency) = (record(), &opened.storage.idempotency);
    assert_eq!(idempotency.find(record.party, &record.key, record.at).await.unwrap(), None);
}

#[tokio::test]
async fn an_exhausted_pool_is_unavailable_in_time() {
    let (opened, database) = postgres().await;
    let options = StorageOptions {
        statement_timeout: Duration::from_secs(30),
        ..short_timeouts(database.url().parse().unwrap())
    };
    let one = storage::open(&options).await.unwrap();
    let device = create_device(&opened.storage).await;
    let blocker = lock_devices(&database).await;
    let saving = tokio::spawn({
        let (storage, step) = (one.storage.clone(), issue_code(device.clone(), 1));
        async move { storage.fleet.save(merchant_scope(&step), &step).await }
    });
    wait_for_blocked(&database, 1).await;
    let read = one.storage.events.events_of(&DeviceHistory::whole(device.id())).await;
    assert!(matches!(read, Err(StorageError::Unavailable(_))), "{read:?}");
    assert!(one.storage.devices.find(device.id()).await.unwrap().is_some(), "status polls use separate connections");
    blocker.batch_execute("ROLLBACK").await.unwrap();
    saving.await.unwrap().unwrap();
    assert_eq!(one.storage.events.events_of(&DeviceHistory::whole(device.id())).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_standby_is_unavailable_for_writing() {
    let (opened, database) = postgres().await;
    let device = create_device(&opened.storage).await;
    let name = database.name();
    let set = |value| format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
    database.client().await.batch_execute(&set("on")).await.unwrap();
    database.terminate_connections().await;
    let _ = opened.storage.health.ping().await;
    let step = issue_code(device, 1);
    assert!(is_unavailable(opened.storage.devices.save(&step).await));
    let client = database.client().await;
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    client.batch_execute(&set("off")).await.unwrap();
    // The store discarded the connection to the "standby"; the next one reaches a primary.
    opened.storage.devices.save(&step).await.unwrap();
}

#[tokio::test]
async fn waiting_for_another_sqlite_writer_times_out() {
    let (opened, mut other, _folder) = sqlite().await;
    let device = create_device(&opened.storage).await;
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let step = issue_code(device.clone(), 1);
    assert!(is_unavailable(opened.storage.devices.save(&step).await));
    assert_eq!(opened.storage.devices.find(device.id()).await.unwrap(), Some(device), "reads still work");
    other.batch_execute("COMMIT").unwrap();
    opened.storage.devices.save(&step).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_sqlite_caller_leaves_a_clean_pool() {
    let (opened, mut other, _folder) = sqlite().await;
    let device = create_device(&opened.storage).await;
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let saving = tokio::spawn({
        let (storage, step) = (opened.storage.clone(), issue_code(device.clone(), 1));
        async move { storage.devices.save(&step).await }
    });
    while opened.pool.state().available == 2 || opened.pool.state().size < 2 {
        if opened.pool.state().size < 2 {
            let history = DeviceHistory::whole(device.id());
            opened.storage.events.events_of(&history).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    saving.abort();
    assert!(saving.await.unwrap_err().is_cancelled());
    other.batch_execute("COMMIT").unwrap();
    // The abandoned save may have been stored or not; the connection works again.
    let stored = opened.storage.devices.find(device.id()).await.unwrap().unwrap();
    let answer = opened.storage.devices.save(&issue_code(stored, 2)).await;
    assert!(matches!(answer, Ok(()) | Err(SaveError::Conflict)), "{answer:?}");
    let stored = opened.storage.devices.find(device.id()).await.unwrap().unwrap();
    opened.storage.devices.save(&issue_code(stored, 3)).await.unwrap();
}

#[tokio::test]
async fn opening_a_file_that_is_not_a_database_fails() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pos.db"), "a shopping list, long enough to be taken for a page".repeat(40))
        .unwrap();
    let error = storage::open(&options(sqlite_url(&folder))).await.err().unwrap();
    assert!(matches!(error, OpenError::Sqlite { .. }), "{error:?}");
}
