//! Validation of an access token's claims. Pure: the time is an argument.

use std::collections::BTreeSet;

use pos_domain::shared::{MerchantId, ResellerId, UserId};
use pos_domain::tenancy::{SessionKey, TokenKey};
use pos_port_identity::{Principal, TokenSession, VerifyError};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::oidc::rejection::Rejection;

/// The rules for a payload (contract, section 4).
#[derive(Debug, Clone)]
pub(super) struct ClaimRules {
    /// `iss` must be exactly this.
    pub(super) issuer: String,
    /// Must be in `aud`, or equal `azp`.
    pub(super) audience: String,
    /// The claim with the merchant id: a claim name, or a path of names separated by dots.
    pub(super) merchant_claim: String,
    /// The claim with the reseller id, likewise.
    pub(super) reseller_claim: String,
    /// The claim with the roles, likewise; empty if tokens have no roles.
    pub(super) roles_claim: String,
    /// Maximum clock difference between the provider and this server.
    pub(super) leeway: Duration,
}

/// Accepted claims: the principal and the validity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) principal: Principal,
    pub(super) validity: Validity,
}

/// The validity period of a token, including the leeway: `from <= now < until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    from: OffsetDateTime,
    until: OffsetDateTime,
}

impl Validity {
    /// Checks that `now` is within the period.
    pub(super) fn check(self, now: OffsetDateTime) -> Result<(), Rejection> {
        if now >= self.until {
            return Err(Rejection("expired"));
        }
        if now < self.from {
            return Err(Rejection("not valid yet"));
        }
        Ok(())
    }
}

type Claims = Map<String, Value>;

/// Why claims are not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is invalid.
    Rejected(Rejection),
    /// The token is otherwise valid (if its signature is), but this configured claim has the wrong type.
    Claim { claim: String, wanted: &'static str },
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Refusal> for VerifyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected(rejection) => rejection.into(),
            Refusal::Claim { claim, wanted } => Self::Claim { claim, wanted },
        }
    }
}

impl ClaimRules {
    /// Validates claims at `now`. A token that its header marks as an access token (RFC 9068) needs no mark in its payload;
    /// any other token does. The configured claims are validated last.
    pub(super) fn check(&self, claims: &Claims, marked: bool, now: OffsetDateTime) -> Result<Accepted, Refusal> {
        if text(claims, "iss", "issuer malformed")? != Some(&self.issuer) {
            return Err(Rejection("another issuer").into());
        }
        // Keycloak marks the kind of a token in the payload, and uses the same media type for all kinds.
        match text(claims, "typ", "token type malformed")? {
            Some("Bearer") => {}
            None if marked => {}
            None => return Err(Rejection("not marked as an access token").into()),
            Some(_) => return Err(Rejection("not an access token").into()),
        }
        // Security event tokens (RFC 8417), such as logout tokens, are not access tokens (RFC 8725, section 3.12).
        if claims.contains_key("events") {
            return Err(Rejection("not an access token").into());
        }
        self.check_audience(claims)?;
        let validity = self.validity(claims)?;
        validity.check(now)?;
        let user_id = subject(claims)?.ok_or(Rejection("no subject"))?;
        let authorized_party = text(claims, "azp", "audience malformed")?.map(str::to_owned);
        let session = session(claims)?;
        let principal = Principal {
            user_id,
            merchant_id: id(claims, &self.merchant_claim)?.map(MerchantId),
            reseller_id: id(claims, &self.reseller_claim)?.map(ResellerId),
            roles: self.roles(claims)?,
            authorized_party,
            session,
        };
        Ok(Accepted { principal, validity })
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), Rejection> {
        let malformed = Rejection("audience malformed");
        let mut named = match claims.get("aud") {
            None => false,
            Some(Value::String(audience)) => *audience == self.audience,
            Some(Value::Array(audiences)) if audiences.iter().all(Value::is_string) => {
                audiences.iter().any(|audience| audience.as_str() == Some(&self.audience))
            }
            Some(_) => return Err(malformed),
        };
        named |= text(claims, "azp", malformed.0)? == Some(&self.audience);
        if named { Ok(()) } else { Err(Rejection("another audience")) }
    }

    fn validity(&self, claims: &Claims) -> Result<Validity, Rejection> {
        let expires = instant(claims, "exp")?.ok_or(Rejection("no expiry"))?;
        let starts = [instant(claims, "nbf")?, instant(claims, "iat")?].into_iter().flatten().max();
        let from = starts.map_or(OffsetDateTime::UNIX_EPOCH, |starts| starts.saturating_sub(self.leeway));
        Ok(Validity { from, until: expires.saturating_add(self.leeway) })
    }

