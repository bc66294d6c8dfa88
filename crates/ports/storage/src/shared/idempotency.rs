//! Idempotency port: stored responses of idempotent requests.

use async_trait::async_trait;
use pos_domain::shared::{Fingerprint, IdempotencyKey, Party};
use time::OffsetDateTime;

use crate::shared::StorageError;

/// Reads the stored responses of idempotent requests by idempotency key. The repository that creates or saves writes
/// them in the same transaction: a crash leaves both or none. Of concurrent requests with one key, on any replica, one
/// is processed and the others find its response.
#[async_trait]
pub trait IdempotencyRepository: Send + Sync {
    /// Returns the response stored under a party's key, unless it is expired at `now`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<StoredResponse>, StorageError>;
}

/// Idempotency key and response of a request, to store if the request succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Owner of the key. Two parties may use the same key.
    pub party: Party,
    /// Value of `Idempotency-Key`.
    pub key: IdempotencyKey,
    /// Fingerprint of the request.
    pub fingerprint: Fingerprint,
    /// Response to store: any text.
    pub answer: String,
    /// When the request is made; a key that is expired by then can be used again.
    pub at: OffsetDateTime,
    /// When the stored response expires.
    pub expires_at: OffsetDateTime,
}

/// Fingerprint and response of an earlier request with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Fingerprint of that request.
    pub fingerprint: Fingerprint,
    /// Response to that request.
    pub answer: String,
}
