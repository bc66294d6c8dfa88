//! Use cases: memberships of users.

use std::sync::Arc;

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{AuditContext, GrantId, Party, UserId};
use pos_domain::tenancy::{Member, Membership};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{GrantError, MemberRepository};
use time::OffsetDateTime;

use crate::support::MAX_ATTEMPTS;
use crate::support::random;

/// Adds and removes memberships.
pub struct ManageMembers {
    members: Arc<dyn MemberRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Why a membership was not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum ManageMembersError {
    /// The grant was refused.
    #[error(transparent)]
    NotGiven(#[from] GrantError),
    /// The user is not a member of the party.
    #[error("there is no such member")]
    UnknownMember,
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ManageMembers {
    /// Creates the use case; grant ids are generated from `entropy`.
    #[must_use]
    pub(crate) fn new(members: Arc<dyn MemberRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { members, clock, entropy }
    }

    /// Adds a membership and returns the one it replaces. The same role again changes nothing and is not audited; another role
    /// ends the user's sessions at that party.
    ///
    /// # Errors
    /// [`ManageMembersError`]; [`GrantError::Changed`] only after many concurrent changes of this membership.
    pub async fn add(&self, member: Member, by: AuditContext) -> Result<Option<Membership>, ManageMembersError> {
        for _ in 0..MAX_ATTEMPTS {
            let before = self.members.find(member.party, &member.user_id).await?;
            if before.as_ref().is_some_and(|before| before.member.role == member.role) {
                return Ok(before);
            }
            match self.replace(before.as_ref(), &member, &by).await {
                Ok(()) => return Ok(before),
                Err(GrantError::Changed) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(GrantError::Changed.into())
    }

    async fn replace(&self, before: Option<&Membership>, member: &Member, by: &AuditContext) -> Result<(), GrantError> {
        let grant = GrantId(random::uuid(&*self.entropy));
        let membership = Membership { grant, member: member.clone(), created_at: self.clock.now() };
        let Member { user_id, party, role } = member;
        let mut audit =
            of_member(AuditKind::MemberAdded, *party, user_id, by, membership.created_at).with("role", role);
        if let Some(before) = before {
            audit = audit.with("role_before", before.member.role);
        }
        self.members.put(&membership, before.map(|before| before.grant), &audit).await?;
        tracing::info!(%user_id, %party, %role, "member added");
        Ok(())
    }

    /// Removes a membership, and ends the sessions that depend on it.
    ///
    /// # Errors
    /// [`ManageMembersError`].
    pub async fn remove(&self, party: Party, user_id: &UserId, by: AuditContext) -> Result<(), ManageMembersError> {
        let audit = of_member(AuditKind::MemberRemoved, party, user_id, &by, self.clock.now());
        if !self.members.remove(party, user_id, &audit).await? {
            return Err(ManageMembersError::UnknownMember);
        }
        tracing::info!(%user_id, %party, "member removed");
        Ok(())
    }
}

fn of_member(kind: AuditKind, party: Party, user: &UserId, by: &AuditContext, at: OffsetDateTime) -> AuditEvent {
    AuditEvent::of(kind, Subject::User(user.clone()), by.clone(), at)
        .for_merchant(party.merchant())
        .with("party", Subject::from(party))
}
