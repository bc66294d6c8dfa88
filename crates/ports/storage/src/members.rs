use async_trait::async_trait;
use pos_domain::{Membership, Party, Scope, UserId};

use crate::{GrantError, StorageError};

/// Keeps who belongs where, and as what.
#[async_trait]
pub trait MemberRepository: Send + Sync {
    /// Gives a membership. A user has one at each party, so an earlier one there is replaced, grant included: sessions
    /// that stand on the earlier grant are over from this moment on, for every reader.
    ///
    /// # Errors
    /// [`GrantError::UnknownParty`] when the merchant or the reseller is not there. [`GrantError::Taken`] when another
    /// membership has the same grant.
    async fn put(&self, membership: &Membership) -> Result<(), GrantError>;

    /// Takes a user's membership of a party away, and tells whether there was one. Sessions that stand on it are over
    /// from this moment on, for every reader.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn remove(&self, party: Party, user: &UserId) -> Result<bool, StorageError>;

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
    async fn list(
        &self,
        scope: Scope,
        after: Option<pos_domain::GrantId>,
        limit: u32,
    ) -> Result<Vec<Membership>, StorageError>;
}
