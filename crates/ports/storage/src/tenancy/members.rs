//! Membership store port.

use async_trait::async_trait;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::{GrantId, Party, Scope, UserId};
use pos_domain::tenancy::Membership;

use crate::shared::StorageError;
use crate::tenancy::GrantError;

/// Stores memberships. A change stores its audit event in the same transaction; a refused change stores nothing.
#[async_trait]
pub trait MemberRepository: Send + Sync {
    /// Grants a membership and stores `audit`. A user has one per party: the new one replaces the one with the grant
    /// `before`, or none, so that the previous role in `audit` is correct. Sessions of the earlier grant are invalid
    /// from then on, for every reader.
    ///
    /// # Errors
    /// In this order: [`GrantError::UnknownParty`] if the merchant or the reseller does not exist;
    /// [`GrantError::Changed`] if the user's current membership there is not `before`; [`GrantError::Taken`] if another
    /// membership has the same grant.
    async fn put(&self, membership: &Membership, before: Option<GrantId>, audit: &AuditEvent)
    -> Result<(), GrantError>;

    /// Removes a user's membership of a party, stores `audit`, and returns whether there was one. Of concurrent callers
    /// exactly one gets `true`. Its sessions are invalid from then on, for every reader.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn remove(&self, party: Party, user: &UserId, audit: &AuditEvent) -> Result<bool, StorageError>;

    /// Returns the user's membership of this party.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(&self, party: Party, user: &UserId) -> Result<Option<Membership>, StorageError>;

    /// Returns the members of the scope's party, or of all for an operator, in the order of grants; at most `limit`,
    /// after this grant.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn list(&self, scope: Scope, after: Option<GrantId>, limit: u32) -> Result<Vec<Membership>, StorageError>;
}
