use async_trait::async_trait;
use pos_domain::{AuditEvent, Merchant, MerchantId, Name, Reseller, ResellerId, Scope};

use crate::{KeptAnswer, Once, StorageError};

/// Keeps who is there: resellers and merchants.
///
/// Whoever reads merchants says on whose behalf ([`Scope`]); what is not that party's is not found. What changes is put
/// on record in the same transaction.
#[async_trait]
pub trait DirectoryRepository: Send + Sync {
    /// Makes a reseller known and puts `told` on record.
    ///
    /// # Errors
    /// [`AddPartyError::Taken`] when the id is.
    async fn add_reseller(&self, reseller: &Reseller, told: &AuditEvent) -> Result<(), AddPartyError>;

    /// Makes a merchant known and puts `told` on record, once if asked to, as [`FleetRepository::create`](crate::FleetRepository::create) does.
    /// Devices may have been provisioned for its id before.
    ///
    /// # Errors
    /// In this order: [`AddPartyError::Answered`]; [`AddPartyError::UnknownReseller`] when it names a reseller that is
    /// not there; [`AddPartyError::Taken`] when the id is.
    async fn add_merchant(
        &self,
        merchant: &Merchant,
        once: Option<&Once>,
        told: &AuditEvent,
    ) -> Result<(), AddPartyError>;

    /// Gives a merchant another name, puts `told` on record, and answers it; `None`, and nothing on record, when the scope
    /// does not see it.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn rename_merchant(
        &self,
        scope: Scope,
        id: MerchantId,
        name: &Name,
        told: &AuditEvent,
    ) -> Result<Option<Merchant>, StorageError>;

    /// The reseller of this id. Resellers' names are no secret among those who deal with them, so there is no scope.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_reseller(&self, id: ResellerId) -> Result<Option<Reseller>, StorageError>;

    /// The merchant of this id, if the scope sees it.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_merchant(&self, scope: Scope, id: MerchantId) -> Result<Option<Merchant>, StorageError>;

    /// Every reseller after this id, in the order of their ids, at most `limit`. For an operator.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list_resellers(&self, after: Option<ResellerId>, limit: u32) -> Result<Vec<Reseller>, StorageError>;

    /// The merchants that a scope sees, in the order of their ids.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list_merchants(&self, page: &MerchantPage) -> Result<Vec<Merchant>, StorageError>;
}

/// Which merchants to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MerchantPage {
    /// On whose behalf.
    pub scope: Scope,
    /// Only those whose id comes after this one: the last id of the page before.
    pub after: Option<MerchantId>,
    /// At most so many.
    pub limit: u32,
}

/// Why a reseller or a merchant was not made known.
#[derive(Debug, thiserror::Error)]
pub enum AddPartyError {
    /// The key of the call is kept, with this answer.
    #[error("the call was made before")]
    Answered(KeptAnswer),
    /// Another has this id.
    #[error("the id is taken")]
    Taken,
    /// No reseller has the id that the merchant names.
    #[error("there is no such reseller")]
    UnknownReseller,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
