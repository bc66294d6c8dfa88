//! Connections to PostgreSQL: opened on demand, thrown away when in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use diesel::result::Error;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use pos_port_storage::StorageError;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::{Client, Config};

use super::errors::judge;
use super::hosts::{FirstHost, dial};
use super::link::{PgLink, Unnamed};
use super::notice_dead_peers;
use super::tls::TlsError;
use crate::storage::failure::{Failure, TooSlow};
use crate::storage::{Pooler, StorageOptions};

/// Why no connection could be opened. The password is in none of these.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the database host cannot be found")]
    Lookup(#[source] std::io::Error),
    #[error("the server does not accept a connection")]
    Refused(#[from] tokio_postgres::Error),
    #[error("the connection cannot be prepared")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "transactions are {0} by default, and a pooler lets no connection change that: set default_transaction_isolation to 'read committed' for the role"
    )]
    Isolation(String),
    #[error("the runtime is shutting down")]
    Stopping,
}

/// Left to itself PostgreSQL keeps the plan of a prepared statement, and of a foreign key's check, until the table is
/// analysed: one that was made while the table was all but empty then reads the whole of it.
const CUSTOM_PLANS: &str = "; SET plan_cache_mode = force_custom_plan";

/// How often the server looks, while it runs a statement, whether its client is still connected.
const CLIENT_CHECK_MS: u32 = 500;

/// An open connection, with the task that moves its bytes.
///
/// The task runs on the runtime the store was opened on, never on the one of the request that happened to open the
/// connection: an HTTP worker that stops must not take other workers' connections with it.
pub(super) struct PgConnection<L = PgLink> {
    pub(super) link: L,
    driver: JoinHandle<()>,
    /// False while an operation is under way, and for ever if it was abandoned or broke the connection.
    pub(super) settled: bool,
}

/// Closes the socket at once if an operation was abandoned: the server then ends its statement within
/// [`CLIENT_CHECK_MS`], rolls back, and releases its locks. A connection that is merely idle says goodbye first.
impl<L> Drop for PgConnection<L> {
    fn drop(&mut self) {
        self.close_unless_settled();
    }
}

impl<L> PgConnection<L> {
    fn close_unless_settled(&self) {
        if !self.settled {
            self.driver.abort();
        }
    }

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
    /// Whether a pooler lends us a server connection for one transaction at a time.
    pub(super) pooled: bool,
    /// Whether somebody was told that the role has no statement timeout.
    pub(super) warned: Arc<AtomicBool>,
    /// What sessions are set to for the statements they will run.
    pub(super) tuning: &'static str,
    /// The host of the URL that connections are opened to first.
    pub(super) first_host: Arc<FirstHost>,
    pub(super) runtime: Handle,
}

impl PgManager {
    /// On the current runtime.
    pub(super) fn of(config: &Config, options: &StorageOptions) -> Self {
        let mut config = config.clone();
        if config.get_application_name().is_none() {
            config.application_name("pos-activation");
        }
        notice_dead_peers(&mut config);
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

    /// For connections that only look rows up by their keys. Left to itself PostgreSQL plans again for each list of keys,
    /// which takes longer than the look-up; and a plan that was made while the table was all but empty must not be one
    /// that reads the whole of it. A bitmap is for many rows of one page; these lie far apart.
    pub(super) fn for_keys(&self) -> Self {
        Self {
            tuning: "; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off",
            ..self.clone()
        }
    }

    /// For connections whose statement is many callers': a lock on a table, or on a code that another transaction is just
    /// giving out, holds none of them up for long. (A row that is locked is skipped.) And rows are found by their keys only,
    /// never by a join that reads all devices, which for a table of some thousands looks as cheap.
    pub(super) fn for_saves(&self) -> Self {
        Self {
            tuning: "; SET plan_cache_mode = force_custom_plan; SET lock_timeout = 500; SET enable_seqscan = off; \
                     SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off",
            ..self.clone()
        }
    }

    /// Opens a connection on the current runtime, ready for statements.
    pub(super) async fn open<L: Link>(&self) -> Result<PgConnection<L>, ConnectError> {
        let limit = self.connect_timeout;
        let (client, driver) = dial(&self.config, limit, &self.first_host).await?;
        let preparing = async {
            if self.pooled { self.check_pooled(&client).await } else { self.set_up(&client).await }?;
            Ok(PgConnection { link: L::over(client, self.pooled).await?, driver, settled: true })
        };
        timeout(limit, preparing).await.map_err(|_| TooSlow { what: "preparing a PostgreSQL connection", limit })?
    }

    async fn set_up(&self, client: &Client) -> Result<(), ConnectError> {
        // Less than we wait ourselves: an answer from the server is the one that knows that nothing was written. And the
        // isolation our statements are written for, whatever the database's default. To compile a plan (JIT) takes longer
        // than any of them.
        let settings = format!(
            "SET statement_timeout = {}; SET default_transaction_isolation = 'read committed'; SET jit = off; {}{}",
            milliseconds(self.statement_timeout / 4 * 3),
            session_guards(self.statement_timeout),
            self.tuning
        );
        // Apart: a server on a system that cannot look (before PostgreSQL 15 any but Linux) refuses it, and does without.
        let client_check = format!("SET client_connection_check_interval = {CLIENT_CHECK_MS}");
        let (set, _) = tokio::join!(client.batch_execute(&settings), client.batch_execute(&client_check));
        set.map_err(|error| ConnectError::Setup(error.into()))
    }

    /// What a session is set to would stay behind at a server connection that others get next. So the role, or the
    /// pooler, must have set it, and we look.
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
                 idle_in_transaction_session_timeout: a statement may continue after its caller was answered with an \
                 error, and a stopped server may hold its locks"
            );
        }
        Ok(())
    }
}

