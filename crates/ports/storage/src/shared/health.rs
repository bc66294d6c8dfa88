//! Reachability of the store.

use async_trait::async_trait;

use super::StorageError;

/// Health check of a store.
#[async_trait]
pub trait StorageHealth: Send + Sync {
    /// Makes one round trip to the store, within the adapter's own time limit.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] if it does not respond.
    async fn ping(&self) -> Result<(), StorageError>;
}
