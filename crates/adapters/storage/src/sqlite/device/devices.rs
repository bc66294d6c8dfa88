//! Repository of devices for terminals in SQLite, and the save of a transition.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::device::{Device, DeviceEventKind, PairingCode, PastCode, TerminalInfo, Transition};
use pos_domain::shared::{DeviceId, Scope};
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::shared::{IdempotencyRecord, SaveError, SaveIdempotentError, StorageError};

use crate::engine_error::EngineError;
use crate::rows::device::{self, PastCodeRow};
use crate::rows::reader::signed;
use crate::rows::saved_device::{SavedDevice, saved_device_columns};
use crate::sqlite::device::events::insert_event;
use crate::sqlite::instants::micros;
use crate::sqlite::schema::{devices, past_pairing_codes};
use crate::sqlite::shared::idempotency::{find_earlier_response, store_response};
use crate::sqlite::shared::visibility::{is_device_visible, is_merchant_visible};
use crate::sqlite::store::SqliteStore;

pub(crate) type DeviceRow = device::DeviceRow<String, i64>;

/// The unique index on the pairing codes of inactive devices. SQLite reports its column instead of its name.
const WAITING_CODE: &str = "devices.pairing_code";

/// Updates the device of a transition. Returns false if it does not have the expected version.
fn update_device(connection: &mut SqliteConnection, transition: &Transition) -> Result<bool, EngineError> {
    use devices::dsl;
    let saved = SavedDevice::<String, i64>::from(transition);
    macro_rules! assignments {
        ($($column:ident: $sql:ty = $native:ty,)+) => { ($(dsl::$column.eq(saved.$column),)+) };
    }
    let stored = dsl::devices
        .filter(dsl::device_id.eq(transition.device().id().as_str()))
        .filter(dsl::version.eq(signed(transition.expected_version())));
    Ok(diesel::update(stored).set(saved_device_columns!(assignments)).execute(connection)? == 1)
}

fn insert_past_code(connection: &mut SqliteConnection, ended: &PastCode, sequence: u64) -> Result<(), EngineError> {
    use past_pairing_codes::dsl;
    diesel::insert_into(dsl::past_pairing_codes)
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

/// Stores a transition with its event and its past code. Returns false, and stores nothing, if the device does not have the
/// expected version.
fn store_transition(connection: &mut SqliteConnection, transition: &Transition) -> Result<bool, EngineError> {
    if !update_device(connection, transition)? {
        return Ok(false);
    }
    insert_event(connection, transition.event())?;
    if let Some(ended) = transition.past_code() {
        insert_past_code(connection, ended, transition.event().sequence)?;
    }
    Ok(true)
}

impl SqliteStore {
    /// Saves a transition for a scope, to which the device's merchants before and after the transition must be visible.
    pub(crate) async fn save_in_scope(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        let (id, subscribers, transition) =
            (transition.device().id().clone(), self.subscribers.clone(), transition.clone());
        let kind = transition.event().kind;
        let save = move |connection: &mut SqliteConnection| {
            let device = transition.device();
            let visible = scope == Scope::Operator
                || (is_device_visible(connection, scope, device.id())?
                    && is_merchant_visible(connection, scope, device.merchant_id())?);
            Ok(visible && store_transition(connection, &transition)?)
        };
        // Also after a failed commit: it may have taken effect.
        let notify = move |saved: &Result<bool, EngineError>| {
            if matches!(saved, Ok(true) | Err(EngineError::Storage(StorageError::Unavailable(_)))) {
                subscribers.wake(&id);
            }
        };
        match self.writer.write_then(save, notify).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SaveError::Conflict),
            Err(EngineError::UniqueViolation { constraint, .. }) if constraint == WAITING_CODE => {
                Err(SaveError::CodeTaken)
            }
            // Only the device's row has foreign keys that may be violated. A transfer clears the location, and no other
            // transition changes the merchant.
            Err(EngineError::ForeignKeyViolation { .. }) if kind == DeviceEventKind::Transferred => {
                Err(SaveError::UnknownMerchant)
            }
            Err(EngineError::ForeignKeyViolation { .. }) => Err(SaveError::UnknownLocation),
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
        let row = match self.worker_readers.read(|connection| look_up(connection, id)) {
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
        // One query per partial index, in one transaction, so that both read the same snapshot.
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

    async fn find_past_code(&self, code: PairingCode) -> Result<Option<PastCode>, StorageError> {
        use past_pairing_codes::dsl;
        let row = self.read(move |connection| {
            Ok(dsl::past_pairing_codes
                .filter(dsl::pairing_code.eq(code.as_str()))
                .order((dsl::ended_at.desc(), dsl::sequence.desc()))
                .first::<PastCodeRow<i64>>(connection)
                .optional()?)
        });
        Ok(row.await?.map(PastCodeRow::past_code).transpose()?)
    }

    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        self.save_in_scope(Scope::Operator, transition).await
    }

    async fn save_idempotent(
        &self,
        transition: &Transition,
        record: &IdempotencyRecord,
    ) -> Result<(), SaveIdempotentError> {
        let (id, subscribers) = (transition.device().id().clone(), self.subscribers.clone());
        let (transition, record) = (transition.clone(), record.clone());
        let save = move |connection: &mut SqliteConnection| {
            if let Some(stored) = find_earlier_response(connection, Some(&record))? {
                return Ok(Err(SaveIdempotentError::Answered(stored)));
            }
            if !store_transition(connection, &transition)? {
                return Ok(Err(SaveError::Conflict.into()));
            }
            store_response(connection, Some(&record))?;
            Ok(Ok(()))
        };
        let notify = move |saved: &Result<Result<(), SaveIdempotentError>, EngineError>| {
            if matches!(saved, Ok(Ok(())) | Err(EngineError::Storage(StorageError::Unavailable(_)))) {
                subscribers.wake(&id);
            }
        };
        self.writer.write_then(save, notify).await.map_err(StorageError::from)?
    }

    async fn update_terminal_info(&self, id: &DeviceId, terminal_info: &TerminalInfo) -> Result<(), StorageError> {
        use devices::dsl;
        // Best effort: terminals that start at the same time must not fill the write queue that portals use.
        let Some(_permit) = self.terminal_info.try_acquire() else { return Ok(()) };
        let (id, terminal_info) = (id.clone(), terminal_info.clone());
        let updated = self.write(move |connection| {
            let agent = &terminal_info.agent;
            diesel::update(dsl::devices.find(id.as_str()))
                .set((
                    dsl::app_version.eq(Some(agent.app_version.as_str())),
                    dsl::os.eq(agent.os.as_deref()),
                    dsl::model.eq(agent.model.as_deref()),
                    dsl::seen_at.eq(Some(micros(terminal_info.at))),
                ))
                .execute(connection)?;
            Ok(())
        });
        Ok(updated.await?)
    }
}
