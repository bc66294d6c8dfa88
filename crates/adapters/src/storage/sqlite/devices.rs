//! Devices in SQLite as terminals see them, and how a transition is kept.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{Device, DeviceEventKind, DeviceId, EndedCode, Name, PairingCode, Scope, Sighting, Transition};
use pos_port_storage::{DeviceRepository, Once, SaveError, SaveOnceError, StorageError};

use super::audit::insert_event;
use super::fleet::{sees_device, sees_merchant};
use super::once::{answered, keep_answer};
use super::schema::{devices, ended_pairing_codes};
use super::{SqliteStore, micros};
use crate::storage::audit_rows::chain_columns;
use crate::storage::failure::Failure;
use crate::storage::rows::{self, EndedCodeRow, signed};

pub(super) type DeviceRow = rows::DeviceRow<String, i64>;

/// What SQLite calls the unique index over the codes that wait on a screen: the column it is on.
const WAITING_CODE: &str = "devices.pairing_code";

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

/// Keeps a transition with its event and the code that ended; false, and nothing, when the device is not at the expected
/// version.
fn keep_transition(connection: &mut SqliteConnection, transition: &Transition) -> Result<bool, Failure> {
    if !update_device(connection, transition)? {
        return Ok(false);
    }
    insert_event(connection, transition.event())?;
    if let Some(ended) = transition.ended_code() {
        insert_ended_code(connection, ended, transition.event().sequence)?;
    }
    Ok(true)
}

impl SqliteStore {
    /// Keeps a transition for a scope, which must see the merchant that the stored device has, and the one it has
    /// afterwards.
    pub(super) async fn keep(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        let (id, watchers, transition) = (transition.device().id().clone(), self.watchers.clone(), transition.clone());
        let kind = transition.event().kind;
        let save = move |connection: &mut SqliteConnection| {
            let device = transition.device();
            let sees = scope == Scope::Operator
                || (sees_device(connection, scope, device.id())?
                    && sees_merchant(connection, scope, device.merchant_id())?);
            Ok(sees && keep_transition(connection, &transition)?)
        };
        // Also after a commit that failed: it may have been one all the same.
        let notify = move |saved: &Result<bool, Failure>| {
            if matches!(saved, Ok(true) | Err(Failure::Storage(StorageError::Unavailable(_)))) {
                watchers.wake(&id);
            }
        };
        match self.writer.write_then(save, notify).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SaveError::Conflict),
            Err(Failure::Taken { place, .. }) if place == WAITING_CODE => Err(SaveError::CodeTaken),
            // Of the rows that are written, the device's alone refers to one that may not be there: a move leaves the
            // location behind, and nothing else changes the merchant.
            Err(Failure::Missing { .. }) if kind == DeviceEventKind::Moved => Err(SaveError::UnknownMerchant),
            Err(Failure::Missing { .. }) => Err(SaveError::UnknownLocation),
            Err(failure) => Err(StorageError::from(failure).into()),
        }
    }
}

#[async_trait]
impl DeviceRepository for SqliteStore {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let look_up = |connection: &mut SqliteConnection, id: &DeviceId| {
            Ok(devices::table.find(id.as_str()).first::<DeviceRow>(connection).optional()?)
        };
        let row = match self.own_readers.read(|connection| look_up(connection, id)) {
            Some(row) => row,
            None => {
                let id = id.clone();
                self.read(move |connection| look_up(connection, &id)).await?
            }
        };
        Ok(row.map(DeviceRow::device).transpose()?)
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
        self.keep(Scope::Operator, transition).await
    }

    async fn save_once(&self, transition: &Transition, once: &Once) -> Result<(), SaveOnceError> {
        let (id, watchers) = (transition.device().id().clone(), self.watchers.clone());
        let (transition, once) = (transition.clone(), once.clone());
        let save = move |connection: &mut SqliteConnection| {
            if let Some(kept) = answered(connection, Some(&once))? {
                return Ok(Err(SaveOnceError::Answered(kept)));
            }
            if !keep_transition(connection, &transition)? {
                return Ok(Err(SaveError::Conflict.into()));
            }
            keep_answer(connection, Some(&once))?;
            Ok(Ok(()))
        };
        let notify = move |saved: &Result<Result<(), SaveOnceError>, Failure>| {
            if matches!(saved, Ok(Ok(())) | Err(Failure::Storage(StorageError::Unavailable(_)))) {
                watchers.wake(&id);
            }
        };
        self.writer.write_then(save, notify).await.map_err(StorageError::from)?
    }

    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError> {
        use devices::dsl;
        // Best effort: a fleet that starts up does not fill the queue that portals write through.
        let Some(_permit) = self.terminal_info.try_acquire() else { return Ok(()) };
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
