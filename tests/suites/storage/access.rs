//! Database access that serving requires: writes, privileges, file modes.

use std::os::unix::fs::PermissionsExt as _;

use pos_adapters::storage::{self, DatabaseUrl};
use pos_port_storage::shared::StorageError;
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{open, options, sqlite_url};

/// The error of a failed readiness check, with its causes.
async fn readiness_error(url: &str) -> String {
    match open(url.parse().unwrap()).await.health.ping().await {
        Err(StorageError::Unavailable(cause)) => {
            let (mut message, mut source) = (cause.to_string(), cause.source());
            while let Some(error) = source {
                message = format!("{message}: {error}");
                source = error.source();
            }
            message
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_read_only_database_is_not_ready() {
    let database = TestDatabase::migrated().await;
    open(database.url().parse().unwrap()).await.health.ping().await.unwrap();
    let message = readiness_error(&format!("{}?options=-c%20default_transaction_read_only%3Don", database.url())).await;
    assert!(message.contains("read-only") && message.contains("target_session_attrs=read-write"), "{message}");
}

#[tokio::test]
async fn a_role_that_lacks_a_required_privilege_is_not_ready() {
    let database = TestDatabase::migrated().await;
    let (client, role) = (database.client().await, format!("app_of_{}", database.name()));
    let create_role = format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA public TO {role};
         GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}"
    );
    client.batch_execute(&create_role).await.unwrap();
    let url = format!("{}?options=-c%20role%3D{role}", database.url());
    open(url.parse().unwrap()).await.health.ping().await.unwrap();
    client.batch_execute(&format!("REVOKE INSERT ON device_events FROM {role}")).await.unwrap();
    let message = readiness_error(&url).await;
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    assert!(message.contains("INSERT on device_events"), "{message}");
    assert!(!message.contains("claim_failures"), "{message}");
}

#[tokio::test]
async fn only_the_owner_can_access_sqlite_files() {
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

/// An earlier version or an administrator may have created the file with another mode.
#[tokio::test]
async fn an_existing_file_keeps_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pos.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    storage::migrate(&options(DatabaseUrl::sqlite(&path))).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}
