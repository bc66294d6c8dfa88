use async_trait::async_trait;
use pos_domain::{AuditEvent, GrantId, Membership, Party, Scope, UserId};

use crate::{GrantError, StorageError};

/// Keeps who belongs where, and as what. What changes is put on record in the same transaction, and what does not change
/// leaves nothing there.
#[async_trait]
pub trait MemberRepository: Send + Sync {
    /// Gives a membership and puts `told` on record. A user has one at each party: it takes the place of the one whose
    /// grant is `before`, or of none, so what `told` says of the one before is so. Sessions that stand on the earlier
    /// grant are over from this moment on, for every reader.
    ///
    /// # Errors
    /// In this order: [`GrantError::UnknownParty`] when the merchant or the reseller is not there;
    /// [`GrantError::Changed`] when the user's present membership there is not the one named `before`;
    /// [`GrantError::Taken`] when another membership has the same grant.
    async fn put(&self, membership: &Membership, before: Option<GrantId>, told: &AuditEvent) -> Result<(), GrantError>;

    /// Takes a user's membership of a party away, puts `told` on record, and tells whether there was one. Of callers at
    /// once, one is told so. Sessions that stand on it are over from this moment on, for every reader.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn remove(&self, party: Party, user: &UserId, told: &AuditEvent) -> Result<bool, StorageError>;

    /// The user's membership of this party.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(&self, party: Party, user: &UserId) -> Result<Option<Membership>, StorageError>;

    /// The members of the party a scope stands for, or of all, in the order of grants; at most `limit`, after this
    /// grant.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list(&self, scope: Scope, after: Option<GrantId>, limit: u32) -> Result<Vec<Membership>, StorageError>;
}
