//! Failure counter of claims.

use async_trait::async_trait;
use pos_domain::pairing::RefusedClaim;
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptCounts, AttemptLimit};

use crate::shared::StorageError;

/// Counts failed claims. The counts are shared by all replicas and survive a restart.
#[async_trait]
pub trait ClaimFailureRepository: Send + Sync {
    /// Returns the windows of the claimant's merchant and user, as last recorded. They may have ended; [`AttemptLimit`]
    /// ignores those.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn attempt_counts(&self, claimant: &Claimant) -> Result<AttemptCounts, StorageError>;

    /// Counts a refused claim for its merchant and for its user by the rule of [`AttemptLimit::count`], stores its
    /// audit event as [`AttemptLimit::audit_decision`] says, and returns both windows after it. Atomic: concurrent callers
    /// get different counts, and the audit event is stored with the count.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then nothing was stored, or all of it.
    async fn record(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<AttemptCounts, StorageError>;

    /// Stores the audit event of a claim that the limit rejected before it was counted ([`RefusedClaim::as_too_many`]),
    /// if it is the first one in its merchant's or its user's window. It then increments the windows that are exactly
    /// full ([`AttemptLimit::is_just_full`]), so that the next rejection is known not to be the first. Otherwise it
    /// changes nothing. Returns whether the event was stored; of concurrent callers exactly one gets `true`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; then nothing was stored, or all of it.
    async fn record_blocked(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<bool, StorageError>;
}
