//! Use case: session of an API client, by client id and secret.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use pos_domain::audit::AuditKind;
use pos_domain::shared::{
    Actor, ApiClientId, AttemptCounts, AttemptLimit, FailureWindow, Party, RequestContext, TooManyFailures,
};
use pos_domain::tenancy::{ApiClient, ClientApp, Member, Session};
use pos_port_clock::Clock;
use pos_port_identity::{ClientTokenError, ClientTokens, Principal, TokenVerifier, VerifyError};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{
    ApiClientRepository, ClientFailureRepository, DirectoryRepository, SessionRepository, StartError,
};
use secrecy::{ExposeSecret as _, SecretString};
use time::{Duration, OffsetDateTime};

use crate::tenancy::initiate_session::{InitiatedSession, with_parties};
use crate::tenancy::session_audit::of_session;

/// Authenticates an API client. The secret is compared with the stored hash, the identity provider is asked for an access
/// token with the same credentials, and the token's session is initiated in the same step (contract, section 4).
///
/// Wrong secrets are counted per address: see [`AttemptLimit`]. Above the limit, wrong secrets are refused as too many, and the
/// right secret is accepted from any address, so nobody who knows a client id can lock the client out. Addresses are hashed
/// into a fixed number of buckets, so that many addresses do not fill the store.
pub struct StartClientSession {
    stores: ClientStores,
    tokens: Arc<dyn ClientTokens>,
    verifier: Arc<dyn TokenVerifier>,
    clock: Arc<dyn Clock>,
    client_app: ClientApp,
    limit: AttemptLimit,
    max_lifetime: Duration,
}

/// Repositories of the use case.
#[derive(Clone)]
pub(crate) struct ClientStores {
    /// API clients.
    pub(crate) clients: Arc<dyn ApiClientRepository>,
    /// Failure windows of addresses.
    pub(crate) failures: Arc<dyn ClientFailureRepository>,
    /// Names of merchants and resellers.
    pub(crate) directory: Arc<dyn DirectoryRepository>,
    /// Sessions.
    pub(crate) sessions: Arc<dyn SessionRepository>,
}

/// Session of an authenticated API client.
#[derive(Debug)]
pub struct ClientSession {
    /// Access token of the identity provider, for the requests that follow.
    pub access_token: SecretString,
    /// Remaining lifetime of the token.
    pub expires_in: Duration,
    /// The session.
    pub initiated: InitiatedSession,
}

