//! Use case: session of a verified token.

use std::sync::Arc;

use pos_domain::shared::Claimant;
use pos_domain::shared::{MerchantId, Party, Role};
use pos_domain::tenancy::{Action, Denial, Member, Relation, Session, authorize};
use pos_port_clock::Clock;
use pos_port_identity::Principal;
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::SessionRepository;

/// Finds the session of a verified token on every request, so that the end of a session on any replica takes effect with the
/// next look-up.
pub struct CurrentSession {
    sessions: Arc<dyn SessionRepository>,
    clock: Arc<dyn Clock>,
}

/// Why a caller may not act for a merchant or a reseller.
#[derive(Debug, thiserror::Error)]
pub enum ActingError {
    /// No session was initiated for the token, or it has ended.
    #[error("Session has not been initiated")]
    NotInitiated,
    /// The session belongs to a reseller.
    #[error("Session does not act for a merchant")]
    NotAMerchants,
    /// The session belongs to a merchant.
    #[error("Session does not act for a reseller")]
    NotAResellers,
    /// The role does not allow it.
    #[error("Role does not allow this")]
    Denied(Denial),
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl CurrentSession {
    /// Creates the use case.
    #[must_use]
    pub(crate) fn new(sessions: Arc<dyn SessionRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { sessions, clock }
    }

    /// Finds the session of a token, with the effective role: the session's, or a lower one if the token has a lower one now.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn find(&self, principal: &Principal) -> Result<Option<Session>, StorageError> {
        let found = self.sessions.find(&principal.session.token(), self.clock.now()).await?;
        let own = found.filter(|session| session.member.user_id == principal.user_id);
        Ok(own.and_then(|mut session| {
            session.member.role = effective_role(&session, principal)?;
            Some(session)
        }))
    }

    /// Returns the claimant for the session's merchant, if its role may claim.
    ///
    /// # Errors
    /// [`ActingError`].
    pub async fn claimant(&self, principal: &Principal) -> Result<Claimant, ActingError> {
        let merchant_id = claiming_merchant(&self.required(principal).await?)?;
        Ok(Claimant { merchant_id, user_id: principal.user_id.clone() })
    }

    /// Returns the member of a merchant's session.
    ///
    /// # Errors
    /// [`ActingError`].
    pub async fn of_merchant(&self, principal: &Principal) -> Result<Member, ActingError> {
        let Session { member, .. } = self.required(principal).await?;
        match member.party {
            Party::Merchant(_) => Ok(member),
            Party::Reseller(_) => Err(ActingError::NotAMerchants),
        }
    }

    /// Returns the member of a reseller's session.
    ///
    /// # Errors
    /// [`ActingError`].
    pub async fn of_reseller(&self, principal: &Principal) -> Result<Member, ActingError> {
        let Session { member, .. } = self.required(principal).await?;
        match member.party {
            Party::Reseller(_) => Ok(member),
            Party::Merchant(_) => Err(ActingError::NotAResellers),
        }
    }

    /// Finds the session of a token, or fails.
    async fn required(&self, principal: &Principal) -> Result<Session, ActingError> {
        self.find(principal).await?.ok_or(ActingError::NotInitiated)
    }
}

/// The lower of the session's and the token's role. A token of an API client may have no role, because the client has one; a
/// user's may not.
fn effective_role(session: &Session, principal: &Principal) -> Option<Role> {
    match (principal.highest_role(session.member.party), &session.client) {
        (Some(highest), _) => Some(session.member.role.min(highest)),
        (None, Some(_)) => Some(session.member.role),
        (None, None) => None,
    }
}

fn claiming_merchant(session: &Session) -> Result<MerchantId, ActingError> {
    let merchant_id = match session.member.party {
        Party::Merchant(id) => id,
        Party::Reseller(_) => return Err(ActingError::NotAMerchants),
    };
    let relation = Relation::of(session.member.party, merchant_id, session.reseller);
    authorize(session.member.role, relation, Action::ClaimDevice).map_err(ActingError::Denied)?;
    Ok(merchant_id)
}
