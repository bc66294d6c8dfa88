//! Verifier of access tokens and logout tokens.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pos_port_clock::Clock;
use pos_port_identity::{LogoutNotice, LogoutVerifier, Principal, TokenVerifier, VerifyError};

use crate::oidc::cache::{self, TokenCache};
use crate::oidc::claims::{ClaimRules, Refusal};
use crate::oidc::jwt::{Jwt, MAX_TOKEN_LEN};
use crate::oidc::keys::KeyStore;
use crate::oidc::logout::LogoutRules;
use crate::oidc::provider::Provider;
use crate::oidc::rejection::Rejection;
use crate::oidc::settings::{OidcSettings, OidcSetupError};

/// Verifies access tokens of one issuer. See the module's documentation for the order of the checks.
///
/// Must be used within a tokio runtime: keys are fetched in a background task.
///
/// While the provider is unavailable, tokens signed with known keys stay accepted without a time limit: an outage of the
/// provider must not stop every terminal. A key is dropped at the first fetch that does not contain it; keys are fetched
/// every `keys_max_age`.
pub struct OidcVerifier {
    rules: ClaimRules,
    logout_rules: LogoutRules,
    keys: KeyStore,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    retry_after: Duration,
}

impl OidcVerifier {
    /// Creates a verifier. Does no I/O: the provider may be unavailable. The first token triggers a fetch of the keys; to
    /// fetch them earlier, spawn [`OidcVerifier::warm_up`].
    ///
    /// # Errors
    /// [`OidcSetupError`] if the settings are invalid or unsafe.
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

    /// Fetches the keys, and retries after each cool-down until it succeeds. Does nothing if there are keys.
    ///
    /// Spawn it at startup: a server that waits for [`TokenVerifier::is_ready`] before it accepts requests would otherwise
    /// wait for a request to become ready.
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
        let cached = self.keys.current().and_then(|keys| self.cache.get(&hash, keys.generation, now));
        if let Some(principal) = cached {
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

    /// Verifies the signature with the issuer's key, and returns the generation of the key.
    async fn verify_signature(&self, jwt: &Jwt<'_>) -> Result<u64, VerifyError> {
        let key = self.keys.find(jwt.key_id.as_deref(), jwt.algorithm).await?;
        jwt.verify_signature(&key.jwk)?;
        Ok(key.generation)
    }
}

fn log_failure<T>(result: &Result<T, VerifyError>) {
    match result {
        Ok(_) => {}
        Err(VerifyError::Rejected(reason)) => tracing::debug!(reason, "token rejected"),
        Err(error @ VerifyError::Claim { .. }) => tracing::debug!(%error, "token has an invalid claim"),
        Err(VerifyError::Unavailable) => tracing::debug!("token not verified: no keys"),
    }
}

#[async_trait]
impl LogoutVerifier for OidcVerifier {
    async fn verify_logout(&self, token: &str) -> Result<LogoutNotice, VerifyError> {
        let result = self.check_logout(token).await;
        log_failure(&result);
        result
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
