//! Migrations: concurrent, repeated, failed, downgraded, and blocked by locks.

use diesel::connection::SimpleConnection;
use pos_adapters::storage::{self, DatabaseUrl, MigrateError, StorageOptions};
use pos_domain::device::{Device, DeviceDetails};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, Scope};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{options, sqlite_url};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::sql_access::{SqlAccess, sqlite_file};

const FIRST: &str = "2026-12-01-000001_tenancy";

/// Every migration of an engine in order, read from the folders.
fn all(engine: &str) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder(engine))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A script of a migration, `up.sql` or `down.sql`.
fn script(engine: &str, name: &str, file: &str) -> String {
    std::fs::read_to_string(folder(engine).join(name).join(file)).unwrap()
}

fn folder(engine: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(engine)
}

const NEWER: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')";

async fn assert_eight_concurrent_migrations(options: StorageOptions) {
    let all = storage::pending_migrations(&options).await.unwrap();
    assert_eq!(all.first().map(String::as_str), Some(FIRST));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let options = options.clone();
        callers.spawn(async move { storage::migrate(&options).await.unwrap() });
    }
    let mut applied = callers.join_all().await;
    applied.sort();
    assert_eq!(applied.pop().unwrap(), all, "one caller applies everything");
    assert!(applied.iter().all(Vec::is_empty), "the others apply nothing: {applied:?}");
    assert_eq!(storage::pending_migrations(&options).await.unwrap(), Vec::<String>::new());
    assert_eq!(storage::migrate(&options).await.unwrap(), Vec::<String>::new());
    assert_store_works(&options).await;
}

