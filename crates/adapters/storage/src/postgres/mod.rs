//! PostgreSQL implementation of the storage ports.
//!
//! A method is one prepared statement in one round trip, so it leaves no transaction open. Only methods that create
//! entities, which no terminal waits for, run several statements in a transaction (`transact!`).

mod access;
pub(crate) mod audit;
mod batching;
mod connect_error;
mod connection;
pub(crate) mod device;
mod errors;
pub(crate) mod fleet;
mod hosts;
mod migrate;
pub(crate) mod pairing;
mod pool;
mod retention;
mod schema;
pub(crate) mod shared;
mod statements;
pub(crate) mod tenancy;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::Pool;
use diesel::prelude::*;
use diesel_async::methods::LoadQuery;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use pos_domain::device::{Device, PairingCode, PastCode, TerminalInfo, Transition};
use pos_domain::pairing::RefusedClaim;
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptCounts, AttemptLimit, DeviceId};
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::pairing::{ClaimFailureRepository, DeviceChangeNotifier, DeviceSubscription};
use pos_port_storage::shared::{IdempotencyRecord, SaveError, SaveIdempotentError, StorageError, StorageHealth};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use crate::engine_error::EngineError;
use crate::pool_share::PoolShares;
use crate::postgres::access::{ACCESS, Access};
use crate::postgres::batching::{Lookups, Saves};
use crate::postgres::connection::PgConn;
use crate::postgres::device::save::SaveTransition;
use crate::postgres::hosts::detect_dead_peers;
pub(crate) use crate::postgres::migrate::{migrate, pending};
use crate::postgres::pairing::notifier::ChangeNotifier;
use crate::postgres::pairing::refusals::{CountFailure, RecordBlocked};
use crate::postgres::pool::{Lease, PgManager, Rollback};
use crate::postgres::schema::{claim_failures, devices, past_pairing_codes};
use crate::postgres::shared::idempotency::claim_key;
use crate::postgres::statements::FindByPairingCode;
use crate::rows::device::PastCodeRow;
use crate::rows::pairing::{FailureRow, MERCHANT, USER, attempt_counts, merchant_subject};
use crate::url::{DatabaseUrl, Engine};
use crate::{OpenError, Pooler, StorageOptions};
use pos_port_storage::shared::{PoolMonitor, PoolState};

type DeviceRow = crate::rows::device::DeviceRow<Uuid, OffsetDateTime>;

/// The unique index on the pairing codes of inactive devices.
const WAITING_CODE: &str = "devices_unclaimed_code";

/// The batch queues of calls that share statements.
struct BatchQueues {
    lookups: Lookups,
    saves: Saves,
}

/// The foreign key from a device to a location of its merchant.
const LOCATION_OF_DEVICE: &str = "devices_own_location";

/// The foreign key from a device to its merchant.
const MERCHANT_OF_DEVICE: &str = "devices_merchant";

/// Storage in PostgreSQL, with a pool that opens connections on demand.
pub struct PgStore {
    pool: Pool<PgManager>,
    batch_queues: Option<BatchQueues>,
    changes: Arc<ChangeNotifier>,
    shares: PoolShares,
    /// One connection for [`StorageHealth`] only, so that an exhausted pool is not reported as an unreachable database.
    health: Pool<PgManager>,
    acquire_timeout: Duration,
    statement_timeout: Duration,
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

    /// Saves a transition on a connection of the pool. Once started, the save completes and notifies subscribers, even if
    /// its caller is cancelled.
    async fn save_unbatched<S>(&self, statement: S, transition: &Transition) -> Result<(), SaveError>
    where
        S: LoadQuery<'static, PgConn, i64> + Send + 'static,
    {
        let mut lease = self.lease().await.map_err(StorageError::from)?;
        let (changes, limit, transition) = (Arc::clone(&self.changes), self.statement_timeout, transition.clone());
        let save = self.changes.detach(async move {
            // All rows are loaded: an error of the commit arrives after the last row.
            let outcome = timeout(limit, statement.load::<i64>(lease.connection())).await;
            let outcome = saved(lease.finish(outcome).map(|changed| changed.into_iter().sum()));
            changes.after_save(&transition, &outcome);
            outcome
        });
        save.await.unwrap_or_else(|error| Err(StorageError::Unavailable(error.into()).into()))
    }

    async fn lease(&self) -> Result<Lease, EngineError> {
        Lease::acquire(&self.pool, self.acquire_timeout).await
    }
}