    /// An array of strings, or one string separated by spaces (as scopes in RFC 6749, section 3.3).
    fn roles(&self, claims: &Claims) -> Result<Option<BTreeSet<String>>, Refusal> {
        let malformed = || Refusal::Claim { claim: self.roles_claim.clone(), wanted: "a list of texts, or one text" };
        if self.roles_claim.is_empty() {
            return Ok(None);
        }
        let words = match lookup(claims, &self.roles_claim).map_err(|NotAnObject| malformed())? {
            None => BTreeSet::new(),
            Some(Value::String(words)) => words.split(' ').map(str::to_owned).collect(),
            Some(Value::Array(words)) => {
                let word = |word: &Value| word.as_str().map(str::to_owned).ok_or_else(malformed);
                words.iter().map(word).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(malformed()),
        };
        Ok(Some(words))
    }
}

/// The UUID at a claim path; `None` if absent. A list with exactly one string counts as that string: Keycloak writes a list
/// for a multivalued attribute.
fn id(claims: &Claims, path: &str) -> Result<Option<Uuid>, Refusal> {
    let malformed = || Refusal::Claim { claim: path.to_owned(), wanted: "one UUID" };
    let Some(value) = lookup(claims, path).map_err(|NotAnObject| malformed())? else {
        return Ok(None);
    };
    let one = match value {
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] => Some(text.as_str()),
            _ => None,
        },
        other => other.as_str(),
    };
    let hyphenated = one.filter(|text| text.len() == uuid::fmt::Hyphenated::LENGTH);
    hyphenated.and_then(|text| Uuid::try_parse(text).ok()).map(Some).ok_or_else(malformed)
}

/// The subject (`sub`).
pub(super) fn subject(claims: &Claims) -> Result<Option<UserId>, Rejection> {
    let malformed = "subject malformed";
    text(claims, "sub", malformed)?.map(|text| UserId::parse(text).map_err(|_| Rejection(malformed))).transpose()
}

fn session(claims: &Claims) -> Result<TokenSession, Rejection> {
    let of_provider = session_key(claims)?;
    let own = match text(claims, "jti", "token id malformed")? {
        Some(token_id) if !token_id.is_empty() => hashed("jti", token_id.as_bytes()),
        // The claims instead of the token's text: a signature may have more than one encoding.
        _ => hashed("token", &serde_json::to_vec(claims).unwrap_or_default()),
    };
    Ok(TokenSession {
        key: of_provider.unwrap_or(own),
        token: TokenKey(own.0),
        is_refreshed: of_provider.is_some(),
        issued_at: instant(claims, "iat")?.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        expires_at: instant(claims, "exp")?.ok_or(Rejection("no expiry"))?,
    })
}

/// The key of the provider's session (`sid`); `None` if the token has none.
pub(super) fn session_key(claims: &Claims) -> Result<Option<SessionKey>, Rejection> {
    let malformed = "session id malformed";
    match text(claims, "sid", malformed)? {
        Some("") => Err(Rejection(malformed)),
        sid => Ok(sid.map(|sid| hashed("sid", sid.as_bytes()))),
    }
}

/// Hashes a value with its kind, so that values of different kinds never collide.
fn hashed(kind: &str, value: &[u8]) -> SessionKey {
    SessionKey(Sha256::new().chain_update(kind).chain_update([0]).chain_update(value).finalize().into())
}

/// A string claim; `None` if absent.
pub(super) fn text<'c>(claims: &'c Claims, name: &str, malformed: &'static str) -> Result<Option<&'c str>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection(malformed)),
    }
}

/// A `NumericDate`: seconds since 1970, possibly with a fraction (RFC 7519, section 2); `None` if absent.
pub(super) fn instant(claims: &Claims, name: &str) -> Result<Option<OffsetDateTime>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let since_epoch = match (value.as_i64(), value.as_f64()) {
        (Some(seconds), _) => Some(Duration::seconds(seconds)),
        (None, Some(seconds)) => Duration::checked_seconds_f64(seconds),
        (None, None) => None,
    };
    let at = since_epoch.and_then(|since_epoch| OffsetDateTime::UNIX_EPOCH.checked_add(since_epoch));
    at.map(Some).ok_or(Rejection("a time is malformed"))
}

struct NotAnObject;

/// The value at a path. A claim whose name equals the whole path takes precedence, because claim names may contain dots.
fn lookup<'c>(claims: &'c Claims, path: &str) -> Result<Option<&'c Value>, NotAnObject> {
    if let Some(value) = claims.get(path) {
        return Ok(Some(value));
    }
    let Some((name, rest)) = path.split_once('.') else { return Ok(None) };
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Object(inner)) => lookup(inner, rest),
        Some(_) => Err(NotAnObject),
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
