use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use pos_domain::{
    Actor, ApiClient, ApiClientId, AuditKind, CallContext, ClaimLimit, ClaimStanding, FailureWindow, Member, Party,
    Place, Session, TooManyFailures,
};
use pos_port_clock::Clock;
use pos_port_identity::{ClientTokenError, ClientTokens, Principal, TokenVerifier, VerifyError};
use pos_port_storage::{
    ApiClientRepository, ClientFailureRepository, DirectoryRepository, SessionRepository, StartError, StorageError,
};
use secrecy::{ExposeSecret as _, SecretString};
use time::{Duration, OffsetDateTime};

use super::initiate_session::{InitiatedSession, introduce};
use super::on_record::of_session;

/// Lets a machine in by its client id and secret: the secret is held against our hash, the identity provider is asked
/// for an access token with the same credentials, and the token's session is initiated in the same step (contract,
/// section 4).
///
/// Wrong secrets are counted for the address they come from: see [`ClaimLimit`]. Past the limit they are refused as too
/// many, and the right secret is let in from any address: nobody who knows a client's id can lock it out. Addresses are
/// counted in a fixed number of places, so that many of them do not fill the store.
pub struct StartClientSession {
    stores: ClientStores,
    tokens: Arc<dyn ClientTokens>,
    verifier: Arc<dyn TokenVerifier>,
    clock: Arc<dyn Clock>,
    place: Place,
    limit: ClaimLimit,
    max_lifetime: Duration,
}

/// Where it looks and what it keeps.
#[derive(Clone)]
pub struct ClientStores {
    /// The clients.
    pub clients: Arc<dyn ApiClientRepository>,
    /// Their wrong secrets.
    pub failures: Arc<dyn ClientFailureRepository>,
    /// Merchants' and resellers' names.
    pub directory: Arc<dyn DirectoryRepository>,
    /// The sessions.
    pub sessions: Arc<dyn SessionRepository>,
}

/// A machine that is in.
#[derive(Debug)]
pub struct ClientSession {
    /// The provider's token, for the requests that follow.
    pub access_token: SecretString,
    /// How long the token still lasts.
    pub expires_in: Duration,
    /// Its session.
    pub initiated: InitiatedSession,
}