/// What ends a session whose client stopped or was cut off, as statements: a transaction that waits for its client for
/// longer than `limit`, and a peer that does not answer for about a minute. Its locks are then released.
pub(super) fn session_guards(limit: Duration) -> String {
    format!(
        "SET idle_in_transaction_session_timeout = {}; SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
         SET tcp_keepalives_count = 3; SET tcp_user_timeout = 60000",
        milliseconds(limit)
    )
}

fn milliseconds(time: Duration) -> u128 {
    time.as_millis().clamp(1, 2_147_483_647)
}

/// A way to speak to PostgreSQL over a connection.
pub(super) trait Link: Sized + Send {
    /// Over a connection that is set up; `pooled` says that a name for a statement may be unknown the next time.
    fn over(client: Client, pooled: bool) -> impl Future<Output = Result<Self, ConnectError>> + Send;
}

impl Link for PgLink {
    async fn over(client: Client, pooled: bool) -> Result<Self, ConnectError> {
        if pooled {
            Ok(Self::Unnamed(Unnamed::new(client)))
        } else {
            Ok(Self::Prepared(Box::new(prepared(client).await?)))
        }
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

/// Opens one connection straight to the server, each of whose hosts has `limit`, for diesel's own use: with nothing set.
pub(super) async fn connect(config: &Config, limit: Duration) -> Result<AsyncPgConnection, ConnectError> {
    let (client, _) = dial(config, limit, &FirstHost::default()).await?;
    timeout(limit, prepared(client)).await.map_err(|_| TooSlow { what: "preparing a PostgreSQL connection", limit })?
}

async fn prepared(client: Client) -> Result<AsyncPgConnection, ConnectError> {
    AsyncPgConnection::try_from(client).await.map_err(|error| ConnectError::Setup(error.into()))
}

/// A connection on loan for one operation: one statement, or the statements of one transaction.
///
/// It goes back to the pool only by [`Lease::settle`] or [`Lease::settle_transaction`]. Dropped any other way (the caller
/// went away, the time was up), its statement may still be running or its transaction be open: its socket is closed at
/// once, the server rolls back, and the pool replaces it.
pub(super) struct Lease {
    connection: Object<PgManager>,
    limit: Duration,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.close_unless_settled();
    }
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

    /// A connection if the pool has one to give now; it may have to be opened, for which there is `limit`.
    pub(super) async fn if_free(pool: &Pool<PgManager>, limit: Duration) -> Result<Option<Self>, Failure> {
        let no_wait = Timeouts { wait: Some(Duration::ZERO), ..Timeouts::default() };
        let what = "opening a PostgreSQL connection";
        let taken = timeout(limit, pool.timeout_get(&no_wait)).await;
        let mut connection = match taken.map_err(|_| Failure::unavailable(TooSlow { what, limit }))? {
            Ok(connection) => connection,
            Err(PoolError::Timeout(TimeoutType::Wait)) => return Ok(None),
            Err(error) => return Err(Failure::unavailable(error)),
        };
        connection.settled = false;
        let limit = connection_limit(&connection);
        Ok(Some(Self { connection, limit }))
    }

    pub(super) fn connection(&mut self) -> &mut PgLink {
        &mut self.connection.link
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
