//! SQLite connection pool. Connections are used on blocking threads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Pool, PoolError, RecycleError, RecycleResult};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::{ConnectionError, Error};
use diesel::{Connection, SqliteConnection};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::engine_error::{EngineError, TooSlow};
use crate::sqlite::access::create_private;
use crate::sqlite::errors::is_transient;

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The write connection. SQLite allows one writer at a time; callers are queued in order here, not in SQLite.
    Writer,
    /// A read connection. In WAL mode readers and the writer do not block each other.
    Reader,
}

/// Why the database file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Open(#[from] ConnectionError),
    #[error("the file cannot be created")]
    Create(#[from] std::io::Error),
    #[error(transparent)]
    Setup(#[from] Error),
    #[error("the runtime is shutting down")]
    Stopping,
}

/// Opens connections for the pool, and rejects returned connections that cannot be reused.
#[derive(Clone)]
pub(crate) struct SqliteManager {
    pub(crate) path: PathBuf,
    pub(crate) role: Role,
    pub(crate) busy_timeout: Duration,
}

impl SqliteManager {
    /// Opens a connection. Blocks the thread.
    pub(crate) fn open(&self) -> Result<SqliteConnection, ConnectError> {
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

/// Opens a connection. Creates the file for its owner only if it does not exist; the folder must exist.
///
/// With write-ahead logging a writer does not block readers. With `synchronous = FULL` a committed change survives a power
/// loss: a terminal that received the status `claimed` must stay claimed.
pub(crate) fn connect(path: &Path, busy_timeout: Duration) -> Result<SqliteConnection, ConnectError> {
    create_private(path)?;
    let path = path.to_str().ok_or(ConnectionError::BadConnection("the path is not UTF-8".to_owned()))?;
    let mut connection = SqliteConnection::establish(path)?;
    let milliseconds = busy_timeout.as_millis().clamp(1, 2_147_483_647);
    connection.batch_execute(&format!("PRAGMA busy_timeout = {milliseconds}"))?;
    use_write_ahead_log(&mut connection, busy_timeout)?;
    connection.batch_execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    Ok(connection)
}

/// Switches the file to write-ahead logging, which is permanent.
///
/// SQLite ignores the busy timeout here: of several connections that switch a new file at once, all but one fail at once
/// with a locked file. They retry for `max_wait`.
fn use_write_ahead_log(connection: &mut SqliteConnection, max_wait: Duration) -> Result<(), Error> {
    let pause = Duration::from_millis(5);
    let mut left = max_wait;
    loop {
        match connection.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if is_transient(&error) && left > pause => {
                left = left.saturating_sub(pause);
                std::thread::sleep(pause);
            }
            outcome => return outcome,
        }
    }
}

/// Runs an operation, including its transaction, on a blocking thread.
///
/// The connection moves with the operation, which completes even if the caller is cancelled, so no caller gets a connection
/// with an open transaction. (diesel-async's `SyncConnectionWrapper` is not used for this reason: dropping its future early
/// blocks the thread, and panics on the current-thread runtimes of actix workers.)
pub(crate) async fn run<T: Send + 'static>(
    pool: &Pool<SqliteManager>,
    limits: Limits,
    operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let too_slow = |what, limit| EngineError::unavailable(TooSlow { what, limit });
    let mut connection = timeout(limits.acquire, pool.get())
        .await
        .map_err(|_| too_slow("waiting for an SQLite connection", limits.acquire))?
        .map_err(|error: PoolError<ConnectError>| EngineError::unavailable(error))?;
    timeout(limits.statement, spawn_blocking(move || operation(&mut connection)))
        .await
        .map_err(|_| too_slow("an SQLite operation", limits.statement))?
        .unwrap_or_else(|panicked| Err(EngineError::fault(panicked)))
}

/// Time limits of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) acquire: Duration,
    pub(crate) statement: Duration,
}

impl Limits {
    /// The busy timeout of SQLite, for another process that writes. It is shorter than the statement timeout: only an error
    /// from SQLite proves that nothing was written.
    pub(crate) fn busy(self) -> Duration {
        self.statement / 4 * 3
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier, mpsc};
    use std::thread;

    use super::*;

    /// SQLite 3.51.0 and 3.51.1 lock two of their mutexes in opposite orders here, and deadlock.
    #[test]
    fn the_last_connections_of_a_file_are_closed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pos.db");
        let (opened, (ended, outcomes)) = (Arc::new(Barrier::new(2)), mpsc::channel());
        for _ in 0..2 {
            let (path, opened, ended) = (path.clone(), opened.clone(), ended.clone());
            thread::spawn(move || {
                for _ in 0..1_000 {
                    let mut connection = connect(&path, Duration::from_secs(60)).unwrap();
                    connection.batch_execute("SELECT * FROM sqlite_schema").unwrap();
                    opened.wait();
                    drop(connection);
                }
                ended.send(()).unwrap();
            });
        }
        drop(ended);
        for _ in 0..2 {
            outcomes.recv_timeout(Duration::from_secs(120)).expect("a deadlock, or a connection that failed");
        }
    }
}
