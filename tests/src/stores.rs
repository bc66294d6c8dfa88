//! Empty stores, each on a database of its own.

use std::time::Duration;

use pos_adapters::storage::{self, DatabaseUrl, OpenedStorage, Pooler, StorageOptions};
use pos_port_storage::Storage;
use tempfile::TempDir;

use crate::pgbouncer::PgBouncer;
use crate::postgres::TestDatabase;

/// Options for a test: few connections, and limits that only a hanging test reaches.
#[must_use]
pub fn options(url: DatabaseUrl) -> StorageOptions {
    let limit = Duration::from_secs(30);
    StorageOptions {
        url,
        max_connections: 8,
        acquire_timeout: limit,
        connect_timeout: limit,
        statement_timeout: limit,
        gather: true,
        max_watches: 100,
        pooler: Pooler::None,
        direct_url: None,
    }
}

/// Options for this database through a pooler, with a way past it for what needs one.
#[must_use]
pub fn pooled_options(pooler: &PgBouncer, database: &TestDatabase) -> StorageOptions {
    StorageOptions {
        pooler: Pooler::Transaction,
        direct_url: Some(database.url().parse().unwrap()),
        ..options(pooler.url(database.url()).parse().unwrap())
    }
}

/// An empty store of either engine, with what must outlive it.
pub struct TestStore {
    opened: OpenedStorage,
    options: StorageOptions,
    ground: Ground,
}

enum Ground {
    Folder(#[expect(dead_code, reason = "held until the test ends")] TempDir),
    Database(TestDatabase),
    Pooled(#[expect(dead_code, reason = "stopped when the test ends")] PgBouncer, TestDatabase),
}

impl TestStore {
    /// On a PostgreSQL database of its own.
    pub async fn postgres() -> Self {
        Self::on_database(TestDatabase::migrated().await).await
    }

    /// On this database, which has the schema.
    pub async fn on_database(database: TestDatabase) -> Self {
        Self::on(options(database.url().parse().unwrap()), Ground::Database(database)).await
    }

    /// On a PostgreSQL database of its own, through a PgBouncer of its own.
    pub async fn pgbouncer() -> Self {
        let database = TestDatabase::migrated().await;
        let pooler = PgBouncer::before(database.url());
        Self::on(pooled_options(&pooler, &database), Ground::Pooled(pooler, database)).await
    }

    /// A connection to its PostgreSQL database, beside the store.
    pub async fn client(&self) -> tokio_postgres::Client {
        match &self.ground {
            Ground::Database(database) | Ground::Pooled(_, database) => database.client().await,
            Ground::Folder(_) => panic!("this store is no PostgreSQL database"),
        }
    }

    /// On an SQLite file of its own.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = sqlite_url(&folder);
        storage::migrate(&options(url.clone())).await.unwrap();
        Self::on(options(url), Ground::Folder(folder)).await
    }

    async fn on(options: StorageOptions, ground: Ground) -> Self {
        let opened = storage::open(&options).await.unwrap();
        Self { opened, options, ground }
    }

    /// The store and its connections.
    #[must_use]
    pub fn opened(&self) -> &OpenedStorage {
        &self.opened
    }

    /// The same database again, through connections of its own: another replica's view.
    pub async fn reopened(&self) -> OpenedStorage {
        storage::open(&self.options).await.unwrap()
    }
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

/// An empty store in PostgreSQL through PgBouncer, and what must outlive it.
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
