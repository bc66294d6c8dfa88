//! The database away, busy, locked or cut: unavailable within the time limits, and well again afterwards.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_adapters::storage::{self, DatabaseUrl, OpenError, OpenedStorage, PoolState, StorageOptions};
use pos_domain::{
    Act, CallContext, Device, DeviceDetails, DeviceId, Fingerprint, IdempotencyKey, MerchantId, PairingCode, Party,
    Scope, Transition,
};
use pos_port_storage::{CreateDevicesError, History, Once, SaveError, Storage, StorageError};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{options, sqlite_url};
use tempfile::TempDir;
use time::OffsetDateTime;

const SHORT: Duration = Duration::from_millis(300);

/// One connection and little patience: what is wrong with it shows at once.
fn impatient(url: DatabaseUrl) -> StorageOptions {
    StorageOptions { max_connections: 1, acquire_timeout: SHORT, statement_timeout: SHORT, ..options(url) }
}

async fn device(storage: &Storage) -> Device {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let new = Device::provision(
        DeviceId::from_bits(1),
        merchant,
        DeviceDetails::default(),
        Act::operator(),
        OffsetDateTime::UNIX_EPOCH,
    );
    pos_tests::people::add_merchant(storage, merchant).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    new.into_device()
}

fn next(device: Device, code: u32) -> Transition {
    device
        .issue_pairing_code(
            PairingCode::from_bits(code),
            time::Duration::minutes(5),
            CallContext::default(),
            OffsetDateTime::UNIX_EPOCH,
        )
        .unwrap()
}

fn is_unavailable(answer: Result<(), SaveError>) -> bool {
    matches!(answer, Err(SaveError::Storage(StorageError::Unavailable(_))))
}

async fn postgres() -> (OpenedStorage, TestDatabase) {
    let database = TestDatabase::migrated().await;
    let opened = storage::open(&impatient(database.url().parse().unwrap())).await.unwrap();
    (opened, database)
}

async fn sqlite() -> (OpenedStorage, SqliteConnection, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    storage::migrate(&options(sqlite_url(&folder))).await.unwrap();
    let opened = storage::open(&impatient(sqlite_url(&folder))).await.unwrap();
    let mut other = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    other.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
    (opened, other, folder)
}

#[tokio::test]
async fn a_store_opens_before_its_server_is_up() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://pos:s3cret@127.0.0.1:{port}/pos").parse().unwrap();
    let opened = storage::open(&options(url)).await.unwrap();
    let error = opened.storage.health.ping().await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("s3cret"));
    assert_eq!(opened.pool.state(), PoolState { max: 8, size: 0, available: 0, waiting: 0 });
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    // Accepts into its backlog and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://pos@{}/pos", silent.local_addr().unwrap()).parse().unwrap();
    let opened = storage::open(&StorageOptions { connect_timeout: SHORT, ..options(url) }).await.unwrap();
    assert!(matches!(opened.storage.health.ping().await, Err(StorageError::Unavailable(_))));
}

#[tokio::test]
async fn a_missing_schema_is_a_fault_and_no_outage() {
    let database = TestDatabase::empty().await;
    let storage = storage::open(&options(database.url().parse().unwrap())).await.unwrap().storage;
    let found = storage.devices.find(&DeviceId::from_bits(1)).await;
    assert!(matches!(found, Err(StorageError::Fault(_))), "{found:?}");
    storage.health.ping().await.unwrap();
}

#[tokio::test]
async fn a_cut_connection_is_replaced() {
    let (opened, database) = postgres().await;
    let device = device(&opened.storage).await;
    for _ in 0..3 {
        database.cut().await;
        let first = opened.storage.devices.find(device.id()).await;
        assert!(matches!(first, Ok(_) | Err(StorageError::Unavailable(_))), "{first:?}");
        assert_eq!(opened.storage.devices.find(device.id()).await.unwrap().as_ref(), Some(&device));
        assert_eq!(opened.pool.state(), PoolState { max: 1, size: 1, available: 1, waiting: 0 });
    }
}

#[tokio::test]
async fn a_statement_cut_midway_is_unavailable() {
    let (opened, database) = postgres().await;
    let patient =
        StorageOptions { statement_timeout: Duration::from_secs(30), ..impatient(database.url().parse().unwrap()) };
    let storage = storage::open(&patient).await.unwrap().storage;
    let device = device(&opened.storage).await;
    let blocker = lock_devices(&database).await;
    let saving = tokio::spawn({
        let (storage, step) = (storage.clone(), next(device.clone(), 1));
        async move { storage.fleet.save(own(&step), &step).await }
    });
    wait_for_blocked(&database, 1).await;
    // The blocked one alone: were its blocker cut as well, it might get through before its own turn comes.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database.client().await.query_one(cut, &[]).await.unwrap();
    let answer = saving.await.unwrap();
    assert!(matches!(answer, Err(SaveError::Storage(StorageError::Unavailable(_)))), "{answer:?}");
    drop(blocker);
    assert_eq!(storage.devices.find(device.id()).await.unwrap(), Some(device));
}

