use async_trait::async_trait;
use pos_domain::{ClaimLimit, ClaimStanding, Claimant};
use time::OffsetDateTime;

use crate::StorageError;

/// Counts failed claims, so that every replica sees the same number and a restart forgets none.
#[async_trait]
pub trait ClaimFailureRepository: Send + Sync {
    /// How the claimant's merchant and the claimant's user stand, as last recorded. Windows that have passed may still
    /// be told; [`ClaimLimit`] knows what to make of them.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn standing(&self, claimant: &Claimant) -> Result<ClaimStanding, StorageError>;

    /// Counts one failure for the merchant and one for the user, by the rule of [`ClaimLimit::count`], and tells how
    /// both stand after it. Atomic: of callers that record at once, each is told a different count.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then neither count has changed, or both have.
    async fn record(
        &self,
        claimant: &Claimant,
        limit: &ClaimLimit,
        now: OffsetDateTime,
    ) -> Result<ClaimStanding, StorageError>;
}
