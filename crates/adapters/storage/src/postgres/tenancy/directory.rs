//! Repository of resellers and merchants in PostgreSQL.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{MerchantId, Name, ResellerId, Scope};
use pos_domain::tenancy::{Merchant, Reseller};
use pos_port_storage::shared::{IdempotencyRecord, StorageError};
use pos_port_storage::tenancy::{AddPartyError, DirectoryRepository, MerchantPage};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::connection::PgConn;
use crate::postgres::pool::Rollback;
use crate::postgres::schema::{merchants, resellers};
use crate::postgres::shared::audit_insert::AuditColumns;
use crate::postgres::shared::idempotency::claim_key;
use crate::postgres::store::PgStore;
use crate::postgres::tenancy::statements::parties::{AddMerchant, AddReseller, RenameMerchant};
use crate::rows::tenancy::{self, party_columns};
use crate::visibility::visible_by_party;

type ResellerRow = tenancy::ResellerRow<Uuid, OffsetDateTime>;
type MerchantRow = tenancy::MerchantRow<Uuid, OffsetDateTime>;

#[async_trait]
impl DirectoryRepository for PgStore {
    async fn add_reseller(&self, reseller: &Reseller, audit: &AuditEvent) -> Result<(), AddPartyError> {
        let statement = AddReseller {
            reseller_id: reseller.id.0,
            name: reseller.name.as_str().to_owned(),
            created_at: reseller.created_at,
            audit: AuditColumns::from(audit),
        };
        let added = self.run(async |connection| statement.get_result::<i64>(connection).await).await;
        match added.map_err(StorageError::from)? {
            0 => Err(AddPartyError::Taken),
            _ => Ok(()),
        }
    }

    async fn rename_merchant(
        &self,
        scope: Scope,
        id: MerchantId,
        name: &Name,
        audit: &AuditEvent,
    ) -> Result<Option<Merchant>, StorageError> {
        let (own, parent) = match scope {
            Scope::Operator => (None, None),
            Scope::Of(party) => party_columns(party),
        };
        let statement = RenameMerchant {
            wanted: id.0,
            own,
            parent,
            new_name: name.as_str().to_owned(),
            audit: AuditColumns::from(audit),
        };
        let row: Option<MerchantRow> =
            self.run(async |connection| statement.get_result(connection).await.optional()).await?;
        Ok(row.map(MerchantRow::merchant).transpose()?)
    }

    async fn add_merchant(
        &self,
        merchant: &Merchant,
        record: Option<&IdempotencyRecord>,
        audit: &AuditEvent,
    ) -> Result<(), AddPartyError> {
        let statement = AddMerchant {
            merchant_id: merchant.id.0,
            reseller_id: merchant.reseller.map(|id| id.0),
            name: merchant.name.as_str().to_owned(),
            created_at: merchant.created_at,
            audit: AuditColumns::from(audit),
        };
        self.transact(async |connection: &mut PgConn| {
            if let Some(stored) = claim_key(connection, record).await? {
                return Err(Rollback::Refused(AddPartyError::Answered(stored)));
            }
            match statement.get_result::<(bool, bool)>(connection).await? {
                (true, _) => Ok(()),
                (false, true) => Err(Rollback::Refused(AddPartyError::Taken)),
                (false, false) => Err(Rollback::Refused(AddPartyError::UnknownReseller)),
            }
        })
        .await
    }

    async fn find_reseller(&self, id: ResellerId) -> Result<Option<Reseller>, StorageError> {
        let query = resellers::table.find(id.0);
        let row: Option<ResellerRow> = self.run(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(ResellerRow::reseller).transpose()?)
    }

    async fn find_merchant(&self, scope: Scope, id: MerchantId) -> Result<Option<Merchant>, StorageError> {
        use merchants::dsl;
        let mut query = dsl::merchants.filter(dsl::merchant_id.eq(id.0)).into_boxed();
        query = visible_by_party!(postgres, query, scope, merchants);
        let row: Option<MerchantRow> = self.run(async |connection| query.first(connection).await.optional()).await?;
        Ok(row.map(MerchantRow::merchant).transpose()?)
    }

    async fn list_resellers(&self, after: Option<ResellerId>, limit: u32) -> Result<Vec<Reseller>, StorageError> {
        use resellers::dsl;
        let mut query = dsl::resellers.order(dsl::reseller_id).limit(limit.into()).into_boxed();
        if let Some(after) = after {
            query = query.filter(dsl::reseller_id.gt(after.0));
        }
        let rows: Vec<ResellerRow> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(ResellerRow::reseller).collect::<Result<_, _>>()?)
    }

    async fn list_merchants(&self, page: &MerchantPage) -> Result<Vec<Merchant>, StorageError> {
        use merchants::dsl;
        let mut query = dsl::merchants.order(dsl::merchant_id).limit(page.limit.into()).into_boxed();
        query = visible_by_party!(postgres, query, page.scope, merchants);
        if let Some(after) = page.after {
            query = query.filter(dsl::merchant_id.gt(after.0));
        }
        let rows: Vec<MerchantRow> = self.run(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(MerchantRow::merchant).collect::<Result<_, _>>()?)
    }
}
