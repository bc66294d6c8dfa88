//! Connections to PostgreSQL: opened on demand, thrown away when in doubt.

use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleError, RecycleResult};
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};
use pos_port_storage::StorageError;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

use super::tls::{self, TlsError};
use crate::storage::failure::{Failure, TooSlow};

/// Why no connection could be opened. The password is in none of these.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the server does not accept a connection")]
    Refused(#[from] tokio_postgres::Error),
    #[error("the connection cannot be prepared")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the runtime is shutting down")]
    Stopping,
}

/// An open connection, with the task that moves its bytes.
///
/// The task runs on the runtime the store was opened on, never on the one of the request that happened to open the
/// connection: an HTTP worker that stops must not take other workers' connections with it.
pub(super) struct PgConnection {
    pub(super) diesel: AsyncPgConnection,
    driver: JoinHandle<()>,
    /// False while an operation is under way, and for ever if it was abandoned or broke the connection.
    settled: bool,
}

impl PgConnection {
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }
}

/// Opens connections for the pool and judges those that come back.
#[derive(Clone)]
pub(super) struct PgManager {
    pub(super) config: Config,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) runtime: Handle,
}

impl PgManager {
    /// Opens a connection on the current runtime, ready for statements.
    pub(super) async fn open(&self) -> Result<PgConnection, ConnectError> {
        // Less than we wait ourselves: an answer from the server is the one that knows that nothing was written. And the
        // isolation our statements are written for, whatever the database's default.
        let milliseconds = (self.statement_timeout / 4 * 3).as_millis().clamp(1, 2_147_483_647);
        let settings =
            format!("SET statement_timeout = {milliseconds}; SET default_transaction_isolation = 'read committed'");
        let limit = self.connect_timeout;
        let opening = async {
            let mut connection = connect(&self.config, limit).await?;
            connection.diesel.batch_execute(&settings).await.map_err(|error| ConnectError::Setup(error.into()))?;
            Ok(connection)
        };
        timeout(limit, opening).await.map_err(|_| TooSlow { what: "connecting to PostgreSQL", limit })?
    }
}

impl Manager for PgManager {
    type Type = PgConnection;
    type Error = ConnectError;

    async fn create(&self) -> Result<PgConnection, ConnectError> {
        let manager = self.clone();
        self.runtime.spawn(async move { manager.open().await }).await.unwrap_or(Err(ConnectError::Stopping))
    }

    async fn recycle(&self, connection: &mut PgConnection, _: &Metrics) -> RecycleResult<ConnectError> {
        if connection.settled && !connection.is_closed() {
            Ok(())
        } else {
            Err(RecycleError::message("abandoned or closed"))
        }
    }
}

/// Opens one connection within `limit`, on the current runtime: over TLS if the URL says `sslmode=require`, else plain.
///
/// `prefer`, which is what a URL means that says nothing, is plain too: TLS that anybody in between can talk us out of
/// protects nothing, and a verified certificate is not what a server on the same machine has.
pub(super) async fn connect(config: &Config, limit: Duration) -> Result<PgConnection, ConnectError> {
    let opening = async {
        match config.get_ssl_mode() {
            SslMode::Require => establish(config, tls::verified()?).await,
            _ => establish(config, NoTls).await,
        }
    };
    timeout(limit, opening).await.map_err(|_| TooSlow { what: "connecting to PostgreSQL", limit })?
}

async fn establish<T>(config: &Config, tls: T) -> Result<PgConnection, ConnectError>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send> + Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a PostgreSQL connection ended");
        }
    });
    let diesel = AsyncPgConnection::try_from(client).await.map_err(|error| ConnectError::Setup(error.into()))?;
    Ok(PgConnection { diesel, driver, settled: true })
}

/// A connection on loan for one operation: one statement, or the statements of one transaction.
///
/// It goes back to the pool for use only by [`Lease::settle`] or [`Lease::settle_transaction`]. Dropped any other way
/// (the caller went away, the time was up), its statement may still be running or its transaction be open: the pool
/// throws it away, and the server rolls back.
pub(super) struct Lease {
    connection: Object<PgManager>,
    limit: Duration,
}

impl Lease {
    pub(super) async fn of(pool: &Pool<PgManager>, acquire_timeout: Duration) -> Result<Self, Failure> {
        let what = "waiting for a PostgreSQL connection";
        let mut connection = timeout(acquire_timeout, pool.get())
            .await
            .map_err(|_| Failure::unavailable(TooSlow { what, limit: acquire_timeout }))?
            .map_err(Failure::unavailable)?;
        connection.settled = false;
        let limit = connection_limit(&connection);
        Ok(Self { connection, limit })
    }