/// Why an API client was not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum StartClientSessionError {
    /// The client is unknown or revoked, the secret is wrong, or the identity provider refused it. The caller is not told which.
    #[error("Client credentials are invalid")]
    Refused,
    /// The address sent too many wrong secrets.
    #[error(transparent)]
    TooManyFailures(#[from] TooManyFailures),
    /// A claim of the identity provider's token is not usable.
    #[error(transparent)]
    Token(VerifyError),
    /// The identity provider is unavailable.
    #[error("identity provider unavailable")]
    ProviderAway(#[source] Option<ClientTokenError>),
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StartClientSession {
    /// Creates the use case. Sessions get the application and channel of `client_app`; wrong secrets are limited by `limit`.
    #[must_use]
    pub(crate) fn new(
        stores: ClientStores,
        tokens: Arc<dyn ClientTokens>,
        verifier: Arc<dyn TokenVerifier>,
        clock: Arc<dyn Clock>,
        client_app: ClientApp,
        limit: AttemptLimit,
        max_lifetime: Duration,
    ) -> Self {
        Self { stores, tokens, verifier, clock, client_app, limit, max_lifetime }
    }

    /// Authenticates a client and initiates its session.
    ///
    /// # Errors
    /// [`StartClientSessionError`].
    pub async fn execute(
        &self,
        client_id: &str,
        secret: &SecretString,
        context: RequestContext,
    ) -> Result<ClientSession, StartClientSessionError> {
        let client = self.authenticated(client_id, secret, context.client_ip).await?;
        let access_token = self.tokens.token_for(&client.id, secret).await.map_err(|error| match error {
            ClientTokenError::Refused(reason) => {
                tracing::warn!(client_id = %client.id, reason, "the identity provider refused a registered client");
                StartClientSessionError::Refused
            }
            unavailable @ ClientTokenError::Unavailable { .. } => {
                StartClientSessionError::ProviderAway(Some(unavailable))
            }
        })?;
        let principal = self.principal_of(&client, &access_token).await?;
        let now = self.clock.now();
        let session = self.session(&client, &principal, now).ok_or(StartClientSessionError::Refused)?;
        let initiated = with_parties(&*self.stores.directory, session).await?;
        let by = context.with_actor(Actor::User(principal.user_id.clone()));
        let audit = of_session(AuditKind::SessionStarted, &initiated.session, by, now);
        match self.stores.sessions.start(&initiated.session, &audit).await {
            Ok(()) => {}
            Err(StartError::NoGrant | StartError::LoggedOut | StartError::Ended) => {
                tracing::info!(client_id = %client.id, "the client was revoked, rotated, ended or logged out concurrently");
                return Err(StartClientSessionError::Refused);
            }
            Err(StartError::Storage(error)) => return Err(error.into()),
        }
        tracing::info!(client_id = %client.id, party = %client.party, "client session initiated");
        let expires_in = (principal.session.expires_at - now).max(Duration::ZERO);
        Ok(ClientSession { access_token, expires_in, initiated })
    }

    /// Returns the client if the secret is its own; otherwise counts a failure of the address. The secret is compared first, so
    /// that wrong secrets from the same address do not lock out a client with the right one.
    async fn authenticated(
        &self,
        client_id: &str,
        secret: &SecretString,
        client_ip: Option<IpAddr>,
    ) -> Result<ApiClient, StartClientSessionError> {
        let found = match ApiClientId::parse(client_id) {
            Ok(id) => self.stores.clients.find(&id).await?,
            Err(_) => None,
        };
        if let Some((client, hash)) = found
            && hash.matches(secret.expose_secret())
            && client.revoked_at.is_none()
        {
            return Ok(client);
        }
        let (subject, now) = (address_bucket(client_ip), self.clock.now());
        // Above the limit nothing is written.
        self.limit.admit(&counts_of(self.stores.failures.window(&subject).await?), now)?;
        let window = self.stores.failures.record(&subject, &self.limit, now).await?;
        self.limit.admit_counted(&counts_of(Some(window)), now)?;
        tracing::info!("client credentials refused");
        Err(StartClientSessionError::Refused)
    }

    /// Verifies the provider's token, and checks that it was issued to this client.
    async fn principal_of(
        &self,
        client: &ApiClient,
        token: &SecretString,
    ) -> Result<Principal, StartClientSessionError> {
        match self.verifier.verify(token.expose_secret()).await {
            Ok(principal) if principal.authorized_party.as_deref() == Some(client.id.as_str()) => Ok(principal),
            Ok(_) => {
                tracing::warn!(client_id = %client.id, "the identity provider's token was issued to another client");
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

    /// Builds the session of a client's token; `None` if the token names another party.
    ///
    /// A service account's token often names neither a party nor a role; then the client's own row decides. A party that it
    /// names must be the client's, and of two roles the lower one counts.
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
            client_app: self.client_app.clone(),
            client: Some(client.id.clone()),
            token: Some(token.token),
            token_issued_at: token.issued_at,
            started_at: now,
            ends_at: Session::end(now, token.expires_at, token.is_refreshed, self.max_lifetime),
        })
    }
}

fn counts_of(window: Option<FailureWindow>) -> AttemptCounts {
    AttemptCounts { merchant: None, user: window }
}

/// Number of buckets for addresses. Addresses in one bucket affect only the kind of refusal that a wrong secret gets.
const ADDRESS_BUCKETS: u32 = 65_536;

/// Bucket that counts the wrong secrets of an address. An IPv6 subscriber has a whole /64, so it counts as one address.
fn address_bucket(client_ip: Option<IpAddr>) -> String {
    let bits = match client_ip {
        None => return "address:unknown".to_owned(),
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped().to_bits(),
        Some(IpAddr::V6(address)) => Ipv6Addr::to_bits(address) & (u128::MAX << 64),
    };
    // FNV-1a; any even distribution will do, because the bucket has no other effect.
    let hash = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    format!("address:{}", bits.to_be_bytes().into_iter().fold(0x811C_9DC5, hash) % ADDRESS_BUCKETS)
}
