use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pos_port_clock::Clock;
use pos_port_identity::{LogoutNotice, LogoutVerifier, Principal, TokenVerifier, VerifyError};

use super::cache::{self, TokenCache};
use super::claims::{ClaimRules, Refusal};
use super::jwt::{Jwt, MAX_TOKEN_LEN};
use super::keys::KeyStore;
use super::logout::LogoutRules;
use super::provider::Provider;
use super::rejection::Rejection;
use super::settings::{OidcSettings, OidcSetupError};

/// Verifies access tokens of one issuer. See the module's documentation for the order of the checks.
///
/// Must be used within a tokio runtime: keys are fetched in a task of their own.
///
/// While the provider is away, tokens signed with keys that are already held go on being accepted, however long that
/// takes: an outage of the provider must not become one of every terminal. A key is dropped as soon as the provider
/// answers without it, which a working provider is asked to do every `keys_max_age`.
pub struct OidcVerifier {
    rules: ClaimRules,
    logout_rules: LogoutRules,
    keys: KeyStore,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    retry_after: Duration,
}

impl OidcVerifier {
    /// Makes a verifier. Does no I/O: the provider may be away. The first token has the keys fetched; to have them
    /// before that, spawn [`OidcVerifier::warm_up`].
    ///
    /// # Errors
    /// [`OidcSetupError`] when the settings make no sense or are not safe.
    pub fn new(settings: OidcSettings, clock: Arc<dyn Clock>) -> Result<Self, OidcSetupError> {
        let issuer = settings.validate()?;
        let provider = Provider::new(issuer, settings.allow_insecure_issuer, settings.http_timeout)?;
        let times = (settings.refresh_cooldown, settings.keys_max_age, settings.http_timeout);
        let leeway = settings.leeway.try_into().unwrap_or(time::Duration::MAX);
        let mut audiences = settings.logout_clients;
        audiences.push(settings.audience.clone());
        Ok(Self {
            logout_rules: LogoutRules { issuer: settings.issuer.clone(), audiences, leeway },
            rules: ClaimRules {
                issuer: settings.issuer,
                audience: settings.audience,
                merchant_claim: settings.merchant_claim,
                reseller_claim: settings.reseller_claim,
                roles_claim: settings.roles_claim,
                leeway,
            },
            keys: KeyStore::new(provider, clock.clone(), times),
            cache: TokenCache::new(settings.token_cache_capacity),
            clock,
            retry_after: settings.refresh_cooldown.max(Duration::from_millis(100)),
        })
    }

    /// Fetches the keys, trying again after each cool-down until it has some. Does nothing when there are keys.
    ///
    /// Meant to be spawned at the start, so that a server that waits for [`TokenVerifier::is_ready`] before it takes
    /// requests does not wait for a request to become ready.
    pub async fn warm_up(&self) {
        while !self.keys.is_ready() {
            if !self.keys.fetch_and_wait().await {
                tokio::time::sleep(self.retry_after).await;
            }
        }
    }

    async fn check(&self, token: &str) -> Result<Principal, VerifyError> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(Rejection("too long").into());
        }
        let now = self.clock.now();
        let hash = cache::hash(token);
        let known = self.keys.current().and_then(|keys| self.cache.get(&hash, keys.generation, now));
        if let Some(principal) = known {
            return Ok(principal);
        }
        let jwt = Jwt::parse(token)?;
        let checked = self.rules.check(&jwt.payload, jwt.marked, now);
        if let Err(Refusal::Rejected(rejection)) = checked {
            return Err(rejection.into());
        }
        let generation = self.verify_signature(&jwt).await?;
        let accepted = checked?;
        let principal = accepted.principal.clone();
        self.cache.put(hash, generation, accepted);
        Ok(principal)
    }

    async fn check_logout(&self, token: &str) -> Result<LogoutNotice, VerifyError> {
        let jwt = Jwt::parse_logout(token)?;
        let notice = self.logout_rules.check(&jwt.payload, self.clock.now())?;
        self.verify_signature(&jwt).await?;
        Ok(notice)
    }

    /// Checks the signature with the issuer's key, and answers the generation of keys it was.
    async fn verify_signature(&self, jwt: &Jwt<'_>) -> Result<u64, VerifyError> {
        let key = self.keys.find(jwt.key_id.as_deref(), jwt.algorithm).await?;
        jwt.verify_signature(&key.jwk)?;
        Ok(key.generation)
    }
}

fn log<T>(verdict: &Result<T, VerifyError>) {
    match verdict {
        Ok(_) => {}
        Err(VerifyError::Rejected(reason)) => tracing::debug!(reason, "token rejected"),
        Err(error @ VerifyError::Claim { .. }) => tracing::debug!(%error, "token not usable"),
        Err(VerifyError::Unavailable) => tracing::debug!("token not verified: no keys"),
    }
}

#[async_trait]
impl LogoutVerifier for OidcVerifier {
    async fn verify_logout(&self, token: &str) -> Result<LogoutNotice, VerifyError> {
        let verdict = self.check_logout(token).await;
        log(&verdict);
        verdict
    }
}

#[async_trait]
impl TokenVerifier for OidcVerifier {
    async fn verify(&self, token: &str) -> Result<Principal, VerifyError> {
        self.check(token).await
    }

    fn is_ready(&self) -> bool {
        self.keys.is_ready()
    }
}
