//! Location store port.

use async_trait::async_trait;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{LocationId, MerchantId, Name, Scope};
use pos_domain::tenancy::Location;

use crate::shared::{IdempotencyRecord, StorageError, StoredResponse};

/// Stores merchants' locations. Every call names a [`Scope`]; locations outside the scope are not found. A change
/// stores its audit event in the same transaction.
#[async_trait]
pub trait LocationRepository: Send + Sync {
    /// Creates a location, optionally idempotently, as [`FleetRepository::create`](crate::fleet::FleetRepository::create)
    /// does.
    ///
    /// # Errors
    /// In this order: [`AddLocationError::Answered`]; [`AddLocationError::UnknownMerchant`] if the merchant does not
    /// exist or is out of scope; [`AddLocationError::Taken`] if the id exists.
    async fn add_location(
        &self,
        scope: Scope,
        location: &Location,
        idempotency: Option<&IdempotencyRecord>,
        audit: &AuditEvent,
    ) -> Result<(), AddLocationError>;

    /// Returns the location with this id, if its merchant is in scope.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_location(&self, scope: Scope, id: LocationId) -> Result<Option<Location>, StorageError>;

    /// Renames a location and returns it; returns `None` and stores nothing if it is out of scope.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn rename_location(
        &self,
        scope: Scope,
        id: LocationId,
        name: &Name,
        audit: &AuditEvent,
    ) -> Result<Option<Location>, StorageError>;

    /// Returns locations in the order of their ids.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list_locations(&self, page: &LocationPage) -> Result<Vec<Location>, StorageError>;
}

/// Filter and page of a location list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocationPage {
    /// Scope of the caller.
    pub scope: Scope,
    /// Only this merchant's.
    pub merchant_id: Option<MerchantId>,
    /// Only those with an id greater than this one: the last id of the previous page.
    pub after: Option<LocationId>,
    /// Maximum number of locations.
    pub limit: u32,
}

/// Why a location was not created.
#[derive(Debug, thiserror::Error)]
pub enum AddLocationError {
    /// A request with this key was already processed, with this response.
    #[error("a request with this Idempotency-Key was already processed")]
    Answered(StoredResponse),
    /// The merchant does not exist or is out of scope.
    #[error("there is no such merchant")]
    UnknownMerchant,
    /// The id already exists.
    #[error("the id is taken")]
    Taken,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