/// The configuration of a direct connection: `direct_url`, else `url`. `None` if only a pooler is configured.
fn direct<'o>(config: &'o tokio_postgres::Config, options: &'o StorageOptions) -> Option<&'o tokio_postgres::Config> {
    match (options.direct_url.as_ref().map(DatabaseUrl::engine), options.pooler) {
        (Some(Engine::Postgres(direct)), _) => Some(direct),
        (_, Pooler::None) => Some(config),
        (_, Pooler::Transaction) => None,
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

/// Runs one query on a pooled connection, within the statement timeout. With `bulk`, the connection counts as bulk work; with
/// `lease = …`, the query uses that lease.
macro_rules! run {
    ($store:ident, |$connection:ident| $query:expr) => {
        run!($store, lease = $store.lease().await?, |$connection| $query)
    };
    ($store:ident, bulk, |$connection:ident| $query:expr) => {{
        let _permit = $store.shares.bulk.acquire().await?;
        run!($store, |$connection| $query)
    }};
    ($store:ident, lease = $lease:expr, |$connection:ident| $query:expr) => {{
        let mut lease = $lease;
        let $connection = lease.connection();
        let outcome = timeout($store.statement_timeout, $query).await;
        lease.finish(outcome)
    }};
}

/// Runs an `async |connection| …` as one transaction on a pooled connection, within the statement timeout. `Ok` commits, a
/// [`Rollback`] rolls back. If the caller is cancelled, the connection is closed and the server rolls back. With `bulk`, the
/// connection counts as bulk work.
macro_rules! transact {
    ($store:ident, bulk, $work:expr) => {{
        let _permit = $store.shares.bulk.acquire().await.map_err(StorageError::from)?;
        transact!($store, $work)
    }};
    ($store:ident, $work:expr) => {{
        let mut lease = $store.lease().await.map_err(StorageError::from)?;
        let outcome = timeout($store.statement_timeout, lease.connection().transaction($work)).await;
        lease.finish_transaction(outcome)
    }};
}

pub(crate) use run;
pub(crate) use transact;

/// Converts the number of changed devices to the result of a save.
fn saved(changed: Result<i64, EngineError>) -> Result<(), SaveError> {
    match changed {
        Ok(0) => Err(SaveError::Conflict),
        Ok(_) => Ok(()),
        Err(EngineError::UniqueViolation { constraint, .. }) if constraint == WAITING_CODE => Err(SaveError::CodeTaken),
        Err(EngineError::ForeignKeyViolation { constraint, .. }) if constraint == MERCHANT_OF_DEVICE => {
            Err(SaveError::UnknownMerchant)
        }
        Err(EngineError::ForeignKeyViolation { constraint, .. }) if constraint == LOCATION_OF_DEVICE => {
            Err(SaveError::UnknownLocation)
        }
        Err(failure) => Err(StorageError::from(failure).into()),
    }
}

impl PgStore {
    async fn find_unbatched(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let query = devices::table.find(id.as_str());
        let row: Option<DeviceRow> = run!(self, |connection| async { query.first(connection).await.optional() })?;
        Ok(row.map(DeviceRow::device).transpose()?)
    }
}

#[async_trait]
impl DeviceRepository for PgStore {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        match &self.batch_queues {
            Some(queues) => queues.lookups.find(id).await,
            None => Box::pin(self.find_unbatched(id)).await,
        }
    }

    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        let query = FindByPairingCode::from(code);
        let row: Option<DeviceRow> = run!(self, |connection| async { query.get_result(connection).await.optional() })?;
        Ok(row.map(DeviceRow::device).transpose()?)
    }

    async fn find_past_code(&self, code: PairingCode) -> Result<Option<PastCode>, StorageError> {
        use past_pairing_codes::dsl;
        let query = dsl::past_pairing_codes
            .filter(dsl::pairing_code.eq(code.as_str()))
            .order((dsl::ended_at.desc(), dsl::sequence.desc()))
            .limit(1);
        let row: Option<PastCodeRow<OffsetDateTime>> =
            run!(self, |connection| async { query.get_result(connection).await.optional() })?;
        Ok(row.map(PastCodeRow::past_code).transpose()?)
    }

    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        match &self.batch_queues {
            Some(queues) => queues.saves.save(transition).await,
            None => self.save_unbatched(SaveTransition::from(transition), transition).await,
        }
    }

    /// Not batched: the row of the idempotency key belongs to the same transaction.
    async fn save_idempotent(
        &self,
        transition: &Transition,
        record: &IdempotencyRecord,
    ) -> Result<(), SaveIdempotentError> {
        let mut lease = self.lease().await.map_err(StorageError::from)?;
        let (changes, limit) = (Arc::clone(&self.changes), self.statement_timeout);
        let (transition, record) = (transition.clone(), record.clone());
        let save = self.changes.detach(async move {
            let statement = SaveTransition::from(&transition);
            let work = async |connection: &mut PgConn| {
                if let Some(stored) = claim_key(connection, Some(&record)).await? {
                    return Err(Rollback::Refused(SaveIdempotentError::Answered(stored)));
                }
                let changed: Vec<i64> = statement.load(connection).await?;
                saved(Ok(changed.into_iter().sum())).map_err(|error| Rollback::Refused(error.into()))
            };
            let outcome = timeout(limit, lease.connection().transaction(work)).await;
            let outcome = match lease.finish_transaction(outcome) {
                Ok(()) => Ok(()),
                Err(SaveIdempotentError::Answered(stored)) => return Err(SaveIdempotentError::Answered(stored)),
                Err(SaveIdempotentError::Refused(error)) => Err(error),
            };
            changes.after_save(&transition, &outcome);
            Ok(outcome?)
        });
        save.await.unwrap_or_else(|error| Err(StorageError::Unavailable(error.into()).into()))
    }

    async fn update_terminal_info(&self, id: &DeviceId, terminal_info: &TerminalInfo) -> Result<(), StorageError> {
        use devices::dsl;
        let agent = &terminal_info.agent;
        let statement = diesel::update(dsl::devices.find(id.as_str())).set((
            dsl::app_version.eq(Some(agent.app_version.as_str())),
            dsl::os.eq(agent.os.as_deref()),
            dsl::model.eq(agent.model.as_deref()),
            dsl::seen_at.eq(Some(terminal_info.at)),
        ));
        // Best effort: an update does not wait for a connection and stays within its share of the pool, so terminals that
        // start at the same time do not starve portals.
        let updates = &self.shares.terminal_info;
        let Some(_permit) = updates.try_acquire() else { return Ok(()) };
        let Some(lease) = Lease::try_acquire(&self.pool, self.acquire_timeout).await? else {
            updates.count_dropped();
            return Ok(());
        };
        let updated: Result<usize, EngineError> =
            async { run!(self, lease = lease, |connection| statement.execute(connection)) }.await;
        updated?;
        Ok(())
    }
}

