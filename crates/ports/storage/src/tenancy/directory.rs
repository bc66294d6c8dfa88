//! Directory port: resellers and merchants.

use async_trait::async_trait;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{MerchantId, Name, ResellerId, Scope};
use pos_domain::tenancy::{Merchant, Reseller};

use crate::shared::{IdempotencyRecord, StorageError, StoredResponse};

/// Stores resellers and merchants.
///
/// Readers of merchants name a [`Scope`]; merchants outside the scope are not found. A change stores its audit event in
/// the same transaction.
#[async_trait]
pub trait DirectoryRepository: Send + Sync {
    /// Creates a reseller and stores `audit`.
    ///
    /// # Errors
    /// [`AddPartyError::Taken`] if the id exists.
    async fn add_reseller(&self, reseller: &Reseller, audit: &AuditEvent) -> Result<(), AddPartyError>;

    /// Creates a merchant and stores `audit`, optionally idempotently, as
    /// [`FleetRepository::create`](crate::fleet::FleetRepository::create) does. Devices may have been provisioned for its id
    /// before.
    ///
    /// # Errors
    /// In this order: [`AddPartyError::Answered`]; [`AddPartyError::UnknownReseller`] if its reseller does not exist;
    /// [`AddPartyError::Taken`] if the id exists.
    async fn add_merchant(
        &self,
        merchant: &Merchant,
        idempotency: Option<&IdempotencyRecord>,
        audit: &AuditEvent,
    ) -> Result<(), AddPartyError>;

    /// Renames a merchant, stores `audit`, and returns the merchant; returns `None` and stores nothing if it is out of
    /// scope.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn rename_merchant(
        &self,
        scope: Scope,
        id: MerchantId,
        name: &Name,
        audit: &AuditEvent,
    ) -> Result<Option<Merchant>, StorageError>;

    /// Returns the reseller with this id. There is no scope, because resellers' names are not secret to their business
    /// partners.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_reseller(&self, id: ResellerId) -> Result<Option<Reseller>, StorageError>;

    /// Returns the merchant with this id, if it is in scope.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_merchant(&self, scope: Scope, id: MerchantId) -> Result<Option<Merchant>, StorageError>;

    /// Returns resellers after this id, in the order of their ids, at most `limit`. For an operator.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list_resellers(&self, after: Option<ResellerId>, limit: u32) -> Result<Vec<Reseller>, StorageError>;

    /// Returns the merchants in scope, in the order of their ids.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list_merchants(&self, page: &MerchantPage) -> Result<Vec<Merchant>, StorageError>;
}

/// Page of a merchant list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MerchantPage {
    /// Scope of the caller.
    pub scope: Scope,
    /// Only those with an id greater than this one: the last id of the previous page.
    pub after: Option<MerchantId>,
    /// Maximum number of merchants.
    pub limit: u32,
}

/// Why a reseller or a merchant was not created.
#[derive(Debug, thiserror::Error)]
pub enum AddPartyError {
    /// A request with this key was already processed, with this response.
    #[error("a request with this Idempotency-Key was already processed")]
    Answered(StoredResponse),
    /// The id already exists.
    #[error("the id is taken")]
    Taken,
    /// The merchant's reseller does not exist.
    #[error("there is no such reseller")]
    UnknownReseller,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
