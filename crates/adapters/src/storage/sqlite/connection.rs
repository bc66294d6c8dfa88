//! Connections to an SQLite file, each used on a thread that may block.

use std::path::{Path, PathBuf};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Pool, PoolError, RecycleError, RecycleResult};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::{ConnectionError, DatabaseErrorKind, Error};
use diesel::{Connection, SqliteConnection};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::access::create_private;
use crate::storage::failure::{Failure, TooSlow};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that writes. SQLite lets one connection write at a time; callers queue here, in order, rather than there.
    Writer,
    /// One of those that read. In WAL mode they neither wait for the writer nor make it wait.
    Reader,
}

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Open(#[from] ConnectionError),
    #[error("the file cannot be made")]
    Create(#[from] std::io::Error),
    #[error(transparent)]
    Setup(#[from] Error),
    #[error("the runtime is shutting down")]
    Stopping,
}

/// Opens connections for the pool and judges those that come back.
#[derive(Clone)]
pub(super) struct SqliteManager {
    pub(super) path: PathBuf,
    pub(super) role: Role,
    pub(super) busy_timeout: Duration,
}

impl SqliteManager {
    /// Opens one, on a thread that may block.
    pub(super) fn open(&self) -> Result<SqliteConnection, ConnectError> {
        let mut connection = connect(&self.path, self.busy_timeout)?;
        if self.role == Role::Reader {
            connection.batch_execute("PRAGMA query_only = ON")?;
        }
        Ok(connection)
    }
}

impl Manager for SqliteManager {
    type Type = SqliteConnection;
    type Error = ConnectError;

    async fn create(&self) -> Result<SqliteConnection, ConnectError> {
        let manager = self.clone();
        spawn_blocking(move || manager.open()).await.unwrap_or(Err(ConnectError::Stopping))
    }

    async fn recycle(&self, connection: &mut SqliteConnection, _: &Metrics) -> RecycleResult<ConnectError> {
        if AnsiTransactionManager::is_broken_transaction_manager(connection) {
            return Err(RecycleError::message("a transaction was left open"));
        }
        Ok(())
    }
}

/// Opens a connection, and makes the file if it is not there, for its owner alone; the folder around it must be there.
///
/// Write-ahead logging lets readers go on while one writes. `synchronous = FULL` keeps what was answered through a
/// loss of power: a terminal that was told it is claimed must stay claimed.
pub(super) fn connect(path: &Path, busy_timeout: Duration) -> Result<SqliteConnection, ConnectError> {
    create_private(path)?;
    let path = path.to_str().ok_or(ConnectionError::BadConnection("the path is not UTF-8".to_owned()))?;
    let mut connection = SqliteConnection::establish(path)?;
    let milliseconds = busy_timeout.as_millis().clamp(1, 2_147_483_647);
    connection.batch_execute(&format!("PRAGMA busy_timeout = {milliseconds}"))?;
    use_write_ahead_log(&mut connection, busy_timeout)?;
    connection.batch_execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    Ok(connection)
}

/// Switches the file to write-ahead logging, once for all connections there will ever be.
///
/// SQLite does not wait for others here: of several that switch a new file at once, all but one are told at once that
/// it is locked. They look again until it is switched.
fn use_write_ahead_log(connection: &mut SqliteConnection, patience: Duration) -> Result<(), Error> {
    let pause = Duration::from_millis(5);
    let mut left = patience;
    loop {
        match connection.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if is_passing(&error) && left > pause => {
                left = left.saturating_sub(pause);
                std::thread::sleep(pause);
            }
            outcome => return outcome,
        }
    }
}

/// Runs a whole operation, transaction included, in one hop to a blocking thread.
///
/// The connection travels with the operation, which runs to its end even when the caller goes away meanwhile: nobody
/// finds a connection in the middle of another's transaction. (This is why the connections are not wrapped in
/// diesel-async's `SyncConnectionWrapper`: a future of its that is dropped early blocks the thread it is dropped on,
/// and panics on the single-threaded runtimes that actix workers are.)
pub(super) async fn run<T: Send + 'static>(
    pool: &Pool<SqliteManager>,
    limits: Limits,
    operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let too_slow = |what, limit| Failure::unavailable(TooSlow { what, limit });
    let mut connection = timeout(limits.acquire, pool.get())
        .await
        .map_err(|_| too_slow("waiting for an SQLite connection", limits.acquire))?
        .map_err(|error: PoolError<ConnectError>| Failure::unavailable(error))?;
    timeout(limits.statement, spawn_blocking(move || operation(&mut connection)))
        .await
        .map_err(|_| too_slow("an SQLite operation", limits.statement))?
        .unwrap_or_else(|panicked| Err(Failure::fault(panicked)))
}

/// How long the steps of an operation may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) acquire: Duration,
    pub(super) statement: Duration,
}

impl Limits {
    /// How long SQLite itself waits for another process that writes: less than the statement may take, so that the
    /// answer comes from SQLite, which knows that nothing was written.
    pub(super) fn busy(self) -> Duration {
        self.statement / 4 * 3
    }
}

/// What SQLite says when the file is locked, the disk is full or gone, or the file cannot be reached now.
const PASSING: [&str; 6] = [
    "database is locked",
    "database table is locked",
    "disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
];

/// Whether another connection holds the lock that was wanted.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, information) if information.message().contains("is locked"))
}

/// Whether the same operation may succeed later.
fn is_passing(error: &Error) -> bool {
    let Error::DatabaseError(DatabaseErrorKind::Unknown, information) = error else {
        return false;
    };
    PASSING.iter().any(|words| information.message().contains(words))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
                let message = information.message();
                let place = message.rsplit_once(": ").map_or(message, |(_, place)| place).to_owned();
                Self::Taken { place, source: error }
            }
            Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
                Self::Missing { place: String::new(), source: error }
            }
            _ if is_passing(&error) => Self::unavailable(error),
            _ => Self::fault(error),
        }
    }
}