#[async_trait]
impl ClaimFailureRepository for PgStore {
    async fn attempt_counts(&self, claimant: &Claimant) -> Result<AttemptCounts, StorageError> {
        use claim_failures::dsl;
        let merchant = dsl::scope.eq(MERCHANT).and(dsl::subject.eq(merchant_subject(claimant)));
        let user = dsl::scope.eq(USER).and(dsl::subject.eq(claimant.user_id.as_str()));
        let query = dsl::claim_failures.filter(merchant.or(user));
        let rows: Vec<FailureRow<OffsetDateTime>> = run!(self, |connection| query.load(connection))?;
        Ok(attempt_counts(rows)?)
    }

    async fn record(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<AttemptCounts, StorageError> {
        let statement = CountFailure::of(refused, limit);
        let rows: Vec<FailureRow<OffsetDateTime>> = run!(self, |connection| statement.load(connection))?;
        Ok(attempt_counts(rows)?)
    }

    async fn record_blocked(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<bool, StorageError> {
        let statement = RecordBlocked::of(refused, limit);
        let recorded: i64 = run!(self, |connection| statement.get_result(connection))?;
        Ok(recorded > 0)
    }
}

impl DeviceChangeNotifier for PgStore {
    fn subscribe(&self, id: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        self.changes.subscribe(id)
    }
}

#[async_trait]
impl StorageHealth for PgStore {
    async fn ping(&self) -> Result<(), StorageError> {
        let answer: Result<Access, EngineError> = async {
            let lease = Lease::acquire(&self.health, self.acquire_timeout).await?;
            run!(self, lease = lease, |connection| diesel::sql_query(ACCESS).get_result(connection))
        }
        .await;
        match answer.and_then(|access| access.check().map_err(EngineError::unavailable)).map_err(StorageError::from) {
            Ok(()) => Ok(()),
            Err(StorageError::Unavailable(cause) | StorageError::Fault(cause)) => Err(StorageError::Unavailable(cause)),
        }
    }
}
