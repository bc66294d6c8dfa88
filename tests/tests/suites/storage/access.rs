//! What serving needs of its database: writes, privileges, files that are its own.

use std::os::unix::fs::PermissionsExt as _;

use pos_adapters::storage::{self, DatabaseUrl};
use pos_port_storage::StorageError;
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{open, options, sqlite_url};

/// Why the database is not ready.
async fn not_ready(url: &str) -> String {
    match open(url.parse().unwrap()).await.health.ping().await {
        Err(StorageError::Unavailable(cause)) => {
            let (mut told, mut source) = (cause.to_string(), cause.source());
            while let Some(error) = source {
                told = format!("{told}: {error}");
                source = error.source();
            }
            told
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_not_ready() {
    let database = TestDatabase::migrated().await;
    open(database.url().parse().unwrap()).await.health.ping().await.unwrap();
    let told = not_ready(&format!("{}?options=-c%20default_transaction_read_only%3Don", database.url())).await;
    assert!(told.contains("read-only") && told.contains("target_session_attrs=read-write"), "{told}");
}

#[tokio::test]
async fn a_role_without_a_privilege_that_serving_needs_is_not_ready() {
    let database = TestDatabase::migrated().await;
    let (client, role) = (database.client().await, format!("app_of_{}", database.name()));
    let made = format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA public TO {role};
         GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}"
    );
    client.batch_execute(&made).await.unwrap();
    let url = format!("{}?options=-c%20role%3D{role}", database.url());
    open(url.parse().unwrap()).await.health.ping().await.unwrap();
    client.batch_execute(&format!("REVOKE INSERT ON device_events FROM {role}")).await.unwrap();
    let told = not_ready(&url).await;
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    assert!(told.contains("INSERT on device_events"), "{told}");
    assert!(!told.contains("claim_failures"), "{told}");
}

#[tokio::test]
async fn the_files_of_sqlite_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(sqlite_url(&folder));
    storage::migrate(&options).await.unwrap();
    let _open = storage::open(&options).await.unwrap();
    let copy = folder.path().join("copy.db");
    storage::back_up(&options, &copy).await.unwrap();
    for name in ["pos.db", "pos.db-wal", "pos.db-shm", "copy.db"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// One that was served by an earlier version, or put in place by hand, keeps the mode that it has.
#[tokio::test]
async fn a_file_that_is_there_keeps_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pos.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    storage::migrate(&options(DatabaseUrl::sqlite(&path))).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}
