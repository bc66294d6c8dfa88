//! Repository of locations in SQLite.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{LocationId, Name, Scope};
use pos_domain::tenancy::Location;
use pos_port_storage::shared::{IdempotencyRecord, StorageError};
use pos_port_storage::tenancy::{AddLocationError, LocationPage, LocationRepository};

use crate::rows::fleet;
use crate::sqlite::instants::micros;
use crate::sqlite::schema::locations;
use crate::sqlite::shared::audit_insert::insert_audit_event;
use crate::sqlite::shared::idempotency::{find_earlier_response, store_response};
use crate::sqlite::shared::visibility::is_merchant_visible;
use crate::sqlite::store::SqliteStore;
use crate::visibility::visible_by_merchant;

type LocationRow = fleet::LocationRow<String, i64>;

/// The locations that are visible to a scope.
fn visible_to(scope: Scope) -> locations::BoxedQuery<'static, Sqlite> {
    use locations::dsl;
    visible_by_merchant!(sqlite, dsl::locations.into_boxed(), scope, dsl::merchant_id)
}

#[async_trait]
impl LocationRepository for SqliteStore {
    async fn add_location(
        &self,
        scope: Scope,
        location: &Location,
        record: Option<&IdempotencyRecord>,
        audit: &AuditEvent,
    ) -> Result<(), AddLocationError> {
        use locations::dsl;
        let (location, record, audit) = (location.clone(), record.cloned(), audit.clone());
        let added = self.write(move |connection| {
            if let Some(stored) = find_earlier_response(connection, record.as_ref())? {
                return Ok(Err(AddLocationError::Answered(stored)));
            }
            let merchant = location.merchant_id;
            if !is_merchant_visible(connection, scope, merchant)? {
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
            store_response(connection, record.as_ref())?;
            insert_audit_event(connection, &audit)?;
            Ok(Ok(()))
        });
        added.await.map_err(StorageError::from)?
    }

    async fn find_location(&self, scope: Scope, id: LocationId) -> Result<Option<Location>, StorageError> {
        let query = visible_to(scope).filter(locations::location_id.eq(id.to_string()));
        let row = self.read(move |connection| Ok(query.first::<LocationRow>(connection).optional()?));
        Ok(row.await?.map(LocationRow::location).transpose()?)
    }

    async fn rename_location(
        &self,
        scope: Scope,
        id: LocationId,
        name: &Name,
        audit: &AuditEvent,
    ) -> Result<Option<Location>, StorageError> {
        use locations::dsl;
        let (name, audit) = (name.clone(), audit.clone());
        let row = self.write(move |connection| {
            let location = || visible_to(scope).filter(dsl::location_id.eq(id.to_string()));
            let renamed =
                diesel::update(dsl::locations.filter(dsl::location_id.eq_any(location().select(dsl::location_id))))
                    .set(dsl::name.eq(name.as_str()))
                    .execute(connection)?;
            if renamed == 0 {
                return Ok(None);
            }
            insert_audit_event(connection, &audit)?;
            Ok(Some(location().first::<LocationRow>(connection)?))
        });
        Ok(row.await?.map(LocationRow::location).transpose()?)
    }

    async fn list_locations(&self, page: &LocationPage) -> Result<Vec<Location>, StorageError> {
        use locations::dsl;
        let mut query = visible_to(page.scope).order(dsl::location_id).limit(page.limit.into());
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
