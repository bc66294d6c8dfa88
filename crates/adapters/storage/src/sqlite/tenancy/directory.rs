//! Repository of resellers and merchants in SQLite. A write holds the write lock from its start, so its reads stay valid.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{MerchantId, Name, Party, ResellerId, Scope};
use pos_domain::tenancy::{Merchant, Reseller};
use pos_port_storage::shared::{IdempotencyRecord, StorageError};
use pos_port_storage::tenancy::{AddPartyError, DirectoryRepository, MerchantPage};

use crate::engine_error::EngineError;
use crate::rows::tenancy;
use crate::sqlite::instants::micros;
use crate::sqlite::schema::{merchants, resellers};
use crate::sqlite::shared::audit_insert::insert_audit_event;
use crate::sqlite::shared::idempotency::{find_earlier_response, store_response};
use crate::sqlite::store::SqliteStore;
use crate::sqlite::tenancy::parties::party_exists;
use crate::visibility::visible_by_party;

type ResellerRow = tenancy::ResellerRow<String, i64>;
type MerchantRow = tenancy::MerchantRow<String, i64>;

fn load_merchant(
    connection: &mut SqliteConnection,
    scope: Scope,
    id: MerchantId,
) -> Result<Option<MerchantRow>, EngineError> {
    use merchants::dsl;
    let mut query = dsl::merchants.filter(dsl::merchant_id.eq(id.to_string())).into_boxed();
    query = visible_by_party!(sqlite, query, scope, merchants);
    Ok(query.first(connection).optional()?)
}

#[async_trait]
impl DirectoryRepository for SqliteStore {
    async fn add_reseller(&self, reseller: &Reseller, audit: &AuditEvent) -> Result<(), AddPartyError> {
        use resellers::dsl;
        let (reseller, audit) = (reseller.clone(), audit.clone());
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
            insert_audit_event(connection, &audit)?;
            Ok(Ok(()))
        });
        added.await.map_err(StorageError::from)?
    }

    async fn rename_merchant(
        &self,
        scope: Scope,
        id: MerchantId,
        name: &Name,
        audit: &AuditEvent,
    ) -> Result<Option<Merchant>, StorageError> {
        use merchants::dsl;
        let (name, audit) = (name.clone(), audit.clone());
        let renamed = self.write(move |connection| {
            let Some(row) = load_merchant(connection, scope, id)? else { return Ok(None) };
            let merchant = Merchant { name, ..row.merchant()? };
            let new = dsl::name.eq(merchant.name.as_str());
            diesel::update(dsl::merchants.find(id.to_string())).set(new).execute(connection)?;
            insert_audit_event(connection, &audit)?;
            Ok(Some(merchant))
        });
        Ok(renamed.await?)
    }

    async fn add_merchant(
        &self,
        merchant: &Merchant,
        record: Option<&IdempotencyRecord>,
        audit: &AuditEvent,
    ) -> Result<(), AddPartyError> {
        use merchants::dsl;
        let (merchant, record, audit) = (merchant.clone(), record.cloned(), audit.clone());
        let added = self.write(move |connection| {
            if let Some(stored) = find_earlier_response(connection, record.as_ref())? {
                return Ok(Err(AddPartyError::Answered(stored)));
            }
            if let Some(reseller) = merchant.reseller
                && !party_exists(connection, Party::Reseller(reseller))?
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
            store_response(connection, record.as_ref())?;
            insert_audit_event(connection, &audit)?;
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
            query = visible_by_party!(sqlite, query, page.scope, merchants);
            if let Some(after) = page.after {
                query = query.filter(dsl::merchant_id.gt(after.to_string()));
            }
            Ok(query.load::<MerchantRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(MerchantRow::merchant).collect::<Result<_, _>>()?)
    }
}