/// Why a machine is not let in.
#[derive(Debug, thiserror::Error)]
pub enum StartClientSessionError {
    /// No such client, not its secret, revoked, or the identity provider does not let it in. Which, is not told.
    #[error("Client credentials are invalid")]
    Refused,
    /// The address sent wrong secrets too often.
    #[error(transparent)]
    TooManyFailures(#[from] TooManyFailures),
    /// A claim of the identity provider's token cannot be used.
    #[error(transparent)]
    Token(VerifyError),
    /// The identity provider does not answer.
    #[error("identity provider unavailable")]
    ProviderAway(#[source] Option<ClientTokenError>),
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StartClientSession {
    /// Machines come in at `place`; wrong secrets are bounded by `limit`.
    #[must_use]
    pub fn new(
        stores: ClientStores,
        tokens: Arc<dyn ClientTokens>,
        verifier: Arc<dyn TokenVerifier>,
        clock: Arc<dyn Clock>,
        place: Place,
        limit: ClaimLimit,
        max_lifetime: Duration,
    ) -> Self {
        Self { stores, tokens, verifier, clock, place, limit, max_lifetime }
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// [`StartClientSessionError`].
    pub async fn execute(
        &self,
        client_id: &str,
        secret: &SecretString,
        context: CallContext,
    ) -> Result<ClientSession, StartClientSessionError> {
        let client = self.authenticated(client_id, secret, context.origin).await?;
        let access_token = self.tokens.token_for(&client.id, secret).await.map_err(|error| match error {
            ClientTokenError::Refused(word) => {
                tracing::warn!(client_id = %client.id, word, "the identity provider refuses a client that we know");
                StartClientSessionError::Refused
            }
            away @ ClientTokenError::Unavailable { .. } => StartClientSessionError::ProviderAway(Some(away)),
        })?;
        let principal = self.principal_of(&client, &access_token).await?;
        let now = self.clock.now();
        let session = self.session(&client, &principal, now).ok_or(StartClientSessionError::Refused)?;
        let initiated = introduce(&*self.stores.directory, session).await?;
        let by = context.by(Actor::User(principal.user_id.clone()));
        let told = of_session(AuditKind::SessionStarted, &initiated.session, by, now);
        match self.stores.sessions.start(&initiated.session, &told).await {
            Ok(()) => {}
            Err(StartError::NoGrant | StartError::LoggedOut | StartError::Ended) => {
                tracing::info!(client_id = %client.id, "client was revoked, rotated, ended or logged out meanwhile");
                return Err(StartClientSessionError::Refused);
            }
            Err(StartError::Storage(error)) => return Err(error.into()),
        }
        tracing::info!(client_id = %client.id, party = %client.party, "client session initiated");
        let expires_in = (principal.session.expires_at - now).max(Duration::ZERO);
        Ok(ClientSession { access_token, expires_in, initiated })
    }

    /// The client, if the secret is its own; else a failure of the address is counted. The secret is compared first, so
    /// that wrong ones from the same address keep nobody out who has the right one.
    async fn authenticated(
        &self,
        client_id: &str,
        secret: &SecretString,
        origin: Option<IpAddr>,
    ) -> Result<ApiClient, StartClientSessionError> {
        let found = match ApiClientId::parse(client_id) {
            Ok(id) => self.stores.clients.find(&id).await?,
            Err(_) => None,
        };
        if let Some((client, hash)) = found {
            if !hash.is_current() {
                tracing::warn!(client_id = %client.id, "the client's secret was stored by an earlier version: rotate it");
            }
            if hash.matches(secret.expose_secret()) && client.revoked_at.is_none() {
                return Ok(client);
            }
        }
        let (subject, now) = (place_of(origin), self.clock.now());
        // Past the limit nothing is written.
        self.limit.admit(&standing(self.stores.failures.window(&subject).await?), now)?;
        let window = self.stores.failures.record(&subject, &self.limit, now).await?;
        self.limit.admit_counted(&standing(Some(window)), now)?;
        tracing::info!("client credentials refused");
        Err(StartClientSessionError::Refused)
    }

    /// Whom the provider's token names, if we accept it and it is this client's.
    async fn principal_of(
        &self,
        client: &ApiClient,
        token: &SecretString,
    ) -> Result<Principal, StartClientSessionError> {
        match self.verifier.verify(token.expose_secret()).await {
            Ok(principal) if principal.authorized_party.as_deref() == Some(client.id.as_str()) => Ok(principal),
            Ok(_) => {
                tracing::warn!(client_id = %client.id, "the identity provider's token is not this client's");
                Err(StartClientSessionError::Refused)
            }
            Err(VerifyError::Rejected(reason)) => {
                tracing::warn!(client_id = %client.id, reason, "the identity provider's token is not for this server");
                Err(StartClientSessionError::Refused)
            }
            Err(claim @ VerifyError::Claim { .. }) => {
                tracing::warn!(client_id = %client.id, error = %claim, "the identity provider's token is not usable");
                Err(StartClientSessionError::Token(claim))
            }
            Err(VerifyError::Unavailable) => Err(StartClientSessionError::ProviderAway(None)),
        }
    }

    /// The session of a client's token; `None` when the token names somebody else to act for.
    ///
    /// A service account's token often says neither for whom nor as what: then the client's own row is the word. Where
    /// it does say, it must agree, and of the two roles the lesser counts.
    fn session(&self, client: &ApiClient, principal: &Principal, now: OffsetDateTime) -> Option<Session> {
        let agrees = match client.party {
            Party::Merchant(own) => principal.merchant_id.is_none_or(|named| named == own),
            Party::Reseller(own) => {
                principal.merchant_id.is_none() && principal.reseller_id.is_none_or(|named| named == own)
            }
        };
        if !agrees {
            tracing::warn!(client_id = %client.id, "the identity provider's token names another party than the client's");
            return None;
        }
        let role = principal.highest_role(client.party).map_or(client.role, |named| named.min(client.role));
        let token = &principal.session;
        Some(Session {
            key: token.key,
            grant: client.grant,
            member: Member { user_id: principal.user_id.clone(), party: client.party, role },
            reseller: None,
            place: self.place.clone(),
            client: Some(client.id.clone()),
            token: Some(token.token),
            token_issued_at: token.issued_at,
            started_at: now,
            ends_at: Session::end(now, token.expires_at, token.is_refreshed, self.max_lifetime),
        })
    }
}

fn standing(window: Option<FailureWindow>) -> ClaimStanding {
    ClaimStanding { merchant: None, user: window }
}

/// How many places there are in which addresses are counted. Those that share one cost each other nothing but the kind of
/// refusal that a wrong secret gets.
const PLACES: u32 = 65_536;

/// Where wrong secrets of an address are counted; of IPv6 a subscriber has a whole /64.
fn place_of(origin: Option<IpAddr>) -> String {
    let bits = match origin {
        None => return "address:unknown".to_owned(),
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped().to_bits(),
        Some(IpAddr::V6(address)) => Ipv6Addr::to_bits(address) & (u128::MAX << 64),
    };
    // FNV-1a: any even spread will do, nothing hangs on who lands where.
    let spread = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    format!("address:{}", bits.to_be_bytes().into_iter().fold(0x811C_9DC5, spread) % PLACES)
}
