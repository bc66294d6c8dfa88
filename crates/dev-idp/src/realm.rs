//! Realm: the state that all handlers share, and the token and session operations on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use pos_port_clock::{Clock, Entropy};
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use crate::backchannel::{self, Backchannel};
use crate::entropy::{random_text, random_uuid};
use crate::error::DevIdpError;
use crate::keys::{KeyError, KeyRing, RefreshKey, SigningKeys};
use crate::mint::{self, MintOptions};
use crate::sessions::{Grant, Session, Sessions};
use crate::settings::{DevClient, DevIdpSettings};
use crate::tokens::{Subject, TokenFacts};

/// Lifetime of an authorization code, in seconds; Keycloak's default.
const CODE_LIFETIME: i64 = 60;

pub(crate) struct Realm {
    pub(crate) settings: DevIdpSettings,
    pub(crate) issuer: String,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: RwLock<KeyRing>,
    refresh_key: RefreshKey,
    sessions: Mutex<Sessions>,
    pub(crate) backchannel: Backchannel,
}

impl Realm {
    /// Creates a realm with new keys. Takes most of a second: do not call it on an async thread.
    pub(crate) fn new(
        settings: DevIdpSettings,
        issuer: String,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, DevIdpError> {
        let backchannel = Backchannel::new(&settings.clients)?;
        let keys = RwLock::new(KeyRing::new(SigningKeys::generate(entropy.clone())?));
        let refresh_key = RefreshKey::generate(&*entropy);
        Ok(Self { settings, issuer, clock, entropy, keys, refresh_key, sessions: Mutex::default(), backchannel })
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_keys<T>(&self, use_keys: impl FnOnce(&KeyRing) -> T) -> T {
        use_keys(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Generates new keys and makes them current. Takes most of a second: do not call it on an async thread.
    pub(crate) fn rotate_keys(&self, drop_old: bool) -> Result<(), KeyError> {
        let next = SigningKeys::generate(self.entropy.clone())?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).rotate(next, drop_old);
        Ok(())
    }

    /// Creates a session without storing it.
    pub(crate) fn begin(&self, subject: Subject, client: &DevClient, scope: String, nonce: Option<String>) -> Session {
        let (id, started_at) = (random_uuid(&*self.entropy).to_string(), self.now());
        Session { id, subject, client_id: client.client_id.clone(), scope, nonce, started_at }
    }

    /// Issues an authorization code, which can be redeemed once.
    pub(crate) fn issue_code(&self, session: Session, redirect_uri: &str, code_challenge: Option<String>) -> String {
        let (code, now) = (random_text::<32>(&*self.entropy), self.now());
        let expires_at = now.saturating_add(Duration::seconds(CODE_LIFETIME));
        let grant = Grant { session, redirect_uri: redirect_uri.to_owned(), code_challenge, expires_at };
        self.sessions().put_code(code.clone(), grant, now);
        code
    }

    /// Issues the tokens of a session, and stores or extends the session.
    pub(crate) fn session_tokens(&self, session: Session) -> Result<Value, KeyError> {
        let now = self.now();
        let lifetime = self.settings.access_token_lifetime(&session.client_id);
        let refresh_lifetime = self.settings.refresh_token_lifetime;
        let facts = self.facts(&session.client_id, &session.subject, &session.scope, Some(&session.id), now);
        let mut response = self.token_response(&facts)?;
        response.insert("refresh_expires_in".to_owned(), refresh_lifetime.into());
        response.insert(
            "refresh_token".to_owned(),
            self.refresh_key.sign_claims(&facts.refresh(self.jti(), refresh_lifetime))?.into(),
        );
        response.insert("session_state".to_owned(), session.id.clone().into());
        if session.scope.split(' ').any(|scope| scope == "openid") {
            let auth_time = session.started_at.unix_timestamp();
            let claims = facts.id(self.jti(), lifetime, session.nonce.as_deref(), auth_time);
            response.insert("id_token".to_owned(), self.mint(&claims, MintOptions::default())?.into());
        }
        let expires_at = now.saturating_add(Duration::seconds(i64::from(refresh_lifetime)));
        self.sessions().store(session, expires_at, now);
        Ok(response.into())
    }

    /// Issues a token for a client's service account.
    pub(crate) fn service_tokens(&self, client: &DevClient, scope: &str) -> Result<Value, KeyError> {
        let subject = Subject::of_client(&self.settings.realm, client);
        Ok(self.token_response(&self.facts(&client.client_id, &subject, scope, None, self.now()))?.into())
    }

    /// Returns the session of a refresh token if the realm issued the token to this client and it has not expired.
    pub(crate) fn refreshed(&self, token: &str, client: &DevClient) -> Option<Session> {
        let claims = self.refresh_key.verify(token)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let is_clients = text("typ") == Some("Refresh") && text("azp") == Some(&client.client_id);
        let now = self.now();
        let is_current = claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| now.unix_timestamp() < exp);
        self.sessions().get(text("sid")?, now).filter(|_| is_clients && is_current)
    }

    /// Ends a session, and sends a logout token to its client. Returns when the client has responded.
    pub(crate) async fn log_out(&self, session_id: &str) -> Result<(), KeyError> {
        let Some(session) = self.sessions().end(session_id) else { return Ok(()) };
        let Some(address) = self.backchannel.address(&session.client_id) else { return Ok(()) };
        let now = self.now().unix_timestamp();
        let claims =
            backchannel::claims(&self.issuer, &session.client_id, &session.subject.sub, &session.id, &self.jti(), now);
        let options = MintOptions { header: backchannel::header(), ..MintOptions::default() };
        let token = self.mint(&claims, options)?;
        self.backchannel.send(&address, &token).await;
        Ok(())
    }

    pub(crate) fn mint(&self, claims: &Value, options: MintOptions) -> Result<String, KeyError> {
        self.with_keys(|keys| mint::mint(keys, claims, options))
    }

    fn token_response(&self, facts: &TokenFacts<'_>) -> Result<Map<String, Value>, KeyError> {
        let lifetime = self.settings.access_token_lifetime(facts.client_id);
        let access_token = self.mint(&facts.access(self.jti(), lifetime), MintOptions::default())?;
        let members = [
            ("access_token", json!(access_token)),
            ("expires_in", json!(lifetime)),
            ("refresh_expires_in", json!(0)),
            ("token_type", json!("Bearer")),
            ("not-before-policy", json!(0)),
            ("scope", json!(facts.scope)),
        ];
        Ok(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn facts<'f>(
        &'f self,
        client_id: &'f str,
        subject: &'f Subject,
        scope: &'f str,
        session_id: Option<&'f str>,
        now: OffsetDateTime,
    ) -> TokenFacts<'f> {
        let (issuer, audience) = (&self.issuer, &self.settings.audience);
        TokenFacts { issuer, audience, client_id, subject, scope, session_id, now: now.unix_timestamp() }
    }

    fn jti(&self) -> String {
        random_uuid(&*self.entropy).to_string()
    }
}