    pub(super) fn connection(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection.diesel
    }

    /// Ends the operation and says what its outcome means.
    pub(super) fn settle<T>(mut self, outcome: Result<Result<T, Error>, Elapsed>) -> Result<T, Failure> {
        let error = match outcome {
            Ok(Ok(value)) => {
                self.connection.settled = true;
                return Ok(value);
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(Failure::unavailable(TooSlow { what: "a PostgreSQL statement", limit: self.limit })),
        };
        Err(self.judged(error))
    }

    /// Ends the operation and says what the outcome of its transaction means: one that was refused was rolled back.
    pub(super) fn settle_transaction<T, R: From<StorageError>>(
        mut self,
        outcome: Result<Result<T, Stop<R>>, Elapsed>,
    ) -> Result<T, R> {
        match outcome {
            Ok(Err(Stop::Refused(refusal))) => {
                self.connection.settled = true;
                Err(refusal)
            }
            Ok(Ok(value)) => self.settle(Ok(Ok(value))).map_err(|failure| StorageError::from(failure).into()),
            Ok(Err(Stop::Failed(error))) => Err(StorageError::from(self.judged(error)).into()),
            Err(elapsed) => self.settle(Err(elapsed)).map_err(|failure| StorageError::from(failure).into()),
        }
    }

    fn judged(&mut self, error: Error) -> Failure {
        let failure = judge(self.connection.is_closed(), error);
        let passing = matches!(failure, Failure::Storage(StorageError::Unavailable(_)));
        self.connection.settled = !passing && !AnsiTransactionManager::is_broken_transaction_manager(self.connection());
        failure
    }
}

/// What an error means, on a connection that is closed by now or is not.
pub(super) fn judge(closed: bool, error: Error) -> Failure {
    if closed || is_passing(&error) {
        return Failure::unavailable(error);
    }
    let place =
        |information: &dyn DatabaseErrorInformation| information.constraint_name().unwrap_or_default().to_owned();
    match &error {
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
            Failure::Taken { place: place(&**information), source: error }
        }
        Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) => {
            Failure::Missing { place: place(&**information), source: error }
        }
        _ => Failure::fault(error),
    }
}

/// Why a transaction is rolled back.
pub(super) enum Stop<R> {
    /// A rule of the port says no.
    Refused(R),
    /// A statement failed.
    Failed(Error),
}

impl<R> From<Error> for Stop<R> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn connection_limit(connection: &Object<PgManager>) -> Duration {
    Object::pool(connection).map_or(Duration::MAX, |pool| pool.manager().statement_timeout)
}

/// Whether the error says that the connection is gone, rather than the statement refused.
pub(super) fn is_lost(error: &Error) -> bool {
    let Error::DatabaseError(kind, information) = error else {
        return false;
    };
    matches!(kind, DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection)
        || information.message().starts_with("terminating connection")
}

/// Whether the server rolled the statement back because of others at the same rows: nothing of it was kept, and it may
/// be tried again.
pub(super) fn is_rolled_back(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        Error::DatabaseError(_, information) => information.message().starts_with("deadlock detected"),
        _ => false,
    }
}

/// What the server says when it is going away, overloaded or out of room (SQLSTATE classes 40, 53, 55, 57 and 58).
/// diesel does not hand on the SQLSTATE, so these are words: those of an English server. With another language the
/// worst that can happen is a fault where "unavailable" would have been kinder.
const PASSING: [&str; 13] = [
    "terminating connection",
    "canceling statement",
    "the database system is",
    "deadlock detected",
    "could not serialize",
    "could not obtain lock",
    "could not extend file",
    "could not write",
    "no space left",
    "out of memory",
    "out of shared memory",
    "too many",
    "cached plan must not change",
];

/// Whether the same statement may succeed later, on another connection.
fn is_passing(error: &Error) -> bool {
    let Error::DatabaseError(kind, information) = error else {
        return false;
    };
    match kind {
        DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::ClosedConnection
        | DatabaseErrorKind::SerializationFailure
        | DatabaseErrorKind::ReadOnlyTransaction => true,
        DatabaseErrorKind::Unknown => {
            let message = information.message().to_ascii_lowercase();
            PASSING.iter().any(|words| message.contains(words))
        }
        _ => false,
    }
}
