//! PostgreSQL connection pool: connections are opened on demand, and closed if their state is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use diesel::QueryResult;
use diesel::result::Error;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, RunQueryDsl as _, TransactionManager};
use pos_port_storage::shared::StorageError;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::{Client, Config};

use crate::engine_error::{EngineError, TooSlow};
use crate::postgres::connect_error::ConnectError;
use crate::postgres::connection::{PgConn, Unprepared};
use crate::postgres::errors::classify;
use crate::postgres::hosts::{FirstHost, detect_dead_peers, dial};
use crate::{Pooler, StorageOptions};

/// By default PostgreSQL caches the plan of a prepared statement, and of a foreign key check, until the table is analysed.
/// A plan from when the table was nearly empty then reads the whole table.
const CUSTOM_PLANS: &str = "; SET plan_cache_mode = force_custom_plan";

/// Keeps the plans of a session from now on, if there are enough devices to tell the indexes apart: in a table of one row, an
/// index whose second column is the key is rated like the primary key. Returns a row if so.
pub(crate) const KEEP_PLANS: &str = "SELECT set_config('plan_cache_mode', 'force_generic_plan', false)
    WHERE (SELECT count(*) FROM (SELECT FROM devices LIMIT 100) AS first_devices) = 100";

/// How often the server checks, while it runs a statement, whether its client is still connected.
const CLIENT_CHECK_MS: u32 = 500;

/// An open connection and the task that drives its socket.
///
/// The task runs on the runtime on which the store was opened, never on the runtime of the request that opened the
/// connection: an HTTP worker that stops must not close the connections of other workers.
pub(crate) struct PgConnection<L = PgConn> {
    pub(crate) inner: L,
    driver: JoinHandle<()>,
    /// False while an operation runs. Stays false if the operation was cancelled or broke the connection.
    pub(crate) reusable: bool,
    /// Whether the session keeps its plans.
    pub(crate) keeps_plans: bool,
}

/// Closes the socket at once if an operation was cancelled: the server then ends the statement within
/// [`CLIENT_CHECK_MS`], rolls back, and releases the locks. An idle connection is terminated by protocol message.
impl<L> Drop for PgConnection<L> {
    fn drop(&mut self) {
        self.close_unless_reusable();
    }
}

impl<L> PgConnection<L> {
    fn close_unless_reusable(&self) {
        if !self.reusable {
            self.driver.abort();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }
}

/// Opens connections for the pool, and rejects returned connections that cannot be reused.
#[derive(Clone)]
pub(crate) struct PgManager {
    pub(crate) config: Config,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    /// Whether connections go through a pooler in transaction mode.
    pub(crate) pooled: bool,
    /// Whether the warning about the role's missing statement timeout was logged.
    pub(crate) warned: Arc<AtomicBool>,
    /// Session settings for the statements that the connections run.
    pub(crate) tuning: &'static str,
    /// The host of the URL that is tried first.
    pub(crate) first_host: Arc<FirstHost>,
    pub(crate) runtime: Handle,
}

impl PgManager {
    /// Connections are opened on the current runtime.
    pub(crate) fn of(config: &Config, options: &StorageOptions) -> Self {
        let mut config = config.clone();
        if config.get_application_name().is_none() {
            config.application_name("pos-activation");
        }
        detect_dead_peers(&mut config);
        Self {
            config,
            connect_timeout: options.connect_timeout,
            statement_timeout: options.statement_timeout,
            pooled: options.pooler == Pooler::Transaction,
            warned: Arc::default(),
            tuning: CUSTOM_PLANS,
            first_host: Arc::default(),
            runtime: Handle::current(),
        }
    }

    /// For connections that only look up rows by key, with kept plans ([`KEEP_PLANS`]). By default PostgreSQL plans each list
    /// of keys again, which takes longer than the look-up. A bitmap scan is useful for many rows on one page; these rows are
    /// far apart.
    pub(crate) fn for_keys(&self) -> Self {
        Self {
            tuning: "; SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off; SET enable_bitmapscan = off",
            ..self.clone()
        }
    }

    /// For connections whose statement serves many callers: a lock on a table, or on a code that another transaction is
    /// inserting, delays them only briefly. (The statement skips locked rows.) Plans are kept ([`KEEP_PLANS`]), also those of
    /// foreign key checks, because planning takes as long as the work. They find rows by key only: the statement admits no
    /// other join, and the rest is disabled.
    pub(crate) fn for_saves(&self) -> Self {
        Self {
            tuning: "; SET plan_cache_mode = force_custom_plan; SET lock_timeout = 500; SET enable_seqscan = off; \
                     SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off",
            ..self.clone()
        }
    }

