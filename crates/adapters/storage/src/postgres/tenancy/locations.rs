//! Repository of locations in PostgreSQL.

use async_trait::async_trait;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{LocationId, Name, Scope};
use pos_domain::tenancy::Location;
use pos_port_storage::shared::{IdempotencyRecord, StorageError};
use pos_port_storage::tenancy::{AddLocationError, LocationPage, LocationRepository};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::connection::PgConn;
use crate::postgres::pool::Rollback;
use crate::postgres::schema::{locations, merchants};
use crate::postgres::shared::audit_insert::insert_audit_event;
use crate::postgres::shared::idempotency::claim_key;
use crate::postgres::store::PgStore;
use crate::rows::fleet;
use crate::visibility::{visible_by_merchant, visible_by_party};

type LocationRow = fleet::LocationRow<Uuid, OffsetDateTime>;

/// The locations that are visible to a scope.
fn visible_to(scope: Scope) -> locations::BoxedQuery<'static, Pg> {
    use locations::dsl;
    visible_by_merchant!(postgres, dsl::locations.into_boxed(), scope, dsl::merchant_id)
}

#[async_trait]
impl LocationRepository for PgStore {
    async fn add_location(
        &self,
        scope: Scope,
        location: &Location,
        record: Option<&IdempotencyRecord>,
        audit: &AuditEvent,
    ) -> Result<(), AddLocationError> {
        use locations::dsl;
        let merchant = merchants::table.filter(merchants::merchant_id.eq(location.merchant_id.0)).into_boxed();
        let merchant = visible_by_party!(postgres, merchant, scope, merchants);
        self.transact(async |connection: &mut PgConn| {
            if let Some(stored) = claim_key(connection, record).await? {
                return Err(Rollback::Refused(AddLocationError::Answered(stored)));
            }
            if merchant.count().get_result::<i64>(connection).await? == 0 {
                return Err(Rollback::Refused(AddLocationError::UnknownMerchant));
            }
            let new = diesel::insert_into(dsl::locations).values((
                dsl::location_id.eq(location.id.0),
                dsl::merchant_id.eq(location.merchant_id.0),
                dsl::name.eq(location.name.as_str()),
                dsl::created_at.eq(location.created_at),
            ));
            if new.on_conflict(dsl::location_id).do_nothing().execute(connection).await? == 0 {
                return Err(Rollback::Refused(AddLocationError::Taken));
            }
            Ok(insert_audit_event(connection, audit).await?)
        })
        .await
    }

    async fn find_location(&self, scope: Scope, id: LocationId) -> Result<Option<Location>, StorageError> {
        let query = visible_to(scope).filter(locations::location_id.eq(id.0));
        let row: Option<LocationRow> = self.run(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(LocationRow::location).transpose()?)
    }

    async fn rename_location(
        &self,
        scope: Scope,
        id: LocationId,
        name: &Name,
        audit: &AuditEvent,
    ) -> Result<Option<Location>, StorageError> {
        use locations::dsl;
        let seen = visible_to(scope).filter(dsl::location_id.eq(id.0)).select(dsl::location_id);
        let rename = diesel::update(dsl::locations.filter(dsl::location_id.eq_any(seen)));
        let row: Result<Option<LocationRow>, StorageError> = self
            .transact(async |connection: &mut PgConn| {
                let renamed = rename.set(dsl::name.eq(name.as_str())).get_result(connection).await.optional()?;
                if renamed.is_some() {
                    insert_audit_event(connection, audit).await?;
                }
                Ok(renamed)
            })
            .await;
        Ok(row?.map(LocationRow::location).transpose()?)
    }

    async fn list_locations(&self, page: &LocationPage) -> Result<Vec<Location>, StorageError> {
        use locations::dsl;
        let mut query = visible_to(page.scope).order(dsl::location_id).limit(page.limit.into());
        if let Some(merchant) = page.merchant_id {
            query = query.filter(dsl::merchant_id.eq(merchant.0));
        }
        if let Some(after) = page.after {
            query = query.filter(dsl::location_id.gt(after.0));
        }
        let rows: Vec<LocationRow> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(LocationRow::location).collect::<Result<_, _>>()?)
    }
}
