use async_trait::async_trait;
use pos_domain::{ApiClient, ApiClientId, AuditEvent, ClaimLimit, FailureWindow, GrantId, Scope, SecretHash};
use time::OffsetDateTime;

use crate::StorageError;

/// Keeps API clients, each with the hash of its present secret. What changes is put on record in the same transaction, and
/// what does not change leaves nothing there.
#[async_trait]
pub trait ApiClientRepository: Send + Sync {
    /// Makes a client known and puts `told` on record.
    ///
    /// # Errors
    /// [`GrantError::Taken`] when its id or its grant is, [`GrantError::UnknownParty`] when the merchant or the
    /// reseller is not there.
    async fn add(&self, client: &ApiClient, secret: &SecretHash, told: &AuditEvent) -> Result<(), GrantError>;

    /// The client of this id, revoked or not, with the hash its secret is held against. No scope: whoever asks does
    /// not know yet on whose behalf, which is what the secret is to show.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(&self, id: &ApiClientId) -> Result<Option<(ApiClient, SecretHash)>, StorageError>;

    /// Gives a client that is not revoked another secret, under another grant, puts `told` on record, and tells whether
    /// there was one. Its sessions are over from this moment on, for every reader.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn rotate(
        &self,
        id: &ApiClientId,
        grant: GrantId,
        secret: &SecretHash,
        told: &AuditEvent,
    ) -> Result<bool, StorageError>;

    /// Revokes a client for good, puts `told` on record, and tells whether there was one that was not revoked. Of callers
    /// at once, one is told so. Its sessions are over from this moment on, for every reader.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn revoke(&self, id: &ApiClientId, at: OffsetDateTime, told: &AuditEvent) -> Result<bool, StorageError>;

    /// The clients of the party a scope stands for, or of all, in the order of their ids; at most `limit`, after this
    /// id.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list(&self, scope: Scope, after: Option<&ApiClientId>, limit: u32)
    -> Result<Vec<ApiClient>, StorageError>;
}

/// Counts wrong secrets, so that every replica sees the same number and a restart forgets none.
#[async_trait]
pub trait ClientFailureRepository: Send + Sync {
    /// The window of this subject, as last recorded; one that has passed may still be told.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn window(&self, subject: &str) -> Result<Option<FailureWindow>, StorageError>;

    /// Counts one failure by the rule of [`ClaimLimit::count`], and tells the window after it. Atomic: of callers that
    /// record at once, each is told a different count. A subject has 1 to 255 bytes.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn record(
        &self,
        subject: &str,
        limit: &ClaimLimit,
        now: OffsetDateTime,
    ) -> Result<FailureWindow, StorageError>;
}

/// Why a membership or a client was not kept.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The id is another's.
    #[error("the id is taken")]
    Taken,
    /// The merchant or the reseller is not there.
    #[error("there is no such merchant or reseller")]
    UnknownParty,
    /// The user's membership of the party is another by now: look again and decide anew.
    #[error("the membership changed meanwhile")]
    Changed,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
