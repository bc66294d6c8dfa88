//! SQLite, for one server with its database beside it.

mod access;
mod audit;
mod backup;
mod connection;
mod devices;
mod directory;
mod fleet;
mod imports;
mod locations;
mod migrate;
mod once;
mod own_reader;
mod reclaiming;
mod schema;
mod sessions;
mod staging;
mod tenancy;
mod trail;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::{Pool, Status};
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{ClaimLimit, ClaimStanding, Claimant, DeviceId, FailureWindow, RefusalRecord, RefusedClaim};
use pos_port_storage::{ClaimFailureRepository, DeviceChanges, StorageError, StorageHealth, Watch};
use time::OffsetDateTime;

use self::audit::insert_audit_event;
pub(super) use self::backup::vacuum_into;
use self::connection::{Limits, Role, SqliteManager, run};
pub(super) use self::migrate::{migrate, pending};
use self::own_reader::OwnReaders;
use self::schema::claim_failures;
use self::writer::{BATCH, Writer};
use super::failure::Failure;
use super::pool_share::{BestEffortShare, PoolShare};
use super::rows::{self, FailureRow, MERCHANT, USER, merchant_subject};
use super::watchers::Watchers;
use super::{OpenError, PoolMonitor, PoolState, StorageOptions};

/// How long the longest write may take at most.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Keeps everything in one SQLite file: one connection that writes, a few that read, and one for each HTTP worker that
/// looks up devices.
pub struct SqliteStore {
    writer: Writer,
    readers: Pool<SqliteManager>,
    own_readers: OwnReaders,
    path: PathBuf,
    /// One connection, for nothing but [`StorageHealth`].
    health: Pool<SqliteManager>,
    /// Updates of terminal info, of which a commit holds no more than half its writes.
    terminal_info: BestEffortShare,
    /// Bulk work among those that read: the rows of imports, whole trails.
    bulk_reads: PoolShare,
    limits: Limits,
    watchers: Watchers,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path, options: &StorageOptions) -> Result<Self, OpenError> {
        access::check(path)?;
        let limits = Limits { acquire: options.acquire_timeout, statement: options.statement_timeout };
        let manager = |role| SqliteManager { path: path.to_owned(), role, busy_timeout: limits.busy() };
        let pool = |role, size| {
            Pool::builder(manager(role)).max_size(size).build().map_err(|error| OpenError::Pool(error.to_string()))
        };
        let watchers = Watchers::new(options.max_watches);
        let store = Self {
            path: path.to_owned(),
            writer: Writer::new(pool(Role::Writer, 1)?, limits).map_err(|error| OpenError::Pool(error.to_string()))?,
            readers: pool(Role::Reader, options.max_connections)?,
            own_readers: OwnReaders::new(manager(Role::Reader)),
            health: pool(Role::Writer, 1)?,
            terminal_info: BestEffortShare::of(PoolShare::of(BATCH / 2)),
            bulk_reads: PoolShare::of((options.max_connections / 4).max(1)),
            limits,
            watchers,
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
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        run(&self.readers, self.limits, operation).await
    }

    /// As [`Self::read`], on the share of bulk work.
    async fn read_bulk<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let _permit = self.bulk_reads.acquire().await?;
        self.read(operation).await
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.writer.write(operation).await
    }
}

/// The folder that must exist for a file to be made; none for a bare name, which lands in the current one.
fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
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

fn load_standing(connection: &mut SqliteConnection, claimant: &Claimant) -> Result<ClaimStanding, Failure> {
    use claim_failures::dsl;
    let merchant = dsl::scope.eq(MERCHANT).and(dsl::subject.eq(merchant_subject(claimant)));
    let user = dsl::scope.eq(USER).and(dsl::subject.eq(claimant.user_id.as_str()));
    let rows = dsl::claim_failures.filter(merchant.or(user)).load::<FailureRow<i64>>(connection)?;
    Ok(rows::standing(rows)?)
}

fn store_window(
    connection: &mut SqliteConnection,
    scope: &'static str,
    subject: &str,
    window: FailureWindow,
) -> Result<(), Failure> {
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
    async fn standing(&self, claimant: &Claimant) -> Result<ClaimStanding, StorageError> {
        let claimant = claimant.clone();
        Ok(self.read(move |connection| load_standing(connection, &claimant)).await?)
    }

    async fn record(&self, refused: &RefusedClaim, limit: &ClaimLimit) -> Result<ClaimStanding, StorageError> {
        let (refused, limit) = (refused.clone(), *limit);
        // Nobody else writes between the look and the write: the transaction holds the write lock from its start.
        let counted = self.write(move |connection| {
            let (by, now) = (&refused.by, refused.at);
            let before = load_standing(connection, by)?;
            let (merchant, user) = (limit.count(before.merchant, now), limit.count(before.user, now));
            store_window(connection, MERCHANT, &merchant_subject(by), merchant)?;
            store_window(connection, USER, by.user_id.as_str(), user)?;
            let counted = ClaimStanding { merchant: Some(merchant), user: Some(user) };
            match limit.record_of(&counted) {
                RefusalRecord::AsItIs => insert_audit_event(connection, &refused.event())?,
                RefusalRecord::AsTooMany => insert_audit_event(connection, &refused.as_too_many().event())?,
                RefusalRecord::None => {}
            }
            Ok(counted)
        });
        Ok(counted.await?)
    }

    async fn record_blocked(&self, refused: &RefusedClaim, limit: &ClaimLimit) -> Result<bool, StorageError> {
        let (refused, limit) = (refused.clone(), *limit);
        let told = self.write(move |connection| {
            let standing = load_standing(connection, &refused.by)?;
            let merchant = (MERCHANT, merchant_subject(&refused.by), standing.merchant);
            let user = (USER, refused.by.user_id.as_str().to_owned(), standing.user);
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
        Ok(told.await?)
    }
}

/// Word goes no further than this process: another one at the same file finds out by looking.
impl DeviceChanges for SqliteStore {
    fn watch(&self, id: &DeviceId) -> Option<Box<dyn Watch>> {
        self.watchers.watch(id)
    }
}

#[async_trait]
impl StorageHealth for SqliteStore {
    async fn ping(&self) -> Result<(), StorageError> {
        let path = self.path.clone();
        let asked = run(&self.health, self.limits, move |connection| {
            let written = access::try_to_write(connection);
            // Which file it is that cannot be written, the database does not tell.
            if written.is_err() { access::check(&path).map_err(Failure::unavailable).and(written) } else { written }
        });
        match asked.await.map_err(StorageError::from) {
            Ok(()) => Ok(()),
            Err(StorageError::Unavailable(cause) | StorageError::Fault(cause)) => Err(StorageError::Unavailable(cause)),
        }
    }
}
