//! SQLite, for one server with its database beside it.

mod audit;
mod connection;
mod fleet;
mod imports;
mod migrate;
mod staging;
mod once;
mod schema;
mod sessions;
mod tenancy;

use std::path::Path;

use async_trait::async_trait;
use deadpool::managed::{Pool, Status};
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{
    ClaimLimit, ClaimStanding, Claimant, Device, DeviceId, EndedCode, FailureWindow, Name, PairingCode, RefusalRecord,
    RefusedClaim, Sighting, Transition,
};
use pos_port_storage::{ClaimFailureRepository, DeviceRepository, SaveError, StorageError, StorageHealth};
use time::OffsetDateTime;

use self::audit::{insert_audit_event, insert_event};
use self::connection::{Limits, Role, SqliteManager, run};
pub(super) use self::migrate::{migrate, pending};
use self::schema::{claim_failures, devices, ended_pairing_codes};
use super::audit_rows::chain_columns;
use super::failure::Failure;
use super::rows::{self, EndedCodeRow, FailureRow, MERCHANT, USER, merchant_subject, signed};
use super::{OpenError, PoolMonitor, PoolState, StorageOptions};

type DeviceRow = rows::DeviceRow<String, i64>;

/// What SQLite calls the unique index over the codes that wait on a screen: the column it is on.
const WAITING_CODE: &str = "devices.pairing_code";

/// Keeps everything in one SQLite file: one connection that writes, a few that read.
pub struct SqliteStore {
    writer: Pool<SqliteManager>,
    readers: Pool<SqliteManager>,
    limits: Limits,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path, options: &StorageOptions) -> Result<Self, OpenError> {
        if let Some(folder) = folder_of(path).filter(|folder| !folder.is_dir()) {
            return Err(OpenError::MissingFolder(folder.to_owned()));
        }
        let limits = Limits { acquire: options.acquire_timeout, statement: options.statement_timeout };
        let pool = |role, size| {
            let manager = SqliteManager { path: path.to_owned(), role, busy_timeout: limits.busy() };
            Pool::builder(manager).max_size(size).build().map_err(|error| OpenError::Pool(error.to_string()))
        };
        let store =
            Self { writer: pool(Role::Writer, 1)?, readers: pool(Role::Reader, options.max_connections)?, limits };
        let opened = store.write(|_| Ok(())).await;
        opened.map_err(|failure| OpenError::Sqlite { path: path.to_owned(), source: failure.into() })?;
        Ok(store)
    }

    async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        run(&self.readers, self.limits, operation).await
    }

    /// Holds the write lock from the start, so that no two writers read first and then wait for each other.
    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        run(&self.writer, self.limits, |connection| connection.immediate_transaction(operation)).await
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
}

/// Keeps the device of a transition; false when it is not at the expected version.
fn update_device(connection: &mut SqliteConnection, transition: &Transition) -> Result<bool, Failure> {
    use devices::dsl;
    let record = transition.device().record();
    let (chain_start, chain_head) = chain_columns(transition);
    let stored = dsl::devices
        .filter(dsl::device_id.eq(record.id.as_str()))
        .filter(dsl::version.eq(signed(transition.expected_version())));
    let changed = diesel::update(stored)
        .set((
            dsl::version.eq(signed(record.version)),
            dsl::merchant_id.eq(record.merchant_id.to_string()),
            dsl::status.eq(record.status.as_str()),
            dsl::pairing_code.eq(record.pairing_code.as_ref().map(PairingCode::as_str)),
            dsl::code_issued_at.eq(record.code_issued_at.map(micros)),
            dsl::code_expires_at.eq(record.code_expires_at.map(micros)),
            dsl::claimed_by.eq(record.claimed_by.as_ref().map(|user| user.as_str())),
            dsl::claimed_at.eq(record.claimed_at.map(micros)),
            dsl::activated_at.eq(record.activated_at.map(micros)),
            dsl::decommissioned_at.eq(record.decommissioned_at.map(micros)),
            dsl::label.eq(record.details.label.as_ref().map(Name::as_str)),
            dsl::location_id.eq(record.details.location_id.map(|location| location.to_string())),
            dsl::chain_start.eq(chain_start),
            dsl::chain_head.eq(chain_head),
        ))
        .execute(connection)?;
    Ok(changed == 1)
}

