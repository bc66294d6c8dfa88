//! Devices in SQLite as those see them who manage them, and the answers to creating calls.

use std::collections::BTreeSet;

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use pos_domain::{Device, DeviceId, IdempotencyKey, LocationId, MerchantId, Name, Party, Scope, Transition};
use pos_port_storage::{
    AnswerRepository, CreateDevicesError, DevicePage, FleetRepository, KeptAnswer, Once, SaveError, StorageError,
};
use time::OffsetDateTime;

use super::audit::insert_event;
use super::devices::DeviceRow;
use super::once::{answered, find_answer, keep_answer};
use super::schema::{devices, locations, merchants};
use super::{SqliteStore, micros};
use crate::storage::audit_rows::chain_columns;
use crate::storage::failure::Failure;
use crate::storage::rows::new_devices;

/// The devices that a scope sees.
fn seen_by(scope: Scope) -> devices::BoxedQuery<'static, Sqlite> {
    use devices::dsl;
    let all = dsl::devices.into_boxed();
    match scope {
        Scope::Operator => all,
        Scope::Of(Party::Merchant(own)) => all.filter(dsl::merchant_id.eq(own.to_string())),
        Scope::Of(Party::Reseller(parent)) => {
            let theirs = merchants::table.filter(merchants::reseller_id.eq(parent.to_string()));
            all.filter(dsl::merchant_id.eq_any(theirs.select(merchants::merchant_id)))
        }
    }
}

/// Whether a scope sees the merchant of a stored device. An operator sees also what is not there.
pub(super) fn sees_device(connection: &mut SqliteConnection, scope: Scope, id: &DeviceId) -> Result<bool, Failure> {
    match scope {
        Scope::Operator => Ok(true),
        Scope::Of(_) => {
            let query = seen_by(scope).filter(devices::device_id.eq(id.as_str().to_owned()));
            Ok(query.count().get_result::<i64>(connection)? == 1)
        }
    }
}

/// Whether a merchant is there and a scope sees it.
pub(super) fn sees_merchant(
    connection: &mut SqliteConnection,
    scope: Scope,
    merchant: MerchantId,
) -> Result<bool, Failure> {
    let id = merchant.to_string();
    Ok(match scope {
        Scope::Of(Party::Merchant(own)) if own != merchant => false,
        Scope::Operator | Scope::Of(Party::Merchant(_)) => {
            select(exists(merchants::table.find(id))).get_result(connection)?
        }
        Scope::Of(Party::Reseller(parent)) => {
            let theirs = merchants::table.filter(merchants::reseller_id.eq(parent.to_string()));
            select(exists(theirs.find(id))).get_result(connection)?
        }
    })
}

/// Whether a location, if there is to be one, is that merchant's.
pub(super) fn has_location(
    connection: &mut SqliteConnection,
    (merchant, location): (MerchantId, Option<LocationId>),
) -> Result<bool, Failure> {
    let Some(location) = location else { return Ok(true) };
    let theirs = locations::table.filter(locations::merchant_id.eq(merchant.to_string()));
    Ok(select(exists(theirs.find(location.to_string()))).get_result(connection)?)
}

/// Stores a new device with its first event.
pub(super) fn insert_device(connection: &mut SqliteConnection, new: &Transition) -> Result<(), Failure> {
    use devices::dsl;
    let (device, (chain_start, chain_head)) = (new.device(), chain_columns(new));
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
            dsl::chain_head.eq(chain_head),
        ))
        .execute(connection)?;
    insert_event(connection, new.event())
}

/// Why devices are not created, but for a key that is kept; none when they may be.
fn refusal(
    connection: &mut SqliteConnection,
    scope: Scope,
    devices: &[Transition],
) -> Result<Option<CreateDevicesError>, Failure> {
    let place = |new: &Transition| (new.device().merchant_id(), new.device().details().location_id);
    let places: BTreeSet<_> = devices.iter().map(place).collect();
    for (merchant, _) in &places {
        if !sees_merchant(connection, scope, *merchant)? {
            return Ok(Some(CreateDevicesError::UnknownMerchant));
        }
    }
    for place in places {
        if !has_location(connection, place)? {
            return Ok(Some(CreateDevicesError::UnknownLocation));
        }
    }
    let (new, again) = new_devices(devices).map_err(Failure::Storage)?;
    let mut taken: BTreeSet<DeviceId> = again.into_iter().collect();
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
        once: Option<&Once>,
    ) -> Result<(), CreateDevicesError> {
        new_devices(devices)?;
        let (devices, once) = (devices.to_vec(), once.cloned());
        let created = self.write(move |connection| {
            if let Some(kept) = answered(connection, once.as_ref())? {
                return Ok(Err(CreateDevicesError::Answered(kept)));
            }
            if let Some(refusal) = refusal(connection, scope, &devices)? {
                return Ok(Err(refusal));
            }
            devices.iter().try_for_each(|new| insert_device(connection, new))?;
            keep_answer(connection, once.as_ref())?;
            Ok(Ok(()))
        });
        created.await.map_err(StorageError::from)?
    }

    async fn find(&self, scope: Scope, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let query = seen_by(scope).filter(devices::device_id.eq(id.as_str().to_owned()));
        let row = self.read(move |connection| Ok(query.first::<DeviceRow>(connection).optional()?));
        Ok(row.await?.map(DeviceRow::device).transpose()?)
    }

    async fn save(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        self.keep(scope, transition).await
    }

    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError> {
        use devices::dsl;
        let mut query = seen_by(page.scope).order(dsl::device_id).limit(page.limit.into());
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
impl AnswerRepository for SqliteStore {
    async fn find(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<KeptAnswer>, StorageError> {
        let key = key.clone();
        Ok(self.read(move |connection| find_answer(connection, party, &key, now)).await?)
    }
}
