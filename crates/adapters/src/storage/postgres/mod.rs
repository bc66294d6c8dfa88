//! PostgreSQL. A method is one prepared statement in one round trip, so it leaves no transaction open. Only those that
//! create, and that nobody waits for at a terminal, are several statements in a transaction (`transact!`).

mod access;
mod changes;
mod connection;
mod create;
mod errors;
mod gather;
mod hosts;
mod import_lifetime;
mod import_statements;
mod link;
mod migrate;
mod once;
mod refusals;
mod save;
mod schema;
mod statements;
mod tenancy;
mod tenancy_statements;
mod tls;
mod told;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::Pool;
use diesel::prelude::*;
use diesel_async::methods::LoadQuery;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use pos_domain::{
    ClaimLimit, ClaimStanding, Claimant, Device, DeviceId, EndedCode, PairingCode, RefusedClaim, Sighting, Transition,
};
use pos_port_storage::{
    ClaimFailureRepository, DeviceChanges, DeviceRepository, Once, SaveError, SaveOnceError, StorageError,
    StorageHealth, Watch,
};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use self::access::{ACCESS, Access};
use self::changes::Changes;
use self::connection::{Lease, PgManager, Stop};
use self::gather::{Lookups, Saves};
use self::link::PgLink;
pub(super) use self::migrate::{migrate, pending};
use self::once::claim_key;
use self::refusals::{CountFailure, TellBlocked};
use self::save::SaveTransition;
use self::schema::{claim_failures, devices, ended_pairing_codes};
use self::statements::FindByPairingCode;
use super::failure::Failure;
use super::pool_share::PoolShares;
use super::rows::{self, EndedCodeRow, FailureRow, MERCHANT, USER, merchant_subject};
use super::url::{DatabaseUrl, Engine};
use super::{OpenError, PoolMonitor, PoolState, Pooler, StorageOptions};

type DeviceRow = rows::DeviceRow<Uuid, OffsetDateTime>;

/// The unique index over the codes that wait on a screen.
const WAITING_CODE: &str = "devices_waiting_code";

/// The calls that go to the database together.
struct Gathered {
    lookups: Lookups,
    saves: Saves,
}

/// The foreign key that keeps a device at a location of its merchant.
const OWN_LOCATION: &str = "devices_own_location";

/// The foreign key that keeps a device at a merchant that is there.
const MERCHANT_OF_DEVICE: &str = "devices_merchant";

/// Keeps everything in PostgreSQL, behind a pool that opens connections on demand.
pub struct PgStore {
    pool: Pool<PgManager>,
    gathered: Option<Gathered>,
    changes: Arc<Changes>,
    shares: PoolShares,
    /// One connection, for nothing but [`StorageHealth`]: a full pool is not a database that does not answer.
    health: Pool<PgManager>,
    acquire_timeout: Duration,
    statement_timeout: Duration,
}

impl PgStore {
    pub(super) fn open(config: &tokio_postgres::Config, options: &StorageOptions) -> Result<Self, OpenError> {
        let manager = PgManager::of(config, options);
        let opener = Arc::new(manager.clone());
        let listen_at = direct(&opener.config, options).map(|config| {
            let mut config = config.clone();
            notice_dead_peers(&mut config);
            config
        });
        let changes = Arc::new(Changes::new(Arc::clone(&opener), listen_at, options.max_watches));
        let gathered = options.gather.then(|| Gathered {
            lookups: Lookups::new(Arc::new(opener.for_keys())),
            saves: Saves::new(Arc::new(opener.for_saves()), Arc::clone(&changes)),
        });
        let pool = |manager: PgManager, size| {
            Pool::builder(manager).max_size(size).build().map_err(|error| OpenError::Pool(error.to_string()))
        };
        Ok(Self {
            health: pool(manager.clone(), 1)?,
            pool: pool(manager, options.max_connections)?,
            gathered,
            changes,
            shares: PoolShares::of(options.max_connections),
            acquire_timeout: options.acquire_timeout,
            statement_timeout: options.statement_timeout,
        })
    }

    /// Saves a transition on a connection of the pool. Once it is sent it runs to its end and notifies, also when its
    /// caller goes away.
    async fn save_alone<S>(&self, statement: S, transition: &Transition) -> Result<(), SaveError>
    where
        S: LoadQuery<'static, PgLink, i64> + Send + 'static,
    {
        let mut lease = self.lease().await.map_err(StorageError::from)?;
        let (changes, limit, transition) = (Arc::clone(&self.changes), self.statement_timeout, transition.clone());
        let save = self.changes.detach(async move {
            // All rows, so that what the commit says is heard.
            let outcome = timeout(limit, statement.load::<i64>(lease.connection())).await;
            let outcome = saved(lease.settle(outcome).map(|changed| changed.into_iter().sum()));
            changes.after_save(&transition, &outcome);
            outcome
        });
        save.await.unwrap_or_else(|stopped| Err(StorageError::Unavailable(stopped.into()).into()))
    }

