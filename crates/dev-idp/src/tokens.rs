//! Claims of access, ID and refresh tokens.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::settings::{DevClient, DevUser};

/// The subject of tokens: a user, or the service account of a client.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) sub: String,
    /// `preferred_username`, `email`, `merchant_id`, `reseller_id`, `roles` and the extra claims of the settings.
    pub(crate) claims: Map<String, Value>,
}

impl Subject {
    pub(crate) fn of_user(user: &DevUser) -> Self {
        let mut claims = user.claims.clone();
        claims.insert("preferred_username".to_owned(), user.username.clone().into());
        if let Some(email) = &user.email {
            claims.insert("email".to_owned(), email.clone().into());
            claims.insert("email_verified".to_owned(), true.into());
        }
        insert_party_claims(&mut claims, user.merchant_id, user.reseller_id, &user.roles);
        Self { sub: user.sub.clone(), claims }
    }

    /// The service account. Its subject is a UUID derived from realm and client, so that it survives a restart.
    pub(crate) fn of_client(realm: &str, client: &DevClient) -> Self {
        let mut claims = client.claims.clone();
        claims.insert("preferred_username".to_owned(), format!("service-account-{}", client.client_id).into());
        claims.insert("client_id".to_owned(), client.client_id.clone().into());
        insert_party_claims(&mut claims, client.merchant_id, client.reseller_id, &client.roles);
        let digest: [u8; 32] = Sha256::digest(format!("{realm}/{}", client.client_id)).into();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest).for_each(|(byte, hashed)| *byte = hashed);
        Self { sub: uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string(), claims }
    }
}

/// Adds the claims for merchant, reseller and roles.
fn insert_party_claims(
    claims: &mut Map<String, Value>,
    merchant: Option<Uuid>,
    reseller: Option<Uuid>,
    roles: &[String],
) {
    for (name, id) in [("merchant_id", merchant), ("reseller_id", reseller)] {
        if let Some(id) = id {
            claims.insert(name.to_owned(), id.to_string().into());
        }
    }
    if !roles.is_empty() {
        claims.insert("roles".to_owned(), roles.into());
    }
}

/// The values that all tokens of one response share.
pub(crate) struct TokenFacts<'f> {
    pub(crate) issuer: &'f str,
    pub(crate) audience: &'f str,
    pub(crate) client_id: &'f str,
    pub(crate) subject: &'f Subject,
    pub(crate) scope: &'f str,
    /// `None` for a service account, which has no session.
    pub(crate) session_id: Option<&'f str>,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

impl TokenFacts<'_> {
    pub(crate) fn access(&self, jti: String, lifetime: u32) -> Value {
        let own = json!({
            "typ": "Bearer", "jti": jti, "aud": [self.audience, "account"], "acr": "1", "scope": self.scope,
            "exp": self.now + i64::from(lifetime),
        });
        self.with(own, Some(&self.subject.claims))
    }

    pub(crate) fn id(&self, jti: String, lifetime: u32, nonce: Option<&str>, auth_time: i64) -> Value {
        let mut own = json!({
            "typ": "ID", "jti": jti, "aud": self.client_id, "acr": "1", "auth_time": auth_time,
            "exp": self.now + i64::from(lifetime),
        });
        if let (Some(nonce), Some(own)) = (nonce, own.as_object_mut()) {
            own.insert("nonce".to_owned(), nonce.into());
        }
        self.with(own, Some(&self.subject.claims))
    }

    pub(crate) fn refresh(&self, jti: String, lifetime: u32) -> Value {
        let own = json!({
            "typ": "Refresh", "jti": jti, "aud": self.issuer, "scope": self.scope,
            "exp": self.now + i64::from(lifetime),
        });
        self.with(own, None)
    }

    fn with(&self, own: Value, subject: Option<&Map<String, Value>>) -> Value {
        let mut claims = subject.cloned().unwrap_or_default();
        let common = json!({"iss": self.issuer, "sub": self.subject.sub, "azp": self.client_id, "iat": self.now});
        for part in [common, own] {
            if let Value::Object(part) = part {
                claims.extend(part);
            }
        }
        if let Some(session_id) = self.session_id {
            claims.insert("sid".to_owned(), session_id.into());
        }
        Value::Object(claims)
    }
}
