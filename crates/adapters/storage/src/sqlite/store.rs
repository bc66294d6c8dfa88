//! SQLite store: one write connection, a pool of read connections, and one connection per HTTP worker.

use std::path::{Path, PathBuf};

use deadpool::managed::{Pool, Status};
use diesel::SqliteConnection;
use pos_domain::shared::DeviceId;
use pos_port_storage::pairing::{DeviceChangeNotifier, DeviceSubscription};
use pos_port_storage::shared::{PoolMonitor, PoolState, StorageError, StorageHealth as _};

use crate::engine_error::EngineError;
use crate::pool_share::{BestEffortShare, PoolShare};
use crate::sqlite::access;
use crate::sqlite::connection::{Limits, Role, SqliteManager, run};
use crate::sqlite::group_commit::{BATCH, Writer};
use crate::sqlite::own_reader::WorkerReaders;
use crate::subscribers::Subscribers;
use crate::{OpenError, StorageOptions};

/// Storage in one SQLite file: one write connection, a pool of read connections, and one connection per HTTP worker for
/// device look-ups.
pub struct SqliteStore {
    pub(crate) writer: Writer,
    pub(crate) readers: Pool<SqliteManager>,
    pub(crate) worker_readers: WorkerReaders,
    pub(crate) path: PathBuf,
    /// One connection for [`StorageHealth`] only.
    pub(crate) health: Pool<SqliteManager>,
    /// The share of terminal info updates: at most half of the writes of a commit.
    pub(crate) terminal_info: BestEffortShare,
    /// The share of bulk reads: rows of imports, audit exports.
    pub(crate) bulk_reads: PoolShare,
    pub(crate) limits: Limits,
    pub(crate) subscribers: Subscribers,
}

impl SqliteStore {
    pub(crate) async fn open(path: &Path, options: &StorageOptions) -> Result<Self, OpenError> {
        access::check(path)?;
        let limits = Limits { acquire: options.acquire_timeout, statement: options.statement_timeout };
        let manager = |role| SqliteManager { path: path.to_owned(), role, busy_timeout: limits.busy() };
        let pool = |role, size| {
            Pool::builder(manager(role)).max_size(size).build().map_err(|error| OpenError::Pool(error.to_string()))
        };
        let subscribers = Subscribers::new(options.max_subscriptions);
        let store = Self {
            path: path.to_owned(),
            writer: Writer::new(pool(Role::Writer, 1)?, limits).map_err(|error| OpenError::Pool(error.to_string()))?,
            readers: pool(Role::Reader, options.max_connections)?,
            worker_readers: WorkerReaders::new(manager(Role::Reader)),
            health: pool(Role::Writer, 1)?,
            terminal_info: BestEffortShare::of(PoolShare::of(BATCH / 2)),
            bulk_reads: PoolShare::of((options.max_connections / 4).max(1)),
            limits,
            subscribers,
        };
        let opened = store.write(|_| Ok(())).await.map_err(StorageError::from);
        let source = match opened {
            Ok(()) => store.ping().await.err(),
            Err(failure) => Some(failure),
        };
        if let Some(source) = source {
            return Err(OpenError::Sqlite { path: path.to_owned(), source });
        }
        Ok(store)
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        run(&self.readers, self.limits, operation).await
    }

    /// Like [`Self::read`], but counts as bulk work.
    pub(crate) async fn read_bulk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let _permit = self.bulk_reads.acquire().await?;
        self.read(operation).await
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.writer.write(operation).await
    }
}

impl PoolMonitor for SqliteStore {
    fn state(&self) -> PoolState {
        let (writer, readers): (Status, Status) = (self.writer.status(), self.readers.status());
        PoolState {
            max: writer.max_size + readers.max_size,
            size: writer.size + readers.size,
            available: writer.available + readers.available,
            waiting: writer.waiting + readers.waiting,
        }
    }

    fn take_dropped_updates(&self) -> u64 {
        self.terminal_info.take_dropped()
    }
}

/// Notifications stay within this process. Other processes with the same file see a change at their next read.
impl DeviceChangeNotifier for SqliteStore {
    fn subscribe(&self, id: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        self.subscribers.subscribe(id)
    }
}
