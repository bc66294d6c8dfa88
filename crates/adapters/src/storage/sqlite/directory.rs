//! Resellers and merchants in SQLite. A write holds the write lock from its start, so what it looks at stays so.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{AuditEvent, Merchant, MerchantId, Name, Party, Reseller, ResellerId, Scope};
use pos_port_storage::{AddPartyError, DirectoryRepository, MerchantPage, Once, StorageError};

use super::audit::insert_audit_event;
use super::once::{answered, keep_answer};
use super::schema::{merchants, resellers};
use super::tenancy::knows;
use super::{SqliteStore, micros};
use crate::storage::failure::Failure;
use crate::storage::tenancy_rows;

type ResellerRow = tenancy_rows::ResellerRow<String, i64>;
type MerchantRow = tenancy_rows::MerchantRow<String, i64>;

fn load_merchant(
    connection: &mut SqliteConnection,
    scope: Scope,
    id: MerchantId,
) -> Result<Option<MerchantRow>, Failure> {
    use merchants::dsl;
    let mut query = dsl::merchants.filter(dsl::merchant_id.eq(id.to_string())).into_boxed();
    match scope {
        Scope::Operator => {}
        Scope::Of(Party::Merchant(own)) => query = query.filter(dsl::merchant_id.eq(own.to_string())),
        Scope::Of(Party::Reseller(parent)) => query = query.filter(dsl::reseller_id.eq(parent.to_string())),
    }
    Ok(query.first(connection).optional()?)
}

#[async_trait]
impl DirectoryRepository for SqliteStore {
    async fn add_reseller(&self, reseller: &Reseller, told: &AuditEvent) -> Result<(), AddPartyError> {
        use resellers::dsl;
        let (reseller, told) = (reseller.clone(), told.clone());
        let added = self.write(move |connection| {
            let added = diesel::insert_into(dsl::resellers)
                .values((
                    dsl::reseller_id.eq(reseller.id.to_string()),
                    dsl::name.eq(reseller.name.as_str()),
                    dsl::created_at.eq(micros(reseller.created_at)),
                ))
                .on_conflict(dsl::reseller_id)
                .do_nothing()
                .execute(connection)?;
            if added == 0 {
                return Ok(Err(AddPartyError::Taken));
            }
            insert_audit_event(connection, &told)?;
            Ok(Ok(()))
        });
        added.await.map_err(StorageError::from)?
    }

    async fn rename_merchant(
        &self,
        scope: Scope,
        id: MerchantId,
        name: &Name,
        told: &AuditEvent,
    ) -> Result<Option<Merchant>, StorageError> {
        use merchants::dsl;
        let (name, told) = (name.clone(), told.clone());
        let renamed = self.write(move |connection| {
            let Some(row) = load_merchant(connection, scope, id)? else { return Ok(None) };
            let merchant = Merchant { name, ..row.merchant()? };
            let new = dsl::name.eq(merchant.name.as_str());
            diesel::update(dsl::merchants.find(id.to_string())).set(new).execute(connection)?;
            insert_audit_event(connection, &told)?;
            Ok(Some(merchant))
        });
        Ok(renamed.await?)
    }

    async fn add_merchant(
        &self,
        merchant: &Merchant,
        once: Option<&Once>,
        told: &AuditEvent,
    ) -> Result<(), AddPartyError> {
        use merchants::dsl;
        let (merchant, once, told) = (merchant.clone(), once.cloned(), told.clone());
        let added = self.write(move |connection| {
            if let Some(kept) = answered(connection, once.as_ref())? {
                return Ok(Err(AddPartyError::Answered(kept)));
            }
            if let Some(reseller) = merchant.reseller
                && !knows(connection, Party::Reseller(reseller))?
            {
                return Ok(Err(AddPartyError::UnknownReseller));
            }
            let added = diesel::insert_into(dsl::merchants)
                .values((
                    dsl::merchant_id.eq(merchant.id.to_string()),
                    dsl::reseller_id.eq(merchant.reseller.map(|id| id.to_string())),
                    dsl::name.eq(merchant.name.as_str()),
                    dsl::created_at.eq(micros(merchant.created_at)),
                ))
                .on_conflict(dsl::merchant_id)
                .do_nothing()
                .execute(connection)?;
            if added == 0 {
                return Ok(Err(AddPartyError::Taken));
            }
            keep_answer(connection, once.as_ref())?;
            insert_audit_event(connection, &told)?;
            Ok(Ok(()))
        });
        added.await.map_err(StorageError::from)?
    }

    async fn find_reseller(&self, id: ResellerId) -> Result<Option<Reseller>, StorageError> {
        let row = self.read(move |connection| {
            Ok(resellers::table.find(id.to_string()).first::<ResellerRow>(connection).optional()?)
        });
        Ok(row.await?.map(ResellerRow::reseller).transpose()?)
    }

    async fn find_merchant(&self, scope: Scope, id: MerchantId) -> Result<Option<Merchant>, StorageError> {
        let row = self.read(move |connection| load_merchant(connection, scope, id)).await?;
        Ok(row.map(MerchantRow::merchant).transpose()?)
    }

    async fn list_resellers(&self, after: Option<ResellerId>, limit: u32) -> Result<Vec<Reseller>, StorageError> {
        use resellers::dsl;
        let rows = self.read(move |connection| {
            let mut query = dsl::resellers.order(dsl::reseller_id).limit(limit.into()).into_boxed();
            if let Some(after) = after {
                query = query.filter(dsl::reseller_id.gt(after.to_string()));
            }
            Ok(query.load::<ResellerRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(ResellerRow::reseller).collect::<Result<_, _>>()?)
    }

    async fn list_merchants(&self, page: &MerchantPage) -> Result<Vec<Merchant>, StorageError> {
        use merchants::dsl;
        let page = *page;
        let rows = self.read(move |connection| {
            let mut query = dsl::merchants.order(dsl::merchant_id).limit(page.limit.into()).into_boxed();
            match page.scope {
                Scope::Operator => {}
                Scope::Of(Party::Merchant(own)) => query = query.filter(dsl::merchant_id.eq(own.to_string())),
                Scope::Of(Party::Reseller(parent)) => query = query.filter(dsl::reseller_id.eq(parent.to_string())),
            }
            if let Some(after) = page.after {
                query = query.filter(dsl::merchant_id.gt(after.to_string()));
            }
            Ok(query.load::<MerchantRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(MerchantRow::merchant).collect::<Result<_, _>>()?)
    }
}
