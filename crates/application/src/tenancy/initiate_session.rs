use std::collections::BTreeMap;
use std::sync::Arc;

use pos_domain::{Actor, AuditKind, CallContext, Member, Merchant, Party, Place, Reseller, Scope, Session};
use pos_port_clock::Clock;
use pos_port_identity::Principal;
use pos_port_storage::{DirectoryRepository, MemberRepository, SessionRepository, StartError, StorageError};
use time::Duration;

use super::on_record::of_session;

/// Resolves a bearer token's session to a user, a merchant or a reseller, a role, an application and a channel, for
/// the requests that follow (contract, section 4).
///
/// The token says who asks and for whom; our own memberships say whether that is so. Of the role that the token names
/// and the one that the membership gives, the lesser counts.
pub struct InitiateSession {
    directory: Arc<dyn DirectoryRepository>,
    members: Arc<dyn MemberRepository>,
    sessions: Arc<dyn SessionRepository>,
    clock: Arc<dyn Clock>,
    hosts: Hosts,
    max_lifetime: Duration,
}

/// Which application, over which channel, is served under which host name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(BTreeMap<String, Place>);

/// A session that has just begun, with what people call those it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitiatedSession {
    /// The session.
    pub session: Session,
    /// The merchant that is acted for.
    pub merchant: Option<Merchant>,
    /// Its reseller, or the one that is acted for.
    pub reseller: Option<Reseller>,
}

/// Why no session was initiated.
#[derive(Debug, thiserror::Error)]
pub enum InitiateSessionError {
    /// No application is served under the host's name.
    #[error("Unknown host")]
    UnknownHost,
    /// The token names neither a merchant nor a reseller.
    #[error("Access token names neither a merchant nor a reseller")]
    NoParty,
    /// The user is no member of the party that the token names, or that merchant is not of the reseller it names.
    #[error("User is not a member of the merchant or reseller that the access token names")]
    NotAMember,
    /// The token names no role at that party.
    #[error("Access token names no role for the merchant or reseller")]
    NoRole,
    /// The identity provider has ended the token's session.
    #[error("Session was logged out")]
    LoggedOut,
    /// The token's session was ended by its caller, or with its membership or API client.
    #[error("Session was ended")]
    Ended,
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hosts {
    /// A table of host names, which have no case.
    #[must_use]
    pub fn new(places: impl IntoIterator<Item = (String, Place)>) -> Self {
        Self(places.into_iter().map(|(host, place)| (host.to_ascii_lowercase(), place)).collect())
    }

    fn find(&self, host: &str) -> Option<&Place> {
        self.0.get(&host.trim().to_ascii_lowercase())
    }
}

impl InitiateSession {
    /// Sessions on tokens that are refreshed last `max_lifetime` at most.
    #[must_use]
    pub fn new(
        directory: Arc<dyn DirectoryRepository>,
        members: Arc<dyn MemberRepository>,
        sessions: Arc<dyn SessionRepository>,
        clock: Arc<dyn Clock>,
        hosts: Hosts,
        max_lifetime: Duration,
    ) -> Self {
        Self { directory, members, sessions, clock, hosts, max_lifetime }
    }

    /// Initiates the session of a verified token, or renews it.
    ///
    /// # Errors
    /// [`InitiateSessionError`].
    pub async fn execute(
        &self,
        principal: &Principal,
        host: &str,
        context: CallContext,
    ) -> Result<InitiatedSession, InitiateSessionError> {
        let place = self.hosts.find(host).ok_or(InitiateSessionError::UnknownHost)?;
        let party = party_of(principal).ok_or(InitiateSessionError::NoParty)?;
        let membership = self.members.find(party, &principal.user_id).await?;
        let Some(membership) = membership else {
            // A token whose session ended with the membership asks for another token, whether the user is back or not.
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
            place: place.clone(),
            client: None,
            token: Some(token.token),
            token_issued_at: token.issued_at,
            started_at: now,
            ends_at: Session::end(now, token.expires_at, token.is_refreshed, self.max_lifetime),
        };
        let initiated = introduce(&*self.directory, session).await?;
        let named = principal.reseller_id.filter(|named| initiated.session.reseller != Some(*named));
        if named.is_some() {
            return Err(InitiateSessionError::NotAMember);
        }
        let by = context.by(Actor::User(principal.user_id.clone()));
        let told = of_session(AuditKind::SessionStarted, &initiated.session, by, now);
        match self.sessions.start(&initiated.session, &told).await {
            Ok(()) => {}
            Err(StartError::NoGrant) => return Err(InitiateSessionError::NotAMember),
            Err(StartError::LoggedOut) => return Err(InitiateSessionError::LoggedOut),
            Err(StartError::Ended) => return Err(InitiateSessionError::Ended),
            Err(StartError::Storage(error)) => return Err(error.into()),
        }
        let Member { user_id, party, role } = &initiated.session.member;
        tracing::info!(%user_id, %party, %role, application = %place.application, "session initiated");
        Ok(initiated)
    }
}

/// Whom a token is to act for: a merchant when it names one, else a reseller.
fn party_of(principal: &Principal) -> Option<Party> {
    principal.merchant_id.map(Party::Merchant).or(principal.reseller_id.map(Party::Reseller))
}

/// Puts the directory's names, and the merchant's reseller, to a session.
pub(super) async fn introduce(
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
