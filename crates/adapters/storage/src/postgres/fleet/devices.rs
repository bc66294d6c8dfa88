//! Repository of devices for portals in PostgreSQL, and of stored responses to idempotent requests.

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::device::{Device, Transition};
use pos_domain::shared::{DeviceId, IdempotencyKey, Party, Scope};
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::fleet::{CreateDevicesError, DevicePage, FleetRepository};
use pos_port_storage::shared::{IdempotencyRecord, IdempotencyRepository, SaveError, StorageError, StoredResponse};
use time::OffsetDateTime;

use crate::postgres::connection::PgConn;
use crate::postgres::device::devices::DeviceRow;
use crate::postgres::device::save::SaveForParty;
use crate::postgres::fleet::create::{AddDevices, CheckLocations};
use crate::postgres::pool::Rollback;
use crate::postgres::schema::devices;
use crate::postgres::shared::idempotency::{claim_key, find_response};
use crate::postgres::store::PgStore;
use crate::rows::device::new_devices;
use crate::rows::fleet::stored_response;
use crate::visibility::visible_by_merchant;

/// The devices that are visible to a scope.
fn visible_to(scope: Scope) -> devices::BoxedQuery<'static, Pg> {
    use devices::dsl;
    visible_by_merchant!(postgres, dsl::devices.into_boxed(), scope, dsl::merchant_id)
}

#[async_trait]
impl FleetRepository for PgStore {
    async fn create(
        &self,
        scope: Scope,
        devices: &[Transition],
        record: Option<&IdempotencyRecord>,
    ) -> Result<(), CreateDevicesError> {
        let (new, repeated) = new_devices(devices)?;
        let (check, add) = (CheckLocations::of(scope, &new), AddDevices::from(new.as_slice()));
        self.transact(async |connection: &mut PgConn| {
            if let Some(stored) = claim_key(connection, record).await? {
                return Err(Rollback::Refused(CreateDevicesError::Answered(stored)));
            }
            let (sees_merchants, has_locations): (bool, bool) = check.get_result(connection).await?;
            if !sees_merchants {
                return Err(Rollback::Refused(CreateDevicesError::UnknownMerchant));
            }
            if !has_locations {
                return Err(Rollback::Refused(CreateDevicesError::UnknownLocation));
            }
            let added: Vec<String> = add.load(connection).await?;
            if repeated.is_empty() && added.len() == new.len() {
                return Ok(());
            }
            let added: HashSet<&str> = added.iter().map(String::as_str).collect();
            let known = new.iter().map(|one| one.device().id()).filter(|id| !added.contains(id.as_str()));
            let taken: BTreeSet<DeviceId> = known.chain(&repeated).cloned().collect();
            Err(Rollback::Refused(CreateDevicesError::Taken(taken.into_iter().collect())))
        })
        .await
    }

    async fn find(&self, scope: Scope, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let query = visible_to(scope).filter(devices::device_id.eq(id.as_str().to_owned()));
        let row: Option<DeviceRow> = self.run(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(DeviceRow::device).transpose()?)
    }

    async fn save(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        match scope {
            Scope::Operator => DeviceRepository::save(self, transition).await,
            Scope::Of(party) => self.save_unbatched(SaveForParty::of(party, transition), transition).await,
        }
    }

    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError> {
        use devices::dsl;
        let mut query = visible_to(page.scope).order(dsl::device_id).limit(page.limit.into());
        if let Some(merchant) = page.merchant_id {
            query = query.filter(dsl::merchant_id.eq(merchant.0));
        }
        if let Some(location) = page.location_id {
            query = query.filter(dsl::location_id.eq(location.0));
        }
        if let Some(status) = page.status {
            query = query.filter(dsl::status.eq(status.as_str()));
        }
        if let Some(after) = &page.after {
            query = query.filter(dsl::device_id.gt(after.as_str().to_owned()));
        }
        let rows: Vec<DeviceRow> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(DeviceRow::device).collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl IdempotencyRepository for PgStore {
    async fn find(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<StoredResponse>, StorageError> {
        let row = self.run(async |connection| find_response(connection, party, key, now).await).await?;
        Ok(row.map(|row| stored_response(party, row)).transpose()?)
    }
}
