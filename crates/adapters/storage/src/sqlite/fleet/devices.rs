//! Repository of devices for portals in SQLite, and of stored responses to idempotent requests.

use std::collections::BTreeSet;

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use pos_domain::device::{Device, Transition};
use pos_domain::shared::{DeviceId, IdempotencyKey, LocationId, MerchantId, Name, Party, Scope};
use pos_port_storage::fleet::{CreateDevicesError, DevicePage, FleetRepository};
use pos_port_storage::shared::{IdempotencyRecord, IdempotencyRepository, SaveError, StorageError, StoredResponse};
use time::OffsetDateTime;

use crate::engine_error::EngineError;
use crate::rows::audit::chain_columns;
use crate::rows::device::new_devices;
use crate::sqlite::device::devices::DeviceRow;
use crate::sqlite::device::events::insert_event;
use crate::sqlite::instants::micros;
use crate::sqlite::schema::{devices, locations};
use crate::sqlite::shared::idempotency::{find_earlier_response, find_response, store_response};
use crate::sqlite::shared::visibility::{is_merchant_visible, visible_devices};
use crate::sqlite::store::SqliteStore;

/// Whether the location, if any, belongs to the merchant.
pub(crate) fn has_location(
    connection: &mut SqliteConnection,
    (merchant, location): (MerchantId, Option<LocationId>),
) -> Result<bool, EngineError> {
    let Some(location) = location else { return Ok(true) };
    let theirs = locations::table.filter(locations::merchant_id.eq(merchant.to_string()));
    Ok(select(exists(theirs.find(location.to_string()))).get_result(connection)?)
}

/// Stores a new device with its first event.
pub(crate) fn insert_device(connection: &mut SqliteConnection, new: &Transition) -> Result<(), EngineError> {
    use devices::dsl;
    let (device, (chain_start, chain_tip)) = (new.device(), chain_columns(new));
    diesel::insert_into(dsl::devices)
        .values((
            dsl::device_id.eq(device.id().as_str()),
            dsl::merchant_id.eq(device.merchant_id().to_string()),
            dsl::version.eq(1),
            dsl::provisioned_at.eq(micros(device.provisioned_at())),
            dsl::status.eq(device.status().as_str()),
            dsl::label.eq(device.details().label.as_ref().map(Name::as_str)),
            dsl::location_id.eq(device.details().location_id.map(|location| location.to_string())),
            dsl::chain_start.eq(chain_start),
            dsl::chain_tip.eq(chain_tip),
        ))
        .execute(connection)?;
    insert_event(connection, new.event())
}

/// Why devices cannot be created; `None` if they can. Does not check the idempotency key.
fn refusal(
    connection: &mut SqliteConnection,
    scope: Scope,
    devices: &[Transition],
) -> Result<Option<CreateDevicesError>, EngineError> {
    let pair = |new: &Transition| (new.device().merchant_id(), new.device().details().location_id);
    let pairs: BTreeSet<_> = devices.iter().map(pair).collect();
    for (merchant, _) in &pairs {
        if !is_merchant_visible(connection, scope, *merchant)? {
            return Ok(Some(CreateDevicesError::UnknownMerchant));
        }
    }
    for pair in pairs {
        if !has_location(connection, pair)? {
            return Ok(Some(CreateDevicesError::UnknownLocation));
        }
    }
    let (new, repeated) = new_devices(devices).map_err(EngineError::Storage)?;
    let mut taken: BTreeSet<DeviceId> = repeated.into_iter().collect();
    for one in new {
        let id = one.device().id();
        if select(exists(devices::table.find(id.as_str()))).get_result(connection)? {
            taken.insert(id.clone());
        }
    }
    Ok((!taken.is_empty()).then(|| CreateDevicesError::Taken(taken.into_iter().collect())))
}

#[async_trait]
impl FleetRepository for SqliteStore {
    async fn create(
        &self,
        scope: Scope,
        devices: &[Transition],
        record: Option<&IdempotencyRecord>,
    ) -> Result<(), CreateDevicesError> {
        new_devices(devices)?;
        let (devices, record) = (devices.to_vec(), record.cloned());
        let created = self.write(move |connection| {
            if let Some(stored) = find_earlier_response(connection, record.as_ref())? {
                return Ok(Err(CreateDevicesError::Answered(stored)));
            }
            if let Some(refusal) = refusal(connection, scope, &devices)? {
                return Ok(Err(refusal));
            }
            devices.iter().try_for_each(|new| insert_device(connection, new))?;
            store_response(connection, record.as_ref())?;
            Ok(Ok(()))
        });
        created.await.map_err(StorageError::from)?
    }

    async fn find(&self, scope: Scope, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let query = visible_devices(scope).filter(devices::device_id.eq(id.as_str().to_owned()));
        let row = self.read(move |connection| Ok(query.first::<DeviceRow>(connection).optional()?));
        Ok(row.await?.map(DeviceRow::device).transpose()?)
    }

    async fn save(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        self.save_in_scope(scope, transition).await
    }

    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError> {
        use devices::dsl;
        let mut query = visible_devices(page.scope).order(dsl::device_id).limit(page.limit.into());
        if let Some(merchant) = page.merchant_id {
            query = query.filter(dsl::merchant_id.eq(merchant.to_string()));
        }
        if let Some(location) = page.location_id {
            query = query.filter(dsl::location_id.eq(location.to_string()));
        }
        if let Some(status) = page.status {
            query = query.filter(dsl::status.eq(status.as_str()));
        }
        if let Some(after) = &page.after {
            query = query.filter(dsl::device_id.gt(after.as_str().to_owned()));
        }
        let rows = self.read(move |connection| Ok(query.load::<DeviceRow>(connection)?));
        Ok(rows.await?.into_iter().map(DeviceRow::device).collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl IdempotencyRepository for SqliteStore {
    async fn find(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<StoredResponse>, StorageError> {
        let key = key.clone();
        Ok(self.read(move |connection| find_response(connection, party, &key, now)).await?)
    }
}