/// Asserts that a store on the schema creates and finds a device.
async fn assert_store_works(options: &StorageOptions) {
    let storage = storage::open(options).await.unwrap().storage;
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let device = Device::provision(
        DeviceId::from_bits(1),
        merchant,
        DeviceDetails::default(),
        AuditContext::operator(),
        OffsetDateTime::UNIX_EPOCH,
    );
    pos_tests::users::add_merchant(&storage, merchant).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&device), None).await.unwrap();
    assert_eq!(storage.devices.find(device.device().id()).await.unwrap().as_ref(), Some(device.device()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_replicas_migrate_postgres_concurrently() {
    let database = TestDatabase::empty().await;
    assert_eight_concurrent_migrations(options(database.url().parse().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_processes_migrate_sqlite_concurrently() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        assert_eight_concurrent_migrations(options(sqlite_url(&folder))).await;
    }
}

#[tokio::test]
async fn listing_pending_migrations_changes_nothing() {
    let database = TestDatabase::empty().await;
    let database_options = options(database.url().parse().unwrap());
    assert_eq!(storage::pending_migrations(&database_options).await.unwrap(), all("postgres"));
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let count: i64 = database.client().await.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(storage::pending_migrations(&options(sqlite_url(&folder))).await.unwrap(), all("sqlite"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The schema as text: tables, columns, constraints, indexes, triggers and functions, without diesel's own table.
const POSTGRES_SCHEMA: &str = "
    SELECT line FROM (
        SELECT concat_ws(' ', relkind, relname, array_to_string(reloptions, ','), obj_description(oid, 'pg_class')) AS line
        FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT concat_ws(' ', relname, attname, format_type(atttypid, atttypmod), attcollation::regcollation, attnotnull,
            attidentity, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL
        SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ) AS lines WHERE line NOT LIKE '%diesel_schema_migrations%' ORDER BY line";
const SQLITE_SCHEMA: &str = "
    SELECT type || ' ' || name || ' ' || coalesce(sql, '') AS line FROM sqlite_schema
    WHERE name NOT LIKE 'sqlite_%' AND name <> '__diesel_schema_migrations' ORDER BY 1";

fn schema_query(engine: &str) -> &'static str {
    if engine == "postgres" { POSTGRES_SCHEMA } else { SQLITE_SCHEMA }
}

async fn assert_each_downgrade_restores_the_schema(
    engine: &str,
    options: StorageOptions,
    mut database: impl SqlAccess,
) {
    let (names, query) = (all(engine), schema_query(engine));
    let mut schemas = Vec::new();
    for name in &names {
        schemas.push(database.lines(query).await);
        database.run(&script(engine, name, "up.sql")).await;
        assert_ne!(database.lines(query).await, schemas[schemas.len() - 1], "{name} changes the schema");
    }
    for (name, schema) in names.iter().zip(&schemas).rev() {
        database.run(&script(engine, name, "down.sql")).await;
        assert_eq!(database.lines(query).await, *schema, "down.sql of {name}");
    }
    assert_eq!(database.lines(query).await, Vec::<String>::new());
    assert_eq!(storage::migrate(&options).await.unwrap(), names);
    assert_store_works(&options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_downgrade_restores_the_schema_of_postgres() {
    let database = TestDatabase::empty().await;
    let options = options(database.url().parse().unwrap());
    assert_each_downgrade_restores_the_schema("postgres", options, database.client().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_downgrade_restores_the_schema_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(sqlite_url(&folder));
    assert_each_downgrade_restores_the_schema("sqlite", options, sqlite_file(&folder)).await;
}

/// A migration that this program does not know, and a table that one of its own migrations creates.
const OTHER_SCHEMA: &str = "
    CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL,
        run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
    INSERT INTO __diesel_schema_migrations (version) VALUES ('20261120000000');
    CREATE TABLE device_events (device_id VARCHAR(64) NOT NULL);";

/// `pending` are the migrations that are not applied after the failure.
async fn assert_a_failed_migration_is_rolled_back(
    engine: &str,
    options: StorageOptions,
    mut database: impl SqlAccess,
    pending: &[String],
) {
    database.run(OTHER_SCHEMA).await;
    for _ in 0..2 {
        let error = storage::migrate(&options).await.unwrap_err();
        assert!(matches!(error, MigrateError::Failed { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("cannot migrate the database {}", options.url));
        assert!(format!("{error:?}").contains("already exists"), "{error:?}");
        assert_eq!(storage::pending_migrations(&options).await.unwrap(), pending);
    }
    let schema = database.lines(schema_query(engine)).await;
    assert!(schema.iter().all(|line| !line.contains("devices_status_word")), "nothing of it is kept: {schema:?}");
    database.run("DROP TABLE device_events").await;
    assert_eq!(storage::migrate(&options).await.unwrap(), pending);
    assert_store_works(&options).await;
}

/// Each migration is a transaction of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_migration_of_postgres_is_rolled_back() {
    let database = TestDatabase::empty().await;
    let options = options(database.url().parse().unwrap());
    let pending = &all("postgres")[1..];
    assert_a_failed_migration_is_rolled_back("postgres", options, database.client().await, pending).await;
}

/// All migrations are one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_migration_of_sqlite_is_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(sqlite_url(&folder));
    assert_a_failed_migration_is_rolled_back("sqlite", options, sqlite_file(&folder), &all("sqlite")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_works_on_a_newer_schema() {
    let database = TestDatabase::migrated().await;
    database.client().await.batch_execute(NEWER).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    storage::migrate(&options(sqlite_url(&folder))).await.unwrap();
    sqlite_file(&folder).batch_execute(NEWER).unwrap();
    for url in [database.url().parse().unwrap(), sqlite_url(&folder)] {
        let options = options(url);
        assert_eq!(storage::pending_migrations(&options).await.unwrap(), Vec::<String>::new());
        assert_eq!(storage::migrate(&options).await.unwrap(), Vec::<String>::new());
        assert_store_works(&options).await;
    }
}

#[tokio::test]
async fn the_error_names_an_unreachable_database_without_its_password() {
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
async fn the_error_names_a_missing_folder() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(DatabaseUrl::sqlite(folder.path().join("nowhere/pos.db")));
    let message = format!("{:?}", storage::migrate(&options).await.unwrap_err());
    assert!(message.contains("nowhere"), "{message}");
    let error = storage::open(&options).await.err().unwrap().to_string();
    assert!(error.starts_with("the folder ") && error.contains("nowhere"), "{error}");
}

/// A queued change of a table blocks every later access to it, so the migration gives up its lock request and retries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_waits_briefly_for_a_table_in_use_and_retries() {
    let database = TestDatabase::migrated().await;
    let (mut holder, observer) = (database.client().await, database.client().await);
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE __diesel_schema_migrations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let options = options(database.url().parse().unwrap());
    let migrating = tokio::spawn(async move { storage::migrate(&options).await });
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let wait_for_blocked = async |expected: i64| {
        while observer.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) != expected {
            assert!(!migrating.is_finished(), "the migration waits");
            tokio::task::yield_now().await;
        }
    };
    let retried = async {
        wait_for_blocked(1).await;
        wait_for_blocked(0).await;
        wait_for_blocked(1).await;
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), retried).await.expect("the migration retries");
    lock.rollback().await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap(), Vec::<String>::new());
}

/// A timeout set for the database or the role is meant for serving. Waiting for another migration takes longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_timeout_does_not_cancel_a_migration() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(&format!("ALTER DATABASE {} SET statement_timeout = '100ms'", database.name())).await.unwrap();
    let other = database.client().await;
    other.batch_execute("SET statement_timeout = 0").await.unwrap();
    other.batch_execute("SELECT pg_advisory_lock(8101821108155806838)").await.unwrap();
    let options = options(database.url().parse().unwrap());
    let migrating = tokio::spawn(async move { storage::migrate(&options).await });
    let blocked =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND now() - query_start > interval '200 ms'";
    while !migrating.is_finished() && client.query_one(blocked, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    other.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap(), all("postgres"));
}
