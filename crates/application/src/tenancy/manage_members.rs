use std::sync::Arc;

use pos_domain::{Act, AuditEvent, AuditKind, GrantId, Member, Membership, Party, Subject, UserId};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{GrantError, MemberRepository, StorageError};
use time::OffsetDateTime;

use crate::{MAX_ATTEMPTS, draw};

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

    /// Gives a membership and answers the one it takes the place of. The same role again changes nothing, and leaves
    /// nothing on record; another one ends the user's sessions at that party.
    ///
    /// # Errors
    /// [`ManageMembersError`]; [`GrantError::Changed`] only in a storm of changes of that very membership.
    pub async fn add(&self, member: Member, by: Act) -> Result<Option<Membership>, ManageMembersError> {
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

    async fn replace(&self, before: Option<&Membership>, member: &Member, by: &Act) -> Result<(), GrantError> {
        let grant = GrantId(draw::uuid(&*self.entropy));
        let membership = Membership { grant, member: member.clone(), created_at: self.clock.now() };
        let Member { user_id, party, role } = member;
        let mut told = of_member(AuditKind::MemberAdded, *party, user_id, by, membership.created_at).with("role", role);
        if let Some(before) = before {
            told = told.with("role_before", before.member.role);
        }
        self.members.put(&membership, before.map(|before| before.grant), &told).await?;
        tracing::info!(%user_id, %party, %role, "member added");
        Ok(())
    }

    /// Takes a membership away, and ends the sessions that stand on it.
    ///
    /// # Errors
    /// [`ManageMembersError`].
    pub async fn remove(&self, party: Party, user_id: &UserId, by: Act) -> Result<(), ManageMembersError> {
        let told = of_member(AuditKind::MemberRemoved, party, user_id, &by, self.clock.now());
        if !self.members.remove(party, user_id, &told).await? {
            return Err(ManageMembersError::UnknownMember);
        }
        tracing::info!(%user_id, %party, "member removed");
        Ok(())
    }
}

fn of_member(kind: AuditKind, party: Party, user: &UserId, by: &Act, at: OffsetDateTime) -> AuditEvent {
    AuditEvent::of(kind, Subject::User(user.clone()), by.clone(), at)
        .for_merchant(party.merchant())
        .with("party", Subject::from(party))
}
