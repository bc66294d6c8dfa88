//! Locations in SQLite.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use pos_domain::{AuditEvent, Location, LocationId, Name, Party, Scope};
use pos_port_storage::{AddLocationError, LocationPage, LocationRepository, Once, StorageError};

use super::audit::insert_audit_event;
use super::fleet::sees_merchant;
use super::once::{answered, keep_answer};
use super::schema::{locations, merchants};
use super::{SqliteStore, micros};
use crate::storage::fleet_rows;

type LocationRow = fleet_rows::LocationRow<String, i64>;

/// The locations that a scope sees.
fn seen_by(scope: Scope) -> locations::BoxedQuery<'static, Sqlite> {
    use locations::dsl;
    let all = dsl::locations.into_boxed();
    match scope {
        Scope::Operator => all,
        Scope::Of(Party::Merchant(own)) => all.filter(dsl::merchant_id.eq(own.to_string())),
        Scope::Of(Party::Reseller(parent)) => {
            let theirs = merchants::table.filter(merchants::reseller_id.eq(parent.to_string()));
            all.filter(dsl::merchant_id.eq_any(theirs.select(merchants::merchant_id)))
        }
    }
}

#[async_trait]
impl LocationRepository for SqliteStore {
    async fn add_location(
        &self,
        scope: Scope,
        location: &Location,
        once: Option<&Once>,
        told: &AuditEvent,
    ) -> Result<(), AddLocationError> {
        use locations::dsl;
        let (location, once, told) = (location.clone(), once.cloned(), told.clone());
        let added = self.write(move |connection| {
            if let Some(kept) = answered(connection, once.as_ref())? {
                return Ok(Err(AddLocationError::Answered(kept)));
            }
            let merchant = location.merchant_id;
            if !sees_merchant(connection, scope, merchant)? {
                return Ok(Err(AddLocationError::UnknownMerchant));
            }
            let added = diesel::insert_into(dsl::locations)
                .values((
                    dsl::location_id.eq(location.id.to_string()),
                    dsl::merchant_id.eq(merchant.to_string()),
                    dsl::name.eq(location.name.as_str()),
                    dsl::created_at.eq(micros(location.created_at)),
                ))
                .on_conflict(dsl::location_id)
                .do_nothing()
                .execute(connection)?;
            if added == 0 {
                return Ok(Err(AddLocationError::Taken));
            }
            keep_answer(connection, once.as_ref())?;
            insert_audit_event(connection, &told)?;
            Ok(Ok(()))
        });
        added.await.map_err(StorageError::from)?
    }

    async fn find_location(&self, scope: Scope, id: LocationId) -> Result<Option<Location>, StorageError> {
        let query = seen_by(scope).filter(locations::location_id.eq(id.to_string()));
        let row = self.read(move |connection| Ok(query.first::<LocationRow>(connection).optional()?));
        Ok(row.await?.map(LocationRow::location).transpose()?)
    }

    async fn rename_location(
        &self,
        scope: Scope,
        id: LocationId,
        name: &Name,
        told: &AuditEvent,
    ) -> Result<Option<Location>, StorageError> {
        use locations::dsl;
        let (name, told) = (name.clone(), told.clone());
        let row = self.write(move |connection| {
            let seen = || seen_by(scope).filter(dsl::location_id.eq(id.to_string()));
            let renamed =
                diesel::update(dsl::locations.filter(dsl::location_id.eq_any(seen().select(dsl::location_id))))
                    .set(dsl::name.eq(name.as_str()))
                    .execute(connection)?;
            if renamed == 0 {
                return Ok(None);
            }
            insert_audit_event(connection, &told)?;
            Ok(Some(seen().first::<LocationRow>(connection)?))
        });
        Ok(row.await?.map(LocationRow::location).transpose()?)
    }

    async fn list_locations(&self, page: &LocationPage) -> Result<Vec<Location>, StorageError> {
        use locations::dsl;
        let mut query = seen_by(page.scope).order(dsl::location_id).limit(page.limit.into());
        if let Some(merchant) = page.merchant_id {
            query = query.filter(dsl::merchant_id.eq(merchant.to_string()));
        }
        if let Some(after) = page.after {
            query = query.filter(dsl::location_id.gt(after.to_string()));
        }
        let rows = self.read(move |connection| Ok(query.load::<LocationRow>(connection)?));
        Ok(rows.await?.into_iter().map(LocationRow::location).collect::<Result<_, _>>()?)
    }
}
