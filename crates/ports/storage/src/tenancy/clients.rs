//! API client store port, and the failure counter for client secrets.

use async_trait::async_trait;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{ApiClientId, AttemptLimit, FailureWindow, GrantId, Scope};
use pos_domain::tenancy::{ApiClient, SecretHash};
use time::OffsetDateTime;

use crate::shared::StorageError;

/// Stores API clients, each with the hash of its current secret. A change stores its audit event in the same
/// transaction; a refused change stores nothing.
#[async_trait]
pub trait ApiClientRepository: Send + Sync {
    /// Creates a client and stores `audit`.
    ///
    /// # Errors
    /// [`GrantError::Taken`] if its id or its grant is taken, [`GrantError::UnknownParty`] if the merchant or the
    /// reseller does not exist.
    async fn add(&self, client: &ApiClient, secret: &SecretHash, audit: &AuditEvent) -> Result<(), GrantError>;

    /// Returns the client with this id, revoked or not, and the hash of its secret. There is no scope: the caller is
    /// not authenticated yet.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(&self, id: &ApiClientId) -> Result<Option<(ApiClient, SecretHash)>, StorageError>;

    /// Replaces the secret and the grant of a client that is not revoked, stores `audit`, and returns whether there was
    /// one. Its sessions are invalid from then on, for every reader.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn rotate(
        &self,
        id: &ApiClientId,
        grant: GrantId,
        secret: &SecretHash,
        audit: &AuditEvent,
    ) -> Result<bool, StorageError>;

    /// Revokes a client permanently, stores `audit`, and returns whether there was an unrevoked one. Of concurrent
    /// callers exactly one gets `true`. Its sessions are invalid from then on, for every reader.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn revoke(&self, id: &ApiClientId, at: OffsetDateTime, audit: &AuditEvent) -> Result<bool, StorageError>;

    /// Returns the clients of the scope's party, or of all for an operator, in the order of their ids; at most `limit`,
    /// after this id.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list(&self, scope: Scope, after: Option<&ApiClientId>, limit: u32)
    -> Result<Vec<ApiClient>, StorageError>;
}

/// Counts wrong client secrets. The counts are shared by all replicas and survive a restart.
#[async_trait]
pub trait ClientFailureRepository: Send + Sync {
    /// Returns the subject's window as last recorded; it may have ended.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn window(&self, subject: &str) -> Result<Option<FailureWindow>, StorageError>;

    /// Counts one failure by the rule of [`AttemptLimit::count`] and returns the window after it. Atomic: concurrent
    /// callers get different counts. A subject has 1 to 255 bytes.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn record(
        &self,
        subject: &str,
        limit: &AttemptLimit,
        now: OffsetDateTime,
    ) -> Result<FailureWindow, StorageError>;
}

/// Why a membership or a client was not saved.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The id or the grant already exists.
    #[error("the id is taken")]
    Taken,
    /// The merchant or the reseller does not exist.
    #[error("there is no such merchant or reseller")]
    UnknownParty,
    /// The user's membership of the party was changed concurrently: load it again and retry.
    #[error("the membership was changed concurrently")]
    Changed,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
