//! SQLite implementation of the storage ports, for a single server with a local database file.

mod access;
pub(crate) mod audit;
mod backup;
mod connection;
pub(crate) mod device;
mod errors;
pub(crate) mod fleet;
mod group_commit;
mod migrate;
mod own_reader;
mod retention;
mod schema;
pub(crate) mod shared;
pub(crate) mod tenancy;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::{Pool, Status};
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::pairing::RefusedClaim;
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptCounts, AttemptLimit, AuditDecision, DeviceId, FailureWindow};
use pos_port_storage::pairing::{ClaimFailureRepository, DeviceChangeNotifier, DeviceSubscription};
use pos_port_storage::shared::{StorageError, StorageHealth};
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::pool_share::{BestEffortShare, PoolShare};
use crate::rows::pairing::{FailureRow, MERCHANT, USER, attempt_counts, merchant_subject};
use crate::rows::reader::NativeInstant as _;
pub(crate) use crate::sqlite::backup::vacuum_into;
use crate::sqlite::connection::{Limits, Role, SqliteManager, run};
use crate::sqlite::group_commit::{BATCH, Writer};
pub(crate) use crate::sqlite::migrate::{migrate, pending};
use crate::sqlite::own_reader::WorkerReaders;
use crate::sqlite::schema::claim_failures;
use crate::sqlite::shared::audit_insert::insert_audit_event;
use crate::subscribers::Subscribers;
use crate::{OpenError, StorageOptions};
use pos_port_storage::shared::{PoolMonitor, PoolState};

/// Timeout of the longest writes.
const LONG_WRITE_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Storage in one SQLite file: one write connection, a pool of read connections, and one connection per HTTP worker for
/// device look-ups.
pub struct SqliteStore {
    writer: Writer,
    readers: Pool<SqliteManager>,
    worker_readers: WorkerReaders,
    path: PathBuf,
    /// One connection for [`StorageHealth`] only.
    health: Pool<SqliteManager>,
    /// The share of terminal info updates: at most half of the writes of a commit.
    terminal_info: BestEffortShare,
    /// The share of bulk reads: rows of imports, audit exports.
    bulk_reads: PoolShare,
    limits: Limits,
    subscribers: Subscribers,
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

    async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        run(&self.readers, self.limits, operation).await
    }

    /// Like [`Self::read`], but counts as bulk work.
    async fn read_bulk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let _permit = self.bulk_reads.acquire().await?;
        self.read(operation).await
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.writer.write(operation).await
    }
}

fn micros(at: OffsetDateTime) -> i64 {
    i64::of(at)
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

fn load_attempts(connection: &mut SqliteConnection, claimant: &Claimant) -> Result<AttemptCounts, EngineError> {
    use claim_failures::dsl;
    let merchant = dsl::scope.eq(MERCHANT).and(dsl::subject.eq(merchant_subject(claimant)));
    let user = dsl::scope.eq(USER).and(dsl::subject.eq(claimant.user_id.as_str()));
    let rows = dsl::claim_failures.filter(merchant.or(user)).load::<FailureRow<i64>>(connection)?;
    Ok(attempt_counts(rows)?)
}

fn store_window(
    connection: &mut SqliteConnection,
    scope: &'static str,
    subject: &str,
    window: FailureWindow,
) -> Result<(), EngineError> {
    use claim_failures::dsl;
    diesel::replace_into(dsl::claim_failures)
        .values((
            dsl::scope.eq(scope),
            dsl::subject.eq(subject),
            dsl::window_started_at.eq(micros(window.started_at)),
            dsl::failures.eq(i64::from(window.failures)),
        ))
        .execute(connection)?;
    Ok(())
}

#[async_trait]
impl ClaimFailureRepository for SqliteStore {
    async fn attempt_counts(&self, claimant: &Claimant) -> Result<AttemptCounts, StorageError> {
        let claimant = claimant.clone();
        Ok(self.read(move |connection| load_attempts(connection, &claimant)).await?)
    }

    async fn record(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<AttemptCounts, StorageError> {
        let (refused, limit) = (refused.clone(), *limit);
        // The transaction holds the write lock from its start, so no other write occurs between the read and the write.
        let counted = self.write(move |connection| {
            let (by, now) = (&refused.by, refused.at);
            let before = load_attempts(connection, by)?;
            let (merchant, user) = (limit.count(before.merchant, now), limit.count(before.user, now));
            store_window(connection, MERCHANT, &merchant_subject(by), merchant)?;
            store_window(connection, USER, by.user_id.as_str(), user)?;
            let counted = AttemptCounts { merchant: Some(merchant), user: Some(user) };
            match limit.audit_decision(&counted) {
                AuditDecision::Record => insert_audit_event(connection, &refused.event())?,
                AuditDecision::RecordAsRateLimited => insert_audit_event(connection, &refused.as_too_many().event())?,
                AuditDecision::None => {}
            }
            Ok(counted)
        });
        Ok(counted.await?)
    }

    async fn record_blocked(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<bool, StorageError> {
        let (refused, limit) = (refused.clone(), *limit);
        let recorded = self.write(move |connection| {
            let attempt_counts = load_attempts(connection, &refused.by)?;
            let merchant = (MERCHANT, merchant_subject(&refused.by), attempt_counts.merchant);
            let user = (USER, refused.by.user_id.as_str().to_owned(), attempt_counts.user);
            let mut first = false;
            for (scope, subject, window) in [merchant, user] {
                if let Some(window) = window.filter(|window| limit.is_just_full(window, refused.at)) {
                    let counted = FailureWindow { failures: window.failures.saturating_add(1), ..window };
                    store_window(connection, scope, &subject, counted)?;
                    first = true;
                }
            }
            if first {
                insert_audit_event(connection, &refused.as_too_many().event())?;
            }
            Ok(first)
        });
        Ok(recorded.await?)
    }
}

/// Notifications stay within this process. Other processes with the same file see a change at their next read.
impl DeviceChangeNotifier for SqliteStore {
    fn subscribe(&self, id: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        self.subscribers.subscribe(id)
    }
}

#[async_trait]
impl StorageHealth for SqliteStore {
    async fn ping(&self) -> Result<(), StorageError> {
        let path = self.path.clone();
        let checked = run(&self.health, self.limits, move |connection| {
            let written = access::check_writable(connection);
            // SQLite does not report which file is not writable.
            if written.is_err() { access::check(&path).map_err(EngineError::unavailable).and(written) } else { written }
        });
        match checked.await.map_err(StorageError::from) {
            Ok(()) => Ok(()),
            Err(StorageError::Unavailable(cause) | StorageError::Fault(cause)) => Err(StorageError::Unavailable(cause)),
        }
    }
}
