//! Stores behind the storage ports: PostgreSQL and SQLite, by diesel.
//!
//! [`open`] takes a [`StorageOptions`] and answers the ports of whichever engine its [`DatabaseUrl`] names; nobody
//! outside this module knows which one it is. What both engines share (words, records, what an error means) is in
//! `rows` and `failure`; `postgres` and `sqlite` keep the statements and the native types.
//!
//! To add a column: a new folder in `migrations/` for each engine, the column in each `schema.rs`, and its way through
//! `rows.rs`. A running server of the version before must be able to live with it, since replicas are replaced one by
//! one.

mod audit_rows;
mod backup;
mod failure;
mod fleet_rows;
mod import_rows;
mod migrating;
#[cfg(test)]
mod migration_rules;
mod migrations;
mod pool_share;
mod postgres;
mod reclaiming;
mod rows;
mod sqlite;
mod tenancy_rows;
mod trail_rows;
mod url;
mod url_parameters;
mod watchers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pos_port_storage::{Storage, StorageError};

pub use self::backup::{BackUpError, back_up};
pub use self::migrations::{MigrateError, migrate, pending_migrations};
pub use self::postgres::PgStore;
pub use self::rows::CorruptRow;
pub use self::sqlite::SqliteStore;
pub use self::url::{DatabaseUrl, InvalidDatabaseUrl};

use self::url::Engine;

/// Where the database is and how long it may take.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Which database.
    pub url: DatabaseUrl,
    /// How many connections this process opens at most; at least 1. For SQLite: how many read at once, beside the one
    /// that writes. Updates of terminal info hold at most a third of them, and imports and retention a quarter; from 4
    /// on, some are always left to interactive requests. Health checks have a connection of their own.
    pub max_connections: usize,
    /// How long a call waits for a connection, the time to open one included.
    pub acquire_timeout: Duration,
    /// How long opening one connection may take.
    pub connect_timeout: Duration,
    /// How long one operation on an open connection may take.
    pub statement_timeout: Duration,
    /// PostgreSQL only: whether look-ups and saves that arrive while one is under way go together as one statement, on
    /// a connection of each HTTP worker's own, beside `max_connections`.
    pub gather: bool,
    /// How many callers may wait at once for word of a device.
    pub max_watches: usize,
    /// PostgreSQL only: whether `url` leads to a pooler.
    pub pooler: Pooler,
    /// PostgreSQL only: the server itself, where `url` leads to a pooler. What needs a session of its own goes there: the
    /// lock around migrations, and LISTEN. Without it nothing can be migrated, and word of changes on other replicas is
    /// not heard.
    pub direct_url: Option<DatabaseUrl>,
}

/// What stands between this program and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// Nothing, or something that keeps one server connection for each of ours.
    #[default]
    None,
    /// Something that lends a server connection for one transaction, like PgBouncer with `pool_mode = transaction`. No
    /// statement is kept prepared, and no session is set; `statement_timeout` is the role's.
    Transaction,
}

/// A store that is open, and a look at its connections.
#[derive(Clone)]
pub struct OpenedStorage {
    /// The ports.
    pub storage: Storage,
    /// The connections.
    pub pool: Arc<dyn PoolMonitor>,
}

/// Tells how a pool of connections stands, for a metrics page.
pub trait PoolMonitor: Send + Sync {
    /// How it stands now. Does no I/O.
    fn state(&self) -> PoolState;

    /// How many updates of terminal info were dropped since this was last asked, because others held the whole share of
    /// the pool that such updates have.
    fn take_dropped_updates(&self) -> u64 {
        0
    }
}

/// How a pool stands, in connections and callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// The most it may open.
    pub max: usize,
    /// How many are open.
    pub size: usize,
    /// How many of these are idle.
    pub available: usize,
    /// How many callers wait for one.
    pub waiting: usize,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite makes the file, but not the folder around it.
    #[error("the folder {0} does not exist: create it, or correct the sqlite:// URL")]
    MissingFolder(PathBuf),
    /// A file of an SQLite database, or the folder around it, is another user's or protected.
    #[error(
        "{path} cannot be written (it belongs to user {owner}, with mode {mode:04o}): give it to the user that runs \
         pos-server, with chown"
    )]
    NotWritable {
        /// Which file or folder.
        path: PathBuf,
        /// Whose it is: a user's id.
        owner: u32,
        /// Its permissions.
        mode: u32,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is there and is no database, or may not be read or written, or the disk is full.
    #[error("cannot open the SQLite database {path}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: StorageError,
    },
    /// The options hold a value that no pool can work with.
    #[error("the connection pool cannot be built: {0}")]
    Pool(String),
}

/// What may be wrong with options that work, for whoever runs the server: each a sentence with what to write instead.
#[must_use]
pub fn warnings(options: &StorageOptions) -> Vec<String> {
    let urls = [("database.url", Some(&options.url)), ("database.direct_url", options.direct_url.as_ref())];
    let mut warnings: Vec<String> = urls
        .into_iter()
        .filter_map(|(setting, url)| url.filter(|url| url.is_unencrypted()).map(|url| (setting, url)))
        .map(|(setting, url)| {
            format!("{setting} leads to {url} without TLS: add ?sslmode=verify-full, unless the way there is trusted")
        })
        .collect();
    if matches!(options.url.engine(), Engine::Postgres(_)) && options.max_connections < 4 {
        warnings.push(
            "database.max_connections is below 4, so imports and terminals that start up may take the last connection from \
             portals"
                .to_owned(),
        );
    }
    warnings
}

/// Opens the store that the options name.
///
/// PostgreSQL need not be up: connections are opened when they are needed, so a server can start before its database
/// and says so in its health report. An SQLite file is opened, and made if need be, at once. The schema is not looked
/// at; see [`pending_migrations`]. One that is newer than this program serves as well.
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
