use async_trait::async_trait;
use pos_domain::{ClaimLimit, ClaimStanding, Claimant, RefusedClaim};

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

    /// Counts a refused claim for its merchant and for its user, by the rule of [`ClaimLimit::count`], puts it on record
    /// as [`ClaimLimit::record_of`] says, and tells how both stand after it. Atomic: of callers that record at once,
    /// each is told a different count, and what is counted is on record.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then nothing of it was kept, or all.
    async fn record(&self, refused: &RefusedClaim, limit: &ClaimLimit) -> Result<ClaimStanding, StorageError>;

    /// Puts a claim that the limit refused before it was counted on record, as [`RefusedClaim::as_too_many`], if it is
    /// the first of its merchant's or its user's window: then it counts the windows that are just full
    /// ([`ClaimLimit::is_just_full`]) up by one, which is how the next one is known not to be the first. Otherwise
    /// changes nothing. Answers whether it was put on record; of callers at once, one is told so.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then nothing of it was kept, or all.
    async fn record_blocked(&self, refused: &RefusedClaim, limit: &ClaimLimit) -> Result<bool, StorageError>;
}
