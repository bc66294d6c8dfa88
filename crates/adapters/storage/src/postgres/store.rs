//! PostgreSQL store: connection pool, batch queues, and the two ways to run statements on a pooled connection.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::Pool;
use diesel::QueryResult;
use diesel::result::Error;
use diesel_async::{AnsiTransactionManager, TransactionManager as _};
use pos_domain::shared::DeviceId;
use pos_port_storage::pairing::{DeviceChangeNotifier, DeviceSubscription};
use pos_port_storage::shared::{PoolMonitor, PoolState, StorageError};
use tokio::time::timeout;

use crate::engine_error::EngineError;
use crate::pool_share::PoolShares;
use crate::postgres::batching::{Lookups, Saves};
use crate::postgres::connection::PgConn;
use crate::postgres::hosts::{detect_dead_peers, direct};
use crate::postgres::pairing::notifier::ChangeNotifier;
use crate::postgres::pool::{Lease, PgManager, Rollback};
use crate::{OpenError, StorageOptions};

/// The batch queues of calls that share statements.
pub(crate) struct BatchQueues {
    pub(crate) lookups: Lookups,
    pub(crate) saves: Saves,
}

/// Storage in PostgreSQL, with a pool that opens connections on demand.
pub struct PgStore {
    pub(crate) pool: Pool<PgManager>,
    pub(crate) batch_queues: Option<BatchQueues>,
    pub(crate) changes: Arc<ChangeNotifier>,
    pub(crate) shares: PoolShares,
    /// One connection for [`StorageHealth`] only, so that an exhausted pool is not reported as an unreachable database.
    pub(crate) health: Pool<PgManager>,
    pub(crate) acquire_timeout: Duration,
    pub(crate) statement_timeout: Duration,
}

impl PgStore {
    pub(crate) fn open(config: &tokio_postgres::Config, options: &StorageOptions) -> Result<Self, OpenError> {
        let manager = PgManager::of(config, options);
        let opener = Arc::new(manager.clone());
        let listen_at = direct(&opener.config, options).map(|config| {
            let mut config = config.clone();
            detect_dead_peers(&mut config);
            config
        });
        let changes = Arc::new(ChangeNotifier::new(Arc::clone(&opener), listen_at, options.max_subscriptions));
        let batch_queues = options.batching.then(|| BatchQueues {
            lookups: Lookups::new(Arc::new(opener.for_keys())),
            saves: Saves::new(Arc::new(opener.for_saves()), Arc::clone(&changes)),
        });
        let pool = |manager: PgManager, size| {
            Pool::builder(manager).max_size(size).build().map_err(|error| OpenError::Pool(error.to_string()))
        };
        Ok(Self {
            health: pool(manager.clone(), 1)?,
            pool: pool(manager, options.max_connections)?,
            batch_queues,
            changes,
            shares: PoolShares::of(options.max_connections),
            acquire_timeout: options.acquire_timeout,
            statement_timeout: options.statement_timeout,
        })
    }

    pub(crate) async fn lease(&self) -> Result<Lease, EngineError> {
        Lease::acquire(&self.pool, self.acquire_timeout).await
    }

    /// Runs one query on a pooled connection, within the statement timeout.
    pub(crate) async fn run<T>(
        &self,
        query: impl AsyncFnOnce(&mut PgConn) -> QueryResult<T>,
    ) -> Result<T, EngineError> {
        let lease = self.lease().await?;
        self.run_on(lease, query).await
    }

    /// Like [`Self::run`], but counts as bulk work.
    pub(crate) async fn run_bulk<T>(
        &self,
        query: impl AsyncFnOnce(&mut PgConn) -> QueryResult<T>,
    ) -> Result<T, EngineError> {
        let _permit = self.shares.bulk.acquire().await?;
        self.run(query).await
    }

    /// Like [`Self::run`], on a connection that was leased before.
    pub(crate) async fn run_on<T>(
        &self,
        mut lease: Lease,
        query: impl AsyncFnOnce(&mut PgConn) -> QueryResult<T>,
    ) -> Result<T, EngineError> {
        let outcome = timeout(self.statement_timeout, query(lease.connection())).await;
        lease.finish(outcome)
    }

    /// Runs one transaction on a pooled connection, within the statement timeout. `Ok` commits, a [`Rollback`] rolls back. If
    /// the caller is cancelled, the connection is closed and the server rolls back.
    pub(crate) async fn transact<T, R: From<StorageError>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConn) -> Result<T, Rollback<R>>,
    ) -> Result<T, R> {
        let mut lease = self.lease().await.map_err(StorageError::from)?;
        let outcome = timeout(self.statement_timeout, transaction(lease.connection(), work)).await;
        lease.finish_transaction(outcome)
    }

    /// Like [`Self::transact`], but counts as bulk work.
    pub(crate) async fn transact_bulk<T, R: From<StorageError>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConn) -> Result<T, Rollback<R>>,
    ) -> Result<T, R> {
        let _permit = self.shares.bulk.acquire().await.map_err(StorageError::from)?;
        self.transact(work).await
    }
}

/// `AsyncConnection::transaction` for work of any type: its bounds cannot be named outside of diesel-async.
async fn transaction<T, R>(
    connection: &mut PgConn,
    work: impl AsyncFnOnce(&mut PgConn) -> Result<T, Rollback<R>>,
) -> Result<T, Rollback<R>> {
    AnsiTransactionManager::begin_transaction(connection).await?;
    match work(connection).await {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(connection).await?;
            Ok(value)
        }
        Err(error) => match AnsiTransactionManager::rollback_transaction(connection).await {
            Ok(()) | Err(Error::BrokenTransactionManager) => Err(error),
            Err(rollback) => Err(rollback.into()),
        },
    }
}

impl PoolMonitor for PgStore {
    fn state(&self) -> PoolState {
        let status = self.pool.status();
        PoolState { max: status.max_size, size: status.size, available: status.available, waiting: status.waiting }
    }

    fn take_dropped_updates(&self) -> u64 {
        self.shares.terminal_info.take_dropped()
    }
}

impl DeviceChangeNotifier for PgStore {
    fn subscribe(&self, id: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        self.changes.subscribe(id)
    }
}
