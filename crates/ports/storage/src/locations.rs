use async_trait::async_trait;
use pos_domain::{AuditEvent, Location, LocationId, MerchantId, Name, Scope};

use crate::{KeptAnswer, Once, StorageError};

/// Keeps the places where merchants' terminals stand. Every call says on whose behalf ([`Scope`]), and what is not that
/// party's is not found. What changes is put on record in the same transaction.
#[async_trait]
pub trait LocationRepository: Send + Sync {
    /// Makes a location known, once if asked to, as [`FleetRepository::create`](crate::FleetRepository::create) does.
    ///
    /// # Errors
    /// In this order: [`AddLocationError::Answered`], [`AddLocationError::UnknownMerchant`] when the scope does not see
    /// the merchant or it is not there, [`AddLocationError::Taken`] when the id is.
    async fn add_location(
        &self,
        scope: Scope,
        location: &Location,
        once: Option<&Once>,
        told: &AuditEvent,
    ) -> Result<(), AddLocationError>;

    /// The location of this id, if the scope sees its merchant.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_location(&self, scope: Scope, id: LocationId) -> Result<Option<Location>, StorageError>;

    /// Gives a location another name and answers it; `None`, and nothing on record, when the scope does not see it.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn rename_location(
        &self,
        scope: Scope,
        id: LocationId,
        name: &Name,
        told: &AuditEvent,
    ) -> Result<Option<Location>, StorageError>;

    /// Locations in the order of their ids.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list_locations(&self, page: &LocationPage) -> Result<Vec<Location>, StorageError>;
}

/// Which locations to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocationPage {
    /// On whose behalf.
    pub scope: Scope,
    /// Only this merchant's.
    pub merchant_id: Option<MerchantId>,
    /// Only those whose id comes after this one: the last id of the page before.
    pub after: Option<LocationId>,
    /// At most so many.
    pub limit: u32,
}

/// Why a location was not made known.
#[derive(Debug, thiserror::Error)]
pub enum AddLocationError {
    /// The key of the call is kept, with this answer.
    #[error("the call was made before")]
    Answered(KeptAnswer),
    /// There is no such merchant for the scope.
    #[error("there is no such merchant")]
    UnknownMerchant,
    /// Another location has this id.
    #[error("the id is taken")]
    Taken,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
