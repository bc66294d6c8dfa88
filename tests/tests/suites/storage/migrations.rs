//! Migrating: once, by anyone, at any time, and back.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_adapters::storage::{self, DatabaseUrl, MigrateError, StorageOptions};
use pos_domain::{Act, Device, DeviceDetails, DeviceId, MerchantId, Scope};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{options, sqlite_url};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::task::JoinSet;

const FIRST: &str = "2026-11-20-000000_devices";

/// Every migration of an engine, in order, by the folders.
fn all(engine: &str) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder(engine))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The way back over every migration, the last first.
fn down(engine: &str) -> String {
    let read = |name: &String| std::fs::read_to_string(folder(engine).join(name).join("down.sql")).unwrap();
    all(engine).iter().rev().map(read).collect()
}

fn folder(engine: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(engine)
}

const NEWER: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')";

async fn eight_at_once(options: StorageOptions) {
    let all = storage::pending_migrations(&options).await.unwrap();
    assert_eq!(all.first().map(String::as_str), Some(FIRST));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let options = options.clone();
        callers.spawn(async move { storage::migrate(&options).await.unwrap() });
    }
    let mut applied = callers.join_all().await;
    applied.sort();
    assert_eq!(applied.pop().unwrap(), all, "one applies everything");
    assert!(applied.iter().all(Vec::is_empty), "the others find nothing to do: {applied:?}");
    assert_eq!(storage::pending_migrations(&options).await.unwrap(), Vec::<String>::new());
    assert_eq!(storage::migrate(&options).await.unwrap(), Vec::<String>::new());
    it_serves(&options).await;
}

/// A store on the schema keeps a device.
async fn it_serves(options: &StorageOptions) {
    let storage = storage::open(options).await.unwrap().storage;
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let device = Device::provision(
        DeviceId::from_bits(1),
        merchant,
        DeviceDetails::default(),
        Act::operator(),
        OffsetDateTime::UNIX_EPOCH,
    );
    pos_tests::people::add_merchant(&storage, merchant).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&device), None).await.unwrap();
    assert_eq!(storage.devices.find(device.device().id()).await.unwrap().as_ref(), Some(device.device()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_replicas_may_migrate_postgres_at_once() {
    let database = TestDatabase::empty().await;
    eight_at_once(options(database.url().parse().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_processes_may_migrate_sqlite_at_once() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        eight_at_once(options(sqlite_url(&folder))).await;
    }
}

#[tokio::test]
async fn asking_what_is_pending_changes_nothing() {
    let database = TestDatabase::empty().await;
    let asked = options(database.url().parse().unwrap());
    assert_eq!(storage::pending_migrations(&asked).await.unwrap(), all("postgres"));
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let count: i64 = database.client().await.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(storage::pending_migrations(&options(sqlite_url(&folder))).await.unwrap(), all("sqlite"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_down_and_up_again() {
    let database = TestDatabase::migrated().await;
    let options = options(database.url().parse().unwrap());
    let client = database.client().await;
    client.batch_execute(&down("postgres")).await.unwrap();
    let left =
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE '__diesel%'";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    client.batch_execute("DELETE FROM __diesel_schema_migrations").await.unwrap();
    assert_eq!(storage::migrate(&options).await.unwrap(), all("postgres"));
    it_serves(&options).await;
}

fn sqlite_file(folder: &TempDir) -> SqliteConnection {
    SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_goes_down_and_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(sqlite_url(&folder));
    storage::migrate(&options).await.unwrap();
    let down = down("sqlite");
    sqlite_file(&folder).batch_execute(&format!("{down} DELETE FROM __diesel_schema_migrations;")).unwrap();
    assert_eq!(storage::migrate(&options).await.unwrap(), all("sqlite"));
    it_serves(&options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_serves() {
    let database = TestDatabase::migrated().await;
    database.client().await.batch_execute(NEWER).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    storage::migrate(&options(sqlite_url(&folder))).await.unwrap();
    sqlite_file(&folder).batch_execute(NEWER).unwrap();
    for url in [database.url().parse().unwrap(), sqlite_url(&folder)] {
        let options = options(url);
        assert_eq!(storage::pending_migrations(&options).await.unwrap(), Vec::<String>::new());
        assert_eq!(storage::migrate(&options).await.unwrap(), Vec::<String>::new());
        it_serves(&options).await;
    }
}

#[tokio::test]
async fn an_unreachable_database_is_named_without_its_password() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url: DatabaseUrl = format!("postgres://pos:s3cret@127.0.0.1:{free}/pos").parse().unwrap();
    let options = options(url);
    for error in
        [storage::migrate(&options).await.unwrap_err(), storage::pending_migrations(&options).await.unwrap_err()]
    {
        assert!(matches!(error, MigrateError::Unreachable { .. }));
        assert_eq!(error.to_string(), format!("cannot reach the database postgres://pos@127.0.0.1:{free}/pos"));
        assert!(!format!("{error:?} {options:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(DatabaseUrl::sqlite(folder.path().join("nowhere/pos.db")));
    let told = format!("{:?}", storage::migrate(&options).await.unwrap_err());
    assert!(told.contains("nowhere"), "{told}");
    let error = storage::open(&options).await.err().unwrap().to_string();
    assert!(error.starts_with("the folder ") && error.contains("nowhere"), "{error}");
}

/// Whoever comes to a table waits behind a change that waits for it: so the change lets go and comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_in_use_is_not_waited_for_long() {
    let database = TestDatabase::migrated().await;
    let (mut holder, watcher) = (database.client().await, database.client().await);
    let held = holder.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE __diesel_schema_migrations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let options = options(database.url().parse().unwrap());
    let migrating = tokio::spawn(async move { storage::migrate(&options).await });
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let until = async |expected: i64| {
        while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) != expected {
            assert!(!migrating.is_finished(), "it waits");
            tokio::task::yield_now().await;
        }
    };
    let seen = async {
        until(1).await;
        until(0).await;
        until(1).await;
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), seen).await.expect("it lets go and comes again");
    held.rollback().await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap(), Vec::<String>::new());
}

/// What is set for the database, or for the role, is for those who serve. The wait for another's migration is longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_timeout_does_not_cut_a_migration() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(&format!("ALTER DATABASE {} SET statement_timeout = '100ms'", database.name())).await.unwrap();
    let other = database.client().await;
    other.batch_execute("SET statement_timeout = 0").await.unwrap();
    other.batch_execute("SELECT pg_advisory_lock(8101821108155806838)").await.unwrap();
    let options = options(database.url().parse().unwrap());
    let migrating = tokio::spawn(async move { storage::migrate(&options).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND now() - query_start > interval '200 ms'";
    while !migrating.is_finished() && client.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    other.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap(), all("postgres"));
}