    async fn lease(&self) -> Result<Lease, Failure> {
        Lease::of(&self.pool, self.acquire_timeout).await
    }
}

/// Where the server itself is reached: by the URL for that, or by the one and only URL; none if that leads to a pooler.
fn direct<'o>(config: &'o tokio_postgres::Config, options: &'o StorageOptions) -> Option<&'o tokio_postgres::Config> {
    match (options.direct_url.as_ref().map(DatabaseUrl::engine), options.pooler) {
        (Some(Engine::Postgres(direct)), _) => Some(direct),
        (_, Pooler::None) => Some(config),
        (_, Pooler::Transaction) => None,
    }
}

/// A connection whose other end went away without a word, as behind a firewall or after a failover, is given up within
/// a minute, unless the URL says otherwise. Whoever only listens on it would wait for hours.
fn notice_dead_peers(config: &mut tokio_postgres::Config) {
    let unset = tokio_postgres::Config::new();
    if config.get_keepalives_idle() == unset.get_keepalives_idle() {
        config.keepalives_idle(Duration::from_secs(30));
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(Duration::from_secs(10));
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(3);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(60));
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

/// Runs one query on a connection of its own, within the time limit; with `bulk`, on one of the share of bulk work; with
/// `lease = …`, on that lease.
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
        lease.settle(outcome)
    }};
}

/// Runs an `async |connection| …` as one transaction on a connection of its own, within the time limit. What it answers
/// is kept; if it answers a [`Stop`] nothing is. When the caller goes away meanwhile, the connection
/// is closed, and the server rolls back. With `bulk`, it is one of the share of bulk work.
macro_rules! transact {
    ($store:ident, bulk, $work:expr) => {{
        let _permit = $store.shares.bulk.acquire().await.map_err(StorageError::from)?;
        transact!($store, $work)
    }};
    ($store:ident, $work:expr) => {{
        let mut lease = $store.lease().await.map_err(StorageError::from)?;
        let outcome = timeout($store.statement_timeout, lease.connection().transaction($work)).await;
        lease.settle_transaction(outcome)
    }};
}

// Below the macros, which they use.
mod audit;
mod directory;
mod fleet;
mod imports;
mod locations;
mod reclaiming;
mod staging;
mod trail;
use run;

/// What became of a transition, by how many devices were changed.
fn saved(changed: Result<i64, Failure>) -> Result<(), SaveError> {
    match changed {
        Ok(0) => Err(SaveError::Conflict),
        Ok(_) => Ok(()),
        Err(Failure::Taken { place, .. }) if place == WAITING_CODE => Err(SaveError::CodeTaken),
        Err(Failure::Missing { place, .. }) if place == MERCHANT_OF_DEVICE => Err(SaveError::UnknownMerchant),
        Err(Failure::Missing { place, .. }) if place == OWN_LOCATION => Err(SaveError::UnknownLocation),
        Err(failure) => Err(StorageError::from(failure).into()),
    }
}

impl PgStore {
    async fn find_alone(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let query = devices::table.find(id.as_str());
        let row: Option<DeviceRow> = run!(self, |connection| async { query.first(connection).await.optional() })?;
        Ok(row.map(DeviceRow::device).transpose()?)
    }
}

