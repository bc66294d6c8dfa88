//! Implementations of the storage ports for PostgreSQL and SQLite, with diesel.
//!
//! [`open`] takes a [`StorageOptions`] and returns the ports for the engine of its [`DatabaseUrl`]; no other module depends
//! on the engine. Both engines share the row types and the error types (`rows`, `engine_error`); `postgres` and `sqlite` contain
//! the statements and the native types.
//!
//! To add a column: add a folder in `migrations/` for each engine, add the column to `schema.rs`, and convert it in `rows/`. Servers of the previous version must work with the new schema, because replicas are replaced one by one.

mod backup;
mod engine_error;
mod migrations;
mod pool_share;
mod postgres;
pub(crate) mod rows;
mod schema;
mod sqlite;
mod subscribers;
mod url;
mod visibility;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pos_port_storage::Storage;
use pos_port_storage::shared::{PoolMonitor, StorageError};

pub use crate::backup::{BackUpError, back_up};
pub use crate::migrations::{MigrateError, migrate, pending_migrations};
pub use crate::postgres::PgStore;
pub use crate::rows::reader::CorruptRow;
pub use crate::sqlite::SqliteStore;
pub use crate::url::{DatabaseUrl, InvalidDatabaseUrl};

use crate::url::Engine;

/// The database URL, connection limits and timeouts.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// The database.
    pub url: DatabaseUrl,
    /// Maximum number of connections of this process; at least 1. For SQLite: of read connections, beside the write
    /// connection. Updates of terminal info use at most a third of them, and imports and retention a quarter; with 4 or
    /// more, some are always left for interactive requests. Health checks have a separate connection.
    pub max_connections: usize,
    /// How long a call waits for a connection, including the time to open one.
    pub acquire_timeout: Duration,
    /// How long opening one connection may take.
    pub connect_timeout: Duration,
    /// How long one operation on an open connection may take.
    pub statement_timeout: Duration,
    /// PostgreSQL only: request batching. Look-ups and saves that arrive while a statement runs share the next statement,
    /// on connections of each HTTP worker, in addition to `max_connections`.
    pub batching: bool,
    /// Maximum number of concurrent subscriptions to device changes.
    pub max_subscriptions: usize,
    /// PostgreSQL only: whether `url` names a pooler.
    pub pooler: Pooler,
    /// PostgreSQL only: the server itself, if `url` names a pooler. The migration lock and LISTEN need a session, so they
    /// use this URL. Without it migrations fail, and changes on other replicas are not notified.
    pub direct_url: Option<DatabaseUrl>,
}

/// The connection pooler between this program and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// None, or a pooler with one server connection for each client connection (session mode).
    #[default]
    None,
    /// A pooler in transaction mode, like PgBouncer with `pool_mode = transaction`. No statement is prepared and no session
    /// setting is changed; the role sets `statement_timeout`.
    Transaction,
}

/// The open storage ports and the monitor of their connection pool.
#[derive(Clone)]
pub struct OpenedStorage {
    /// The ports.
    pub storage: Storage,
    /// The monitor of the connection pool.
    pub pool: Arc<dyn PoolMonitor>,
}

/// Why the storage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite creates the file, but not its folder.
    #[error("the folder {0} does not exist: create it, or correct the sqlite:// URL")]
    MissingFolder(PathBuf),
    /// A file of an SQLite database, or its folder, belongs to another user or is write-protected.
    #[error(
        "{path} cannot be written (it belongs to user {owner}, with mode {mode:04o}): give it to the user that runs \
         pos-server, with chown"
    )]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// Its permissions.
        mode: u32,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file exists but is not a database, cannot be read or written, or the disk is full.
    #[error("cannot open the SQLite database {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: StorageError,
    },
    /// An option has a value that is invalid for a pool.
    #[error("cannot create the connection pool: {0}")]
    Pool(String),
}

/// Returns warnings about valid but risky options, for operators. Each is a sentence that says what to change.
#[must_use]
pub fn warnings(options: &StorageOptions) -> Vec<String> {
    let urls = [("database.url", Some(&options.url)), ("database.direct_url", options.direct_url.as_ref())];
    let mut warnings: Vec<String> = urls
        .into_iter()
        .filter_map(|(setting, url)| url.filter(|url| url.is_unencrypted()).map(|url| (setting, url)))
        .map(|(setting, url)| {
            format!("{setting} connects to {url} without TLS: add ?sslmode=verify-full, unless the network is trusted")
        })
        .collect();
    if matches!(options.url.engine(), Engine::Postgres(_)) && options.max_connections < 4 {
        warnings.push(
            "database.max_connections is below 4: imports and starting terminals may use all of them, so portals wait"
                .to_owned(),
        );
    }
    warnings
}

/// Opens the storage that the options select.
///
/// PostgreSQL may be down: connections are opened on demand, so a server can start before its database and reports that in
/// its health check. An SQLite file is opened at once, and created if it does not exist. The schema version is not checked;
/// see [`pending_migrations`]. A schema newer than this program works.
///
/// # Errors
/// [`OpenError`].
pub async fn open(options: &StorageOptions) -> Result<OpenedStorage, OpenError> {
    if options.max_connections == 0 {
        return Err(OpenError::Pool("max_connections must be at least 1".to_owned()));
    }
    match options.url.engine() {
        Engine::Postgres(config) => {
            let store = Arc::new(PgStore::open(config, options)?);
            Ok(OpenedStorage { storage: Storage::of(Arc::clone(&store)), pool: store })
        }
        Engine::Sqlite(path) => {
            let store = Arc::new(SqliteStore::open(path, options).await?);
            Ok(OpenedStorage { storage: Storage::of(Arc::clone(&store)), pool: store })
        }
    }
}
