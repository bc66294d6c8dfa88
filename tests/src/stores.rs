//! Empty stores, each on a database of its own.

use std::time::Duration;

use pos_adapters::storage::{self, DatabaseUrl, StorageOptions};
use pos_port_storage::Storage;
use tempfile::TempDir;

use crate::postgres::TestDatabase;

/// Options for a test: few connections, and limits that only a hanging test reaches.
#[must_use]
pub fn options(url: DatabaseUrl) -> StorageOptions {
    let limit = Duration::from_secs(30);
    StorageOptions { url, max_connections: 8, acquire_timeout: limit, connect_timeout: limit, statement_timeout: limit }
}

/// Opens a store and answers its ports.
pub async fn open(url: DatabaseUrl) -> Storage {
    storage::open(&options(url)).await.unwrap().storage
}

/// An empty store in PostgreSQL, and the database that must outlive it.
pub async fn postgres() -> (Storage, TestDatabase) {
    let database = TestDatabase::migrated().await;
    (open(database.url().parse().unwrap()).await, database)
}

/// An empty store in an SQLite file, and the folder that must outlive it.
pub async fn sqlite() -> (Storage, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder);
    storage::migrate(&options(url.clone())).await.unwrap();
    (open(url).await, folder)
}

/// The database in a folder, as [`sqlite`] names it.
#[must_use]
pub fn sqlite_url(folder: &TempDir) -> DatabaseUrl {
    DatabaseUrl::sqlite(folder.path().join("pos.db"))
}