fn insert_ended_code(connection: &mut SqliteConnection, ended: &EndedCode, sequence: u64) -> Result<(), Failure> {
    use ended_pairing_codes::dsl;
    diesel::insert_into(dsl::ended_pairing_codes)
        .values((
            dsl::device_id.eq(ended.device_id.as_str()),
            dsl::sequence.eq(signed(sequence)),
            dsl::pairing_code.eq(ended.code.as_str()),
            dsl::ended_as.eq(ended.end.as_str()),
            dsl::ended_at.eq(micros(ended.at)),
        ))
        .execute(connection)?;
    Ok(())
}

#[async_trait]
impl DeviceRepository for SqliteStore {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let id = id.clone();
        let row = self
            .read(move |connection| Ok(devices::table.find(id.as_str()).first::<DeviceRow>(connection).optional()?));
        Ok(row.await?.map(DeviceRow::device).transpose()?)
    }

    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        use devices::dsl;
        // One query for each partial index, in one transaction, so that both see the same moment.
        let row = self.read(move |connection| {
            connection.transaction(|connection| {
                let with_code = dsl::devices.filter(dsl::pairing_code.eq(code.as_str()));
                let waiting = with_code.filter(diesel::dsl::sql::<diesel::sql_types::Bool>("status = 'inactive'"));
                if let Some(row) = waiting.first::<DeviceRow>(connection).optional()? {
                    return Ok(Some(row));
                }
                let used =
                    with_code.filter(diesel::dsl::sql::<diesel::sql_types::Bool>("status IN ('claimed', 'activated')"));
                Ok(used.order(dsl::claimed_at.desc()).first::<DeviceRow>(connection).optional()?)
            })
        });
        Ok(row.await?.map(DeviceRow::device).transpose()?)
    }

    async fn find_ended_code(&self, code: PairingCode) -> Result<Option<EndedCode>, StorageError> {
        use ended_pairing_codes::dsl;
        let row = self.read(move |connection| {
            Ok(dsl::ended_pairing_codes
                .filter(dsl::pairing_code.eq(code.as_str()))
                .order((dsl::ended_at.desc(), dsl::sequence.desc()))
                .first::<EndedCodeRow<i64>>(connection)
                .optional()?)
        });
        Ok(row.await?.map(EndedCodeRow::ended_code).transpose()?)
    }

    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        let transition = transition.clone();
        let saved = self.write(move |connection| {
            if !update_device(connection, &transition)? {
                return Ok(false);
            }
            insert_event(connection, transition.event())?;
            if let Some(ended) = transition.ended_code() {
                insert_ended_code(connection, ended, transition.event().sequence)?;
            }
            Ok(true)
        });
        match saved.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SaveError::Conflict),
            Err(Failure::Taken { place, .. }) if place == WAITING_CODE => Err(SaveError::CodeTaken),
            Err(Failure::Missing { .. }) => Err(SaveError::UnknownLocation),
            Err(failure) => Err(StorageError::from(failure).into()),
        }
    }

    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError> {
        use devices::dsl;
        let (id, sighting) = (id.clone(), sighting.clone());
        let noted = self.write(move |connection| {
            let agent = &sighting.agent;
            diesel::update(dsl::devices.find(id.as_str()))
                .set((
                    dsl::app_version.eq(Some(agent.app_version.as_str())),
                    dsl::os.eq(agent.os.as_deref()),
                    dsl::model.eq(agent.model.as_deref()),
                    dsl::seen_at.eq(Some(micros(sighting.at))),
                ))
                .execute(connection)?;
            Ok(())
        });
        Ok(noted.await?)
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

#[async_trait]
impl StorageHealth for SqliteStore {
    async fn ping(&self) -> Result<(), StorageError> {
        let asked = self.read(|connection| {
            diesel::sql_query("SELECT 1").execute(connection)?;
            Ok(())
        });
        match asked.await.map_err(StorageError::from) {
            Ok(()) => Ok(()),
            Err(StorageError::Unavailable(cause) | StorageError::Fault(cause)) => Err(StorageError::Unavailable(cause)),
        }
    }
}