    /// Opens a connection on the current runtime and sets up its session.
    pub(crate) async fn open<L: FromClient>(&self) -> Result<PgConnection<L>, ConnectError> {
        let limit = self.connect_timeout;
        let (client, driver) = dial(&self.config, limit, &self.first_host).await?;
        let preparing = async {
            if self.pooled { self.check_pooled(&client).await } else { self.set_up(&client).await }?;
            Ok(PgConnection {
                inner: L::from_client(client, self.pooled).await?,
                driver,
                reusable: true,
                keeps_plans: false,
            })
        };
        timeout(limit, preparing).await.map_err(|_| TooSlow { what: "preparing a PostgreSQL connection", limit })?
    }

    async fn set_up(&self, client: &Client) -> Result<(), ConnectError> {
        // The timeout is shorter than the client's: only an error from the server proves that nothing was written. The
        // isolation level is the one that the statements require. JIT compilation takes longer than any of them runs.
        let settings = format!(
            "SET statement_timeout = {}; SET default_transaction_isolation = 'read committed'; SET jit = off; {}{}",
            milliseconds(self.statement_timeout / 4 * 3),
            session_guards(self.statement_timeout),
            self.tuning
        );
        // Sent separately: servers whose system does not support it (before PostgreSQL 15, all except Linux) reject it.
        let client_check = format!("SET client_connection_check_interval = {CLIENT_CHECK_MS}");
        let (set, _) = tokio::join!(client.batch_execute(&settings), client.batch_execute(&client_check));
        set.map_err(|error| ConnectError::Setup(error.into()))
    }

    /// Checks the session settings instead of changing them: through a pooler, a changed setting would stay on a server
    /// connection that other clients use next. The role or the pooler must set them.
    async fn check_pooled(&self, client: &Client) -> Result<(), ConnectError> {
        let setting = "SELECT current_setting('default_transaction_isolation'),
            (SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'),
            (SELECT setting::bigint FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout')";
        let row = client.query_typed_one(setting, &[]).await?;
        let (isolation, statement, idle): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if isolation != "read committed" {
            return Err(ConnectError::Isolation(isolation));
        }
        let ours = i64::try_from(self.statement_timeout.as_millis()).unwrap_or(i64::MAX);
        let bounded = (1..ours).contains(&statement) && idle > 0;
        if !bounded && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                statement_timeout = statement,
                idle_in_transaction_session_timeout = idle,
                "the role has no statement_timeout below database.statement_timeout_ms, or no \
                 idle_in_transaction_session_timeout: a statement may continue after its caller received an error, \
                 and a stopped server may hold its locks"
            );
        }
        Ok(())
    }
}

/// Statements that make the server end the session of a client that stopped or lost its network: after `limit` in an idle
/// transaction, or after about a minute without an answer. The server then releases the locks.
pub(crate) fn session_guards(limit: Duration) -> String {
    format!(
        "SET idle_in_transaction_session_timeout = {}; SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
         SET tcp_keepalives_count = 3; SET tcp_user_timeout = 60000",
        milliseconds(limit)
    )
}

fn milliseconds(time: Duration) -> u128 {
    time.as_millis().clamp(1, 2_147_483_647)
}

/// A connection type of this store, built from a client.
pub(crate) trait FromClient: Sized + Send {
    /// The client's session is set up. With `pooled`, a prepared statement may be missing on the next use.
    fn from_client(client: Client, pooled: bool) -> impl Future<Output = Result<Self, ConnectError>> + Send;

    /// Runs [`KEEP_PLANS`], and returns whether plans are kept.
    fn keep_plans(&mut self) -> impl Future<Output = QueryResult<bool>> + Send;
}

impl FromClient for PgConn {
    async fn from_client(client: Client, pooled: bool) -> Result<Self, ConnectError> {
        if pooled {
            Ok(Self::Unprepared(Unprepared::new(client)))
        } else {
            Ok(Self::Prepared(Box::new(prepared(client).await?)))
        }
    }

