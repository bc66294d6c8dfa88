use std::sync::Arc;

use pos_domain::{GrantId, Member, Membership, Party, UserId};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{GrantError, MemberRepository, StorageError};

use crate::draw;

/// Gives memberships and takes them away.
pub struct ManageMembers {
    members: Arc<dyn MemberRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Why a membership was not given or taken away.
#[derive(Debug, thiserror::Error)]
pub enum ManageMembersError {
    /// See [`GrantError`].
    #[error(transparent)]
    NotGiven(#[from] GrantError),
    /// The user has none at that party.
    #[error("there is no such member")]
    UnknownMember,
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ManageMembers {
    /// Grants are drawn from `entropy`.
    #[must_use]
    pub fn new(members: Arc<dyn MemberRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { members, clock, entropy }
    }

    /// Gives a membership and answers the one it takes the place of. The same role again changes nothing; another one
    /// ends the user's sessions at that party.
    ///
    /// # Errors
    /// [`ManageMembersError`].
    pub async fn add(&self, member: Member) -> Result<Option<Membership>, ManageMembersError> {
        let before = self.members.find(member.party, &member.user_id).await?;
        if before.as_ref().is_some_and(|before| before.member.role == member.role) {
            return Ok(before);
        }
        let grant = GrantId(draw::uuid(&*self.entropy));
        let membership = Membership { grant, member, created_at: self.clock.now() };
        self.members.put(&membership).await?;
        let Member { user_id, party, role } = &membership.member;
        tracing::info!(%user_id, %party, %role, "member added");
        Ok(before)
    }

    /// Takes a membership away, and ends the sessions that stand on it.
    ///
    /// # Errors
    /// [`ManageMembersError`].
    pub async fn remove(&self, party: Party, user_id: &UserId) -> Result<(), ManageMembersError> {
        if !self.members.remove(party, user_id).await? {
            return Err(ManageMembersError::UnknownMember);
        }
        tracing::info!(%user_id, %party, "member removed");
        Ok(())
    }
}
