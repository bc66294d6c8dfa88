//! Use case: initiation of a session.

use std::collections::BTreeMap;
use std::sync::Arc;

use pos_domain::audit::AuditKind;
use pos_domain::shared::{Actor, Party, RequestContext, Scope};
use pos_domain::tenancy::{ClientApp, Member, Merchant, Reseller, Session};
use pos_port_clock::Clock;
use pos_port_identity::Principal;
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{DirectoryRepository, MemberRepository, SessionRepository, StartError};
use time::Duration;

use crate::tenancy::session_audit::of_session;

/// Resolves the session of a bearer token to a user, a merchant or a reseller, a role, an application and a channel, for the
/// requests that follow (contract, section 4).
///
/// The token names the user and the party; the server's memberships decide whether that is allowed. The effective role is the
/// lower of the token's and the membership's.
pub struct InitiateSession {
    directory: Arc<dyn DirectoryRepository>,
    members: Arc<dyn MemberRepository>,
    sessions: Arc<dyn SessionRepository>,
    clock: Arc<dyn Clock>,
    hosts: Hosts,
    max_lifetime: Duration,
}

/// Application and channel of each host name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(BTreeMap<String, ClientApp>);

/// A new session with its merchant and reseller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitiatedSession {
    /// The session.
    pub session: Session,
    /// Merchant of the session.
    pub merchant: Option<Merchant>,
    /// Reseller of the merchant, or of the session.
    pub reseller: Option<Reseller>,
}

/// Why no session was initiated.
#[derive(Debug, thiserror::Error)]
pub enum InitiateSessionError {
    /// No application is configured for the host.
    #[error("Unknown host")]
    UnknownHost,
    /// The token names neither a merchant nor a reseller.
    #[error("Access token names neither a merchant nor a reseller")]
    NoParty,
    /// The user is not a member of the party that the token names, or the merchant does not belong to the reseller it names.
    #[error("User is not a member of the merchant or reseller that the access token names")]
    NotAMember,
    /// The token has no role for the party.
    #[error("Access token names no role for the merchant or reseller")]
    NoRole,
    /// The identity provider has ended the token's session.
    #[error("Session was logged out")]
    LoggedOut,
    /// The token's session was ended by its caller, or with its membership or API client.
    #[error("Session was ended")]
    Ended,
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hosts {
    /// Creates a table of host names, which are compared without case.
    #[must_use]
    pub fn new(apps: impl IntoIterator<Item = (String, ClientApp)>) -> Self {
        Self(apps.into_iter().map(|(host, app)| (host.to_ascii_lowercase(), app)).collect())
    }

    fn find(&self, host: &str) -> Option<&ClientApp> {
        self.0.get(&host.trim().to_ascii_lowercase())
    }
}

impl InitiateSession {
    /// Creates the use case. Sessions of refreshed tokens last at most `max_lifetime`.
    #[must_use]
    pub(crate) fn new(
        directory: Arc<dyn DirectoryRepository>,
        members: Arc<dyn MemberRepository>,
        sessions: Arc<dyn SessionRepository>,
        clock: Arc<dyn Clock>,
        hosts: Hosts,
        max_lifetime: Duration,
    ) -> Self {
        Self { directory, members, sessions, clock, hosts, max_lifetime }
    }

    /// Initiates or renews the session of a verified token.
    ///
    /// # Errors
    /// [`InitiateSessionError`].
    pub async fn execute(
        &self,
        principal: &Principal,
        host: &str,
        context: RequestContext,
    ) -> Result<InitiatedSession, InitiateSessionError> {
        let app = self.hosts.find(host).ok_or(InitiateSessionError::UnknownHost)?;
        let party = party_of(principal).ok_or(InitiateSessionError::NoParty)?;
        let membership = self.members.find(party, &principal.user_id).await?;
        let Some(membership) = membership else {
            // If the session ended with the membership, the client must get another token, even if the user is a member again.
            let ended = self.sessions.is_ended(&principal.session.token()).await?;
            return Err(if ended { InitiateSessionError::Ended } else { InitiateSessionError::NotAMember });
        };
        let highest = principal.highest_role(party).ok_or(InitiateSessionError::NoRole)?;
        let now = self.clock.now();
        let token = &principal.session;
        let session = Session {
            key: token.key,
            grant: membership.grant,
            member: Member { role: membership.member.role.min(highest), ..membership.member },
            reseller: None,
            client_app: app.clone(),
            client: None,
            token: Some(token.token),
            token_issued_at: token.issued_at,
            started_at: now,
            ends_at: Session::end(now, token.expires_at, token.is_refreshed, self.max_lifetime),
        };
        let initiated = with_parties(&*self.directory, session).await?;
        let named = principal.reseller_id.filter(|named| initiated.session.reseller != Some(*named));
        if named.is_some() {
            return Err(InitiateSessionError::NotAMember);
        }
        let by = context.with_actor(Actor::User(principal.user_id.clone()));
        let audit = of_session(AuditKind::SessionStarted, &initiated.session, by, now);
        match self.sessions.start(&initiated.session, &audit).await {
            Ok(()) => {}
            Err(StartError::NoGrant) => return Err(InitiateSessionError::NotAMember),
            Err(StartError::LoggedOut) => return Err(InitiateSessionError::LoggedOut),
            Err(StartError::Ended) => return Err(InitiateSessionError::Ended),
            Err(StartError::Storage(error)) => return Err(error.into()),
        }
        let Member { user_id, party, role } = &initiated.session.member;
        tracing::info!(%user_id, %party, %role, application = %app.application, "session initiated");
        Ok(initiated)
    }
}

/// The party of a token: the merchant if it names one, otherwise the reseller.
fn party_of(principal: &Principal) -> Option<Party> {
    principal.merchant_id.map(Party::Merchant).or(principal.reseller_id.map(Party::Reseller))
}

/// Looks up the merchant and the reseller of a session.
pub(super) async fn with_parties(
    directory: &dyn DirectoryRepository,
    mut session: Session,
) -> Result<InitiatedSession, StorageError> {
    let party = session.member.party;
    let merchant = match party {
        Party::Merchant(id) => directory.find_merchant(Scope::Of(party), id).await?,
        Party::Reseller(_) => None,
    };
    session.reseller = party.reseller().or(merchant.as_ref().and_then(|merchant| merchant.reseller));
    let reseller = match session.reseller {
        Some(id) => directory.find_reseller(id).await?,
        None => None,
    };
    Ok(InitiatedSession { session, merchant, reseller })
}
