//! Resellers and merchants in PostgreSQL.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use pos_domain::{AuditEvent, Merchant, MerchantId, Name, Party, Reseller, ResellerId, Scope};
use pos_port_storage::{AddPartyError, DirectoryRepository, MerchantPage, Once, StorageError};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::PgStore;
use super::connection::Stop;
use super::link::PgLink;
use super::once::claim_key;
use super::schema::{merchants, resellers};
use super::tenancy_statements::{AddMerchant, AddReseller, RenameMerchant};
use super::told::Told;
use crate::storage::tenancy_rows::{self, party_columns};

type ResellerRow = tenancy_rows::ResellerRow<Uuid, OffsetDateTime>;
type MerchantRow = tenancy_rows::MerchantRow<Uuid, OffsetDateTime>;

#[async_trait]
impl DirectoryRepository for PgStore {
    async fn add_reseller(&self, reseller: &Reseller, told: &AuditEvent) -> Result<(), AddPartyError> {
        let statement = AddReseller {
            reseller_id: reseller.id.0,
            name: reseller.name.as_str().to_owned(),
            created_at: reseller.created_at,
            told: Told::from(told),
        };
        let added = async { run!(self, |connection| statement.get_result::<i64>(connection)) };
        match added.await.map_err(StorageError::from)? {
            0 => Err(AddPartyError::Taken),
            _ => Ok(()),
        }
    }

    async fn rename_merchant(
        &self,
        scope: Scope,
        id: MerchantId,
        name: &Name,
        told: &AuditEvent,
    ) -> Result<Option<Merchant>, StorageError> {
        let (own, parent) = match scope {
            Scope::Operator => (None, None),
            Scope::Of(party) => party_columns(party),
        };
        let statement =
            RenameMerchant { wanted: id.0, own, parent, new_name: name.as_str().to_owned(), told: Told::from(told) };
        let row: Option<MerchantRow> =
            run!(self, |connection| async { statement.get_result(connection).await.optional() })?;
        Ok(row.map(MerchantRow::merchant).transpose()?)
    }

    async fn add_merchant(
        &self,
        merchant: &Merchant,
        once: Option<&Once>,
        told: &AuditEvent,
    ) -> Result<(), AddPartyError> {
        let statement = AddMerchant {
            merchant_id: merchant.id.0,
            reseller_id: merchant.reseller.map(|id| id.0),
            name: merchant.name.as_str().to_owned(),
            created_at: merchant.created_at,
            told: Told::from(told),
        };
        transact!(self, async |connection: &mut PgLink| {
            if let Some(kept) = claim_key(connection, once).await? {
                return Err(Stop::Refused(AddPartyError::Answered(kept)));
            }
            match statement.get_result::<(bool, bool)>(connection).await? {
                (true, _) => Ok(()),
                (false, true) => Err(Stop::Refused(AddPartyError::Taken)),
                (false, false) => Err(Stop::Refused(AddPartyError::UnknownReseller)),
            }
        })
    }

    async fn find_reseller(&self, id: ResellerId) -> Result<Option<Reseller>, StorageError> {
        let query = resellers::table.find(id.0);
        let row: Option<ResellerRow> = run!(self, |connection| async { query.first(connection).await.optional() })?;
        Ok(row.map(ResellerRow::reseller).transpose()?)
    }

    async fn find_merchant(&self, scope: Scope, id: MerchantId) -> Result<Option<Merchant>, StorageError> {
        use merchants::dsl;
        let mut query = dsl::merchants.filter(dsl::merchant_id.eq(id.0)).into_boxed();
        match scope {
            Scope::Operator => {}
            Scope::Of(Party::Merchant(own)) => query = query.filter(dsl::merchant_id.eq(own.0)),
            Scope::Of(Party::Reseller(parent)) => query = query.filter(dsl::reseller_id.eq(parent.0)),
        }
        let row: Option<MerchantRow> = run!(self, |connection| async { query.first(connection).await.optional() })?;
        Ok(row.map(MerchantRow::merchant).transpose()?)
    }

    async fn list_resellers(&self, after: Option<ResellerId>, limit: u32) -> Result<Vec<Reseller>, StorageError> {
        use resellers::dsl;
        let mut query = dsl::resellers.order(dsl::reseller_id).limit(limit.into()).into_boxed();
        if let Some(after) = after {
            query = query.filter(dsl::reseller_id.gt(after.0));
        }
        let rows: Vec<ResellerRow> = run!(self, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(ResellerRow::reseller).collect::<Result<_, _>>()?)
    }

    async fn list_merchants(&self, page: &MerchantPage) -> Result<Vec<Merchant>, StorageError> {
        use merchants::dsl;
        let mut query = dsl::merchants.order(dsl::merchant_id).limit(page.limit.into()).into_boxed();
        match page.scope {
            Scope::Operator => {}
            Scope::Of(Party::Merchant(own)) => query = query.filter(dsl::merchant_id.eq(own.0)),
            Scope::Of(Party::Reseller(parent)) => query = query.filter(dsl::reseller_id.eq(parent.0)),
        }
        if let Some(after) = page.after {
            query = query.filter(dsl::merchant_id.gt(after.0));
        }
        let rows: Vec<MerchantRow> = run!(self, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(MerchantRow::merchant).collect::<Result<_, _>>()?)
    }
}