#[async_trait]
impl DeviceRepository for PgStore {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        match &self.gathered {
            Some(gathered) => gathered.lookups.find(id).await,
            None => Box::pin(self.find_alone(id)).await,
        }
    }

    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        let query = FindByPairingCode::from(code);
        let row: Option<DeviceRow> = run!(self, |connection| async { query.get_result(connection).await.optional() })?;
        Ok(row.map(DeviceRow::device).transpose()?)
    }

    async fn find_ended_code(&self, code: PairingCode) -> Result<Option<EndedCode>, StorageError> {
        use ended_pairing_codes::dsl;
        let query = dsl::ended_pairing_codes
            .filter(dsl::pairing_code.eq(code.as_str()))
            .order((dsl::ended_at.desc(), dsl::sequence.desc()))
            .limit(1);
        let row: Option<EndedCodeRow<OffsetDateTime>> =
            run!(self, |connection| async { query.get_result(connection).await.optional() })?;
        Ok(row.map(EndedCodeRow::ended_code).transpose()?)
    }

    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        match &self.gathered {
            Some(gathered) => gathered.saves.save(transition).await,
            None => self.save_alone(SaveTransition::from(transition), transition).await,
        }
    }

    /// Not with others in one statement: it is a transaction of its own, which the key's row is part of.
    async fn save_once(&self, transition: &Transition, once: &Once) -> Result<(), SaveOnceError> {
        let mut lease = self.lease().await.map_err(StorageError::from)?;
        let (changes, limit) = (Arc::clone(&self.changes), self.statement_timeout);
        let (transition, once) = (transition.clone(), once.clone());
        let save = self.changes.detach(async move {
            let statement = SaveTransition::from(&transition);
            let work = async |connection: &mut PgLink| {
                if let Some(kept) = claim_key(connection, Some(&once)).await? {
                    return Err(Stop::Refused(SaveOnceError::Answered(kept)));
                }
                let changed: Vec<i64> = statement.load(connection).await?;
                saved(Ok(changed.into_iter().sum())).map_err(|error| Stop::Refused(error.into()))
            };
            let outcome = timeout(limit, lease.connection().transaction(work)).await;
            let outcome = match lease.settle_transaction(outcome) {
                Ok(()) => Ok(()),
                Err(SaveOnceError::Answered(kept)) => return Err(SaveOnceError::Answered(kept)),
                Err(SaveOnceError::Refused(error)) => Err(error),
            };
            changes.after_save(&transition, &outcome);
            Ok(outcome?)
        });
        save.await.unwrap_or_else(|stopped| Err(StorageError::Unavailable(stopped.into()).into()))
    }

    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError> {
        use devices::dsl;
        let agent = &sighting.agent;
        let statement = diesel::update(dsl::devices.find(id.as_str())).set((
            dsl::app_version.eq(Some(agent.app_version.as_str())),
            dsl::os.eq(agent.os.as_deref()),
            dsl::model.eq(agent.model.as_deref()),
            dsl::seen_at.eq(Some(sighting.at)),
        ));
        // Best effort: it neither waits for a connection nor takes more than its share, so a fleet that starts up takes
        // none from portals.
        let updates = &self.shares.terminal_info;
        let Some(_permit) = updates.try_acquire() else { return Ok(()) };
        let Some(lease) = Lease::if_free(&self.pool, self.acquire_timeout).await? else {
            updates.count_dropped();
            return Ok(());
        };
        let updated: Result<usize, Failure> =
            async { run!(self, lease = lease, |connection| statement.execute(connection)) }.await;
        updated?;
        Ok(())
    }
}

#[async_trait]
impl ClaimFailureRepository for PgStore {
    async fn standing(&self, claimant: &Claimant) -> Result<ClaimStanding, StorageError> {
        use claim_failures::dsl;
        let merchant = dsl::scope.eq(MERCHANT).and(dsl::subject.eq(merchant_subject(claimant)));
        let user = dsl::scope.eq(USER).and(dsl::subject.eq(claimant.user_id.as_str()));
        let query = dsl::claim_failures.filter(merchant.or(user));
        let rows: Vec<FailureRow<OffsetDateTime>> = run!(self, |connection| query.load(connection))?;
        Ok(rows::standing(rows)?)
    }

    async fn record(&self, refused: &RefusedClaim, limit: &ClaimLimit) -> Result<ClaimStanding, StorageError> {
        let statement = CountFailure::of(refused, limit);
        let rows: Vec<FailureRow<OffsetDateTime>> = run!(self, |connection| statement.load(connection))?;
        Ok(rows::standing(rows)?)
    }

    async fn record_blocked(&self, refused: &RefusedClaim, limit: &ClaimLimit) -> Result<bool, StorageError> {
        let statement = TellBlocked::of(refused, limit);
        let told: i64 = run!(self, |connection| statement.get_result(connection))?;
        Ok(told > 0)
    }
}

impl DeviceChanges for PgStore {
    fn watch(&self, id: &DeviceId) -> Option<Box<dyn Watch>> {
        self.changes.watch(id)
    }
}

#[async_trait]
impl StorageHealth for PgStore {
    async fn ping(&self) -> Result<(), StorageError> {
        let answer: Result<Access, Failure> = async {
            let lease = Lease::of(&self.health, self.acquire_timeout).await?;
            run!(self, lease = lease, |connection| diesel::sql_query(ACCESS).get_result(connection))
        }
        .await;
        match answer.and_then(|access| access.check().map_err(Failure::unavailable)).map_err(StorageError::from) {
            Ok(()) => Ok(()),
            Err(StorageError::Unavailable(cause) | StorageError::Fault(cause)) => Err(StorageError::Unavailable(cause)),
        }
    }
}
