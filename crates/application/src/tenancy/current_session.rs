use std::sync::Arc;

use pos_domain::{Action, Claimant, Denial, Member, MerchantId, Party, Relation, Role, Session, permit};
use pos_port_clock::Clock;
use pos_port_identity::Principal;
use pos_port_storage::{SessionRepository, StorageError};

/// Finds the session of a verified token, on every request: what ended it, on whatever replica, holds from the next
/// look on.
pub struct CurrentSession {
    sessions: Arc<dyn SessionRepository>,
    clock: Arc<dyn Clock>,
}

/// Why a caller does not act for a merchant, or for a reseller.
#[derive(Debug, thiserror::Error)]
pub enum NotActing {
    /// No session was initiated with this token's session, or it is over.
    #[error("Session has not been initiated")]
    NotInitiated,
    /// The session is a reseller's.
    #[error("Session does not act for a merchant")]
    NotAMerchants,
    /// The session is a merchant's.
    #[error("Session does not act for a reseller")]
    NotAResellers,
    /// The role does not allow it.
    #[error("Role does not allow this")]
    Denied(Denial),
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl CurrentSession {
    /// Looks sessions up in `sessions`, as of `clock`.
    #[must_use]
    pub fn new(sessions: Arc<dyn SessionRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { sessions, clock }
    }

    /// The session of a token, with the role that counts now: what the session has, or less when the token gives less
    /// by now.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    pub async fn find(&self, principal: &Principal) -> Result<Option<Session>, StorageError> {
        let found = self.sessions.find(&principal.session.token(), self.clock.now()).await?;
        let own = found.filter(|session| session.member.user_id == principal.user_id);
        Ok(own.and_then(|mut session| {
            session.member.role = role_now(&session, principal)?;
            Some(session)
        }))
    }

    /// As whom a caller claims devices: for the session's merchant, if its role allows.
    ///
    /// # Errors
    /// [`NotActing`].
    pub async fn claimant(&self, principal: &Principal) -> Result<Claimant, NotActing> {
        let merchant_id = may_claim(&self.in_force(principal).await?)?;
        Ok(Claimant { merchant_id, user_id: principal.user_id.clone() })
    }

    /// As whom a caller manages its merchant's affairs: as the session says.
    ///
    /// # Errors
    /// [`NotActing`].
    pub async fn of_merchant(&self, principal: &Principal) -> Result<Member, NotActing> {
        let Session { member, .. } = self.in_force(principal).await?;
        match member.party {
            Party::Merchant(_) => Ok(member),
            Party::Reseller(_) => Err(NotActing::NotAMerchants),
        }
    }

    /// As whom a caller manages a reseller's affairs: as the session says.
    ///
    /// # Errors
    /// [`NotActing`].
    pub async fn of_reseller(&self, principal: &Principal) -> Result<Member, NotActing> {
        let Session { member, .. } = self.in_force(principal).await?;
        match member.party {
            Party::Reseller(_) => Ok(member),
            Party::Merchant(_) => Err(NotActing::NotAResellers),
        }
    }

    /// The session of a token, which there must be.
    async fn in_force(&self, principal: &Principal) -> Result<Session, NotActing> {
        self.find(principal).await?.ok_or(NotActing::NotInitiated)
    }
}

/// A machine's token may leave its roles out, for its client has one; a user's may not.
fn role_now(session: &Session, principal: &Principal) -> Option<Role> {
    match (principal.highest_role(session.member.party), &session.client) {
        (Some(highest), _) => Some(session.member.role.min(highest)),
        (None, Some(_)) => Some(session.member.role),
        (None, None) => None,
    }
}

fn may_claim(session: &Session) -> Result<MerchantId, NotActing> {
    let merchant_id = match session.member.party {
        Party::Merchant(id) => id,
        Party::Reseller(_) => return Err(NotActing::NotAMerchants),
    };
    let relation = Relation::of(session.member.party, merchant_id, session.reseller);
    permit(session.member.role, relation, Action::ClaimDevice).map_err(NotActing::Denied)?;
    Ok(merchant_id)
}