/// Holds every device's row until the client is dropped or rolled back.
async fn lock_devices(database: &TestDatabase) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute("BEGIN; SELECT * FROM devices FOR UPDATE").await.unwrap();
    client
}

/// Returns once so many statements on the database wait for a lock.
async fn wait_for_blocked(database: &TestDatabase, blocked: i64) {
    let client = database.client().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) != blocked {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_locked_row_is_unavailable_in_time_and_saved_later() {
    let (opened, database) = postgres().await;
    let device = device(&opened.storage).await;
    let blocker = lock_devices(&database).await;
    let step = next(device, 1);
    assert!(is_unavailable(opened.storage.devices.save(&step).await));
    blocker.batch_execute("ROLLBACK").await.unwrap();
    wait_for_blocked(&database, 0).await;
    opened.storage.devices.save(&step).await.unwrap();
}

/// On whose behalf a merchant saves: such a save takes a connection from the pool, while a terminal's is gathered.
fn own(step: &Transition) -> Scope {
    Scope::Of(Party::Merchant(step.device().merchant_id()))
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_a_clean_pool() {
    let (opened, database) = postgres().await;
    let patient = StorageOptions { max_connections: 1, ..options(database.url().parse().unwrap()) };
    let patient = storage::open(&patient).await.unwrap();
    let device = device(&opened.storage).await;
    let blocker = lock_devices(&database).await;
    let saving = tokio::spawn({
        let (storage, step) = (patient.storage.clone(), next(device.clone(), 1));
        async move { storage.fleet.save(own(&step), &step).await }
    });
    wait_for_blocked(&database, 1).await;
    saving.abort();
    assert!(saving.await.unwrap_err().is_cancelled());
    // The statement still waits for the lock, on a connection that nobody else gets.
    assert_eq!(patient.storage.devices.find(device.id()).await.unwrap(), Some(device));
    drop(blocker);
    assert_eq!(patient.pool.state().size, 1);
}

fn new_device() -> Transition {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let details = DeviceDetails::default();
    Device::provision(DeviceId::from_bits(1), merchant, details, Act::operator(), OffsetDateTime::UNIX_EPOCH)
}

fn once() -> Once {
    Once {
        party: Party::Merchant(new_device().device().merchant_id()),
        key: IdempotencyKey::parse("key").unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: "created".to_owned(),
        at: OffsetDateTime::UNIX_EPOCH,
        keep_until: OffsetDateTime::UNIX_EPOCH + time::Duration::HOUR,
    }
}

/// Has the id of [`new_device`] until it is rolled back.
async fn hold_id(database: &TestDatabase) -> tokio_postgres::Client {
    let client = database.client().await;
    let merchant = "INSERT INTO merchants VALUES ('0f0f0f0f-0000-4000-8000-000000000009', NULL, 'Shop', now())";
    client.batch_execute(merchant).await.unwrap();
    let hold = "BEGIN; INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status) \
                VALUES ('POS-00000001', '0f0f0f0f-0000-4000-8000-000000000009', 1, now(), 'inactive')";
    client.batch_execute(hold).await.unwrap();
    client
}

#[tokio::test]
async fn a_creation_that_is_given_up_keeps_nothing() {
    let database = TestDatabase::migrated().await;
    let one = StorageOptions { max_connections: 1, ..options(database.url().parse().unwrap()) };
    let opened = storage::open(&one).await.unwrap();
    pos_tests::people::add_merchant(&opened.storage, new_device().device().merchant_id()).await;
    let (fleet, answers) = (&opened.storage.fleet, &opened.storage.answers);
    let holder = hold_id(&database).await;
    let creating = tokio::spawn({
        let fleet = fleet.clone();
        async move { fleet.create(Scope::Operator, &[new_device()], Some(&once())).await }
    });
    wait_for_blocked(&database, 1).await;
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    // The key is claimed by a transaction that nobody will commit, on a connection that nobody else gets.
    let once = once();
    assert_eq!(answers.find(once.party, &once.key, once.at).await.unwrap(), None);
    holder.batch_execute("ROLLBACK").await.unwrap();
    fleet.create(Scope::Operator, &[new_device()], Some(&once)).await.unwrap();
    assert!(answers.find(once.party, &once.key, once.at).await.unwrap().is_some());
    let events = opened.storage.events.events_of(&History::whole(&DeviceId::from_bits(1))).await.unwrap();
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn a_creation_that_takes_too_long_is_unavailable_and_keeps_nothing() {
    let (opened, database) = postgres().await;
    pos_tests::people::add_merchant(&opened.storage, new_device().device().merchant_id()).await;
    let create = async || opened.storage.fleet.create(Scope::Operator, &[new_device()], Some(&once())).await;
    let holder = hold_id(&database).await;
    let answer = create().await;
    assert!(matches!(answer, Err(CreateDevicesError::Storage(StorageError::Unavailable(_)))), "{answer:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    wait_for_blocked(&database, 0).await;
    create().await.unwrap();
}

#[tokio::test]
async fn a_refused_creation_gives_its_connection_back() {
    let (opened, _database) = postgres().await;
    pos_tests::people::add_merchant(&opened.storage, new_device().device().merchant_id()).await;
    let create = async |once: Option<&Once>| opened.storage.fleet.create(Scope::Operator, &[new_device()], once).await;
    create(None).await.unwrap();
    for _ in 0..3 {
        let refused = create(Some(&once())).await;
        assert!(matches!(refused, Err(CreateDevicesError::Taken(_))), "{refused:?}");
        assert_eq!(opened.pool.state(), PoolState { max: 1, size: 1, available: 1, waiting: 0 });
    }
    let (once, answers) = (once(), &opened.storage.answers);
    assert_eq!(answers.find(once.party, &once.key, once.at).await.unwrap(), None);
}

#[tokio::test]
async fn an_exhausted_pool_is_unavailable_in_time() {
    let (opened, database) = postgres().await;
    let options =
        StorageOptions { statement_timeout: Duration::from_secs(30), ..impatient(database.url().parse().unwrap()) };
    let one = storage::open(&options).await.unwrap();
    let device = device(&opened.storage).await;
    let blocker = lock_devices(&database).await;
    let saving = tokio::spawn({
        let (storage, step) = (one.storage.clone(), next(device.clone(), 1));
        async move { storage.fleet.save(own(&step), &step).await }
    });
    wait_for_blocked(&database, 1).await;
    let read = one.storage.events.events_of(&History::whole(device.id())).await;
    assert!(matches!(read, Err(StorageError::Unavailable(_))), "{read:?}");
    assert!(one.storage.devices.find(device.id()).await.unwrap().is_some(), "polls have connections of their own");
    blocker.batch_execute("ROLLBACK").await.unwrap();
    saving.await.unwrap().unwrap();
    assert_eq!(one.storage.events.events_of(&History::whole(device.id())).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_standby_is_unavailable_for_writing() {
    let (opened, database) = postgres().await;
    let device = device(&opened.storage).await;
    let name = database.name();
    let set = |value| format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
    database.client().await.batch_execute(&set("on")).await.unwrap();
    database.cut().await;
    let _ = opened.storage.health.ping().await;
    let step = next(device, 1);
    assert!(is_unavailable(opened.storage.devices.save(&step).await));
    let client = database.client().await;
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    client.batch_execute(&set("off")).await.unwrap();
    // The connection to the "standby" was thrown away: the next one finds a primary.
    opened.storage.devices.save(&step).await.unwrap();
}

#[tokio::test]
async fn another_process_that_writes_sqlite_is_waited_for_but_not_for_ever() {
    let (opened, mut other, _folder) = sqlite().await;
    let device = device(&opened.storage).await;
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let step = next(device.clone(), 1);
    assert!(is_unavailable(opened.storage.devices.save(&step).await));
    assert_eq!(opened.storage.devices.find(device.id()).await.unwrap(), Some(device), "reading goes on");
    other.batch_execute("COMMIT").unwrap();
    opened.storage.devices.save(&step).await.unwrap();
}

#[tokio::test]
async fn a_caller_of_sqlite_that_goes_away_leaves_a_clean_pool() {
    let (opened, mut other, _folder) = sqlite().await;
    let device = device(&opened.storage).await;
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let saving = tokio::spawn({
        let (storage, step) = (opened.storage.clone(), next(device.clone(), 1));
        async move { storage.devices.save(&step).await }
    });
    while opened.pool.state().available == 2 || opened.pool.state().size < 2 {
        if opened.pool.state().size < 2 {
            let history = History::whole(device.id());
            opened.storage.events.events_of(&history).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    saving.abort();
    assert!(saving.await.unwrap_err().is_cancelled());
    other.batch_execute("COMMIT").unwrap();
    // Whether the abandoned save got through is its own affair; the connection is as good as new.
    let stored = opened.storage.devices.find(device.id()).await.unwrap().unwrap();
    let answer = opened.storage.devices.save(&next(stored, 2)).await;
    assert!(matches!(answer, Ok(()) | Err(SaveError::Conflict)), "{answer:?}");
    let stored = opened.storage.devices.find(device.id()).await.unwrap().unwrap();
    opened.storage.devices.save(&next(stored, 3)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pos.db"), "a shopping list, long enough to be taken for a page".repeat(40))
        .unwrap();
    let error = storage::open(&options(sqlite_url(&folder))).await.err().unwrap();
    assert!(matches!(error, OpenError::Sqlite { .. }), "{error:?}");
}
