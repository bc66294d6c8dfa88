//! Empty stores for tests, each on its own database.

use std::time::Duration;

use pos_adapters::storage::{self, DatabaseUrl, OpenedStorage, Pooler, StorageOptions};
use pos_port_storage::Storage;
use tempfile::TempDir;

use crate::pgbouncer::PgBouncer;
use crate::postgres::TestDatabase;

/// Options for a test: few connections, and timeouts that only a test that hangs reaches.
#[must_use]
pub fn options(url: DatabaseUrl) -> StorageOptions {
    let limit = Duration::from_secs(30);
    StorageOptions {
        url,
        max_connections: 8,
        acquire_timeout: limit,
        connect_timeout: limit,
        statement_timeout: limit,
        batching: true,
        max_subscriptions: 100,
        pooler: Pooler::None,
        direct_url: None,
    }
}

/// Options for this database through a pooler, with a direct URL for what the pooler does not support.
#[must_use]
pub fn pooled_options(pooler: &PgBouncer, database: &TestDatabase) -> StorageOptions {
    StorageOptions {
        pooler: Pooler::Transaction,
        direct_url: Some(database.url().parse().unwrap()),
        ..options(pooler.url(database.url()).parse().unwrap())
    }
}

/// An empty store of either engine, with the database that must outlive it.
pub struct TestStore {
    opened: OpenedStorage,
    options: StorageOptions,
    backing: Backing,
}

enum Backing {
    Folder(#[expect(dead_code, reason = "held until the test ends")] TempDir),
    Database(TestDatabase),
    Pooled(#[expect(dead_code, reason = "stopped when the test ends")] PgBouncer, TestDatabase),
}

impl TestStore {
    /// A store on its own PostgreSQL database.
    pub async fn postgres() -> Self {
        Self::on_database(TestDatabase::migrated().await).await
    }

    /// A store on this database, which must have the current schema.
    pub async fn on_database(database: TestDatabase) -> Self {
        Self::open(options(database.url().parse().unwrap()), Backing::Database(database)).await
    }

    /// A store on its own PostgreSQL database, through its own PgBouncer.
    pub async fn pgbouncer() -> Self {
        let database = TestDatabase::migrated().await;
        let pooler = PgBouncer::before(database.url());
        Self::open(pooled_options(&pooler, &database), Backing::Pooled(pooler, database)).await
    }

    /// Opens a connection to the PostgreSQL database, independent of the store.
    pub async fn client(&self) -> tokio_postgres::Client {
        match &self.backing {
            Backing::Database(database) | Backing::Pooled(_, database) => database.client().await,
            Backing::Folder(_) => panic!("this store is not on PostgreSQL"),
        }
    }

    /// A store on its own SQLite file.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = sqlite_url(&folder);
        storage::migrate(&options(url.clone())).await.unwrap();
        Self::open(options(url), Backing::Folder(folder)).await
    }

    async fn open(options: StorageOptions, backing: Backing) -> Self {
        let opened = storage::open(&options).await.unwrap();
        Self { opened, options, backing }
    }

    /// The store and its connections.
    #[must_use]
    pub fn opened(&self) -> &OpenedStorage {
        &self.opened
    }

    /// Opens the same database with a second connection pool, as another replica would.
    pub async fn reopened(&self) -> OpenedStorage {
        storage::open(&self.options).await.unwrap()
    }
}

/// Opens a store and returns its ports.
pub async fn open(url: DatabaseUrl) -> Storage {
    storage::open(&options(url)).await.unwrap().storage
}

/// An empty store in PostgreSQL, and the database that must outlive it.
pub async fn postgres() -> (Storage, TestDatabase) {
    let database = TestDatabase::migrated().await;
    (open(database.url().parse().unwrap()).await, database)
}

/// An empty store in PostgreSQL through PgBouncer, and the processes and database that must outlive it.
pub async fn pgbouncer() -> (Storage, (PgBouncer, TestDatabase)) {
    let database = TestDatabase::migrated().await;
    let pooler = PgBouncer::before(database.url());
    let opened = storage::open(&pooled_options(&pooler, &database)).await.unwrap();
    (opened.storage, (pooler, database))
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