    async fn keep_plans(&mut self) -> QueryResult<bool> {
        Ok(diesel::sql_query(KEEP_PLANS).execute(self).await? == 1)
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
        if connection.reusable && !connection.is_closed() {
            Ok(())
        } else {
            Err(RecycleError::message("cancelled or closed"))
        }
    }
}

/// Opens a direct connection to the server for diesel's migrations, without session settings. `limit` applies per host.
pub(crate) async fn connect(config: &Config, limit: Duration) -> Result<AsyncPgConnection, ConnectError> {
    let (client, _) = dial(config, limit, &FirstHost::default()).await?;
    timeout(limit, prepared(client)).await.map_err(|_| TooSlow { what: "preparing a PostgreSQL connection", limit })?
}

async fn prepared(client: Client) -> Result<AsyncPgConnection, ConnectError> {
    AsyncPgConnection::try_from(client).await.map_err(|error| ConnectError::Setup(error.into()))
}

/// A pooled connection that is checked out for one operation: one statement, or the statements of one transaction.
///
/// It returns to the pool only by [`Lease::finish`] or [`Lease::finish_transaction`]. If it is dropped in any other way
/// (the caller was cancelled, the time limit expired), its statement may still run or its transaction may be open: its
/// socket is closed at once, the server rolls back, and the pool replaces it.
pub(crate) struct Lease {
    connection: Object<PgManager>,
    limit: Duration,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.close_unless_reusable();
    }
}

impl Lease {
    pub(crate) async fn acquire(pool: &Pool<PgManager>, acquire_timeout: Duration) -> Result<Self, EngineError> {
        let what = "waiting for a PostgreSQL connection";
        let mut connection = timeout(acquire_timeout, pool.get())
            .await
            .map_err(|_| EngineError::unavailable(TooSlow { what, limit: acquire_timeout }))?
            .map_err(EngineError::unavailable)?;
        connection.reusable = false;
        let limit = connection_limit(&connection);
        Ok(Self { connection, limit })
    }

    /// Returns a connection if the pool has one available without waiting. `limit` bounds opening a new one.
    pub(crate) async fn try_acquire(pool: &Pool<PgManager>, limit: Duration) -> Result<Option<Self>, EngineError> {
        let no_wait = Timeouts { wait: Some(Duration::ZERO), ..Timeouts::default() };
        let what = "opening a PostgreSQL connection";
        let taken = timeout(limit, pool.timeout_get(&no_wait)).await;
        let mut connection = match taken.map_err(|_| EngineError::unavailable(TooSlow { what, limit }))? {
            Ok(connection) => connection,
            Err(PoolError::Timeout(TimeoutType::Wait)) => return Ok(None),
            Err(error) => return Err(EngineError::unavailable(error)),
        };
        connection.reusable = false;
        let limit = connection_limit(&connection);
        Ok(Some(Self { connection, limit }))
    }

    pub(crate) fn connection(&mut self) -> &mut PgConn {
        &mut self.connection.inner
    }

    /// Ends the operation and converts its outcome.
    pub(crate) fn finish<T>(mut self, outcome: Result<Result<T, Error>, Elapsed>) -> Result<T, EngineError> {
        let error = match outcome {
            Ok(Ok(value)) => {
                self.connection.reusable = true;
                return Ok(value);
            }
            Ok(Err(error)) => error,
            Err(_) => {
                return Err(EngineError::unavailable(TooSlow { what: "a PostgreSQL statement", limit: self.limit }));
            }
        };
        Err(self.classify(error))
    }

    /// Ends the operation and converts the outcome of its transaction. A refused transaction was rolled back.
    pub(crate) fn finish_transaction<T, R: From<StorageError>>(
        mut self,
        outcome: Result<Result<T, Rollback<R>>, Elapsed>,
    ) -> Result<T, R> {
        match outcome {
            Ok(Err(Rollback::Refused(refusal))) => {
                self.connection.reusable = true;
                Err(refusal)
            }
            Ok(Ok(value)) => self.finish(Ok(Ok(value))).map_err(|failure| StorageError::from(failure).into()),
            Ok(Err(Rollback::Failed(error))) => Err(StorageError::from(self.classify(error)).into()),
            Err(elapsed) => self.finish(Err(elapsed)).map_err(|failure| StorageError::from(failure).into()),
        }
    }

    fn classify(&mut self, error: Error) -> EngineError {
        let failure = classify(self.connection.is_closed(), error);
        let transient = matches!(failure, EngineError::Storage(StorageError::Unavailable(_)));
        self.connection.reusable =
            !transient && !AnsiTransactionManager::is_broken_transaction_manager(self.connection());
        failure
    }
}

/// Why a transaction is rolled back.
pub(crate) enum Rollback<R> {
    /// A rule of the port is violated.
    Refused(R),
    /// A statement failed.
    Failed(Error),
}

impl<R> From<Error> for Rollback<R> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn connection_limit(connection: &Object<PgManager>) -> Duration {
    Object::pool(connection).map_or(Duration::MAX, |pool| pool.manager().statement_timeout)
}
