//! Devices in PostgreSQL as those see them who manage them, and the answers to creating calls.

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use pos_domain::{Device, DeviceId, IdempotencyKey, Party, Scope, Transition};
use pos_port_storage::{
    AnswerRepository, CreateDevicesError, DevicePage, DeviceRepository, FleetRepository, KeptAnswer, Once, SaveError,
    StorageError,
};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::connection::Stop;
use super::create::{AddDevices, CheckPlaces};
use super::link::PgLink;
use super::once::{claim_key, find_answer};
use super::save::SaveForParty;
use super::schema::{devices, merchants};
use super::{DeviceRow, PgStore};
use crate::storage::fleet_rows::kept_answer;
use crate::storage::rows::new_devices;

/// The devices that a scope sees.
fn seen_by(scope: Scope) -> devices::BoxedQuery<'static, Pg> {
    use devices::dsl;
    let all = dsl::devices.into_boxed();
    match scope {
        Scope::Operator => all,
        Scope::Of(Party::Merchant(own)) => all.filter(dsl::merchant_id.eq(own.0)),
        Scope::Of(Party::Reseller(parent)) => {
            let theirs = merchants::table.filter(merchants::reseller_id.eq(parent.0)).select(merchants::merchant_id);
            all.filter(dsl::merchant_id.eq_any(theirs))
        }
    }
}

#[async_trait]
impl FleetRepository for PgStore {
    async fn create(
        &self,
        scope: Scope,
        devices: &[Transition],
        once: Option<&Once>,
    ) -> Result<(), CreateDevicesError> {
        let (new, again) = new_devices(devices)?;
        let (check, add) = (CheckPlaces::of(scope, &new), AddDevices::from(new.as_slice()));
        transact!(self, async |connection: &mut PgLink| {
            if let Some(kept) = claim_key(connection, once).await? {
                return Err(Stop::Refused(CreateDevicesError::Answered(kept)));
            }
            let (sees_merchants, has_locations): (bool, bool) = check.get_result(connection).await?;
            if !sees_merchants {
                return Err(Stop::Refused(CreateDevicesError::UnknownMerchant));
            }
            if !has_locations {
                return Err(Stop::Refused(CreateDevicesError::UnknownLocation));
            }
            let added: Vec<String> = add.load(connection).await?;
            if again.is_empty() && added.len() == new.len() {
                return Ok(());
            }
            let added: HashSet<&str> = added.iter().map(String::as_str).collect();
            let known = new.iter().map(|one| one.device().id()).filter(|id| !added.contains(id.as_str()));
            let taken: BTreeSet<DeviceId> = known.chain(&again).cloned().collect();
            Err(Stop::Refused(CreateDevicesError::Taken(taken.into_iter().collect())))
        })
    }

    async fn find(&self, scope: Scope, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let query = seen_by(scope).filter(devices::device_id.eq(id.as_str().to_owned()));
        let row: Option<DeviceRow> = run!(self, |connection| async { query.first(connection).await.optional() })?;
        Ok(row.map(DeviceRow::device).transpose()?)
    }

    async fn save(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        match scope {
            Scope::Operator => DeviceRepository::save(self, transition).await,
            Scope::Of(party) => self.save_alone(SaveForParty::of(party, transition), transition).await,
        }
    }

    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError> {
        use devices::dsl;
        let mut query = seen_by(page.scope).order(dsl::device_id).limit(page.limit.into());
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
        let rows: Vec<DeviceRow> = run!(self, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(DeviceRow::device).collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl AnswerRepository for PgStore {
    async fn find(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<KeptAnswer>, StorageError> {
        let row = run!(self, |connection| find_answer(connection, party, key, now))?;
        Ok(row.map(|row| kept_answer(party, row)).transpose()?)
    }
}
