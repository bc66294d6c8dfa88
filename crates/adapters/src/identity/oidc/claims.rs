//! What the payload must say. Pure: the time is an argument.

use std::collections::BTreeSet;

use pos_domain::{MerchantId, ResellerId, SessionKey, TokenKey, UserId};
use pos_port_identity::{Principal, TokenSession, VerifyError};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::rejection::Rejection;

/// The rules for a payload (contract, section 4).
#[derive(Debug, Clone)]
pub(super) struct ClaimRules {
    /// `iss` must be exactly this.
    pub(super) issuer: String,
    /// Must be in `aud`, or be `azp`.
    pub(super) audience: String,
    /// The claim that names the merchant: a claim's name, or a path of names joined by dots.
    pub(super) merchant_claim: String,
    /// The claim that names the reseller, likewise.
    pub(super) reseller_claim: String,
    /// The claim that lists the roles, likewise; empty when roles are not looked for.
    pub(super) roles_claim: String,
    /// How far the provider's clock and ours may be apart.
    pub(super) leeway: Duration,
}

/// A payload that passed: whom it names, and when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) principal: Principal,
    pub(super) validity: Validity,
}

/// The span in which a token holds, leeway included: `from <= now < until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    from: OffsetDateTime,
    until: OffsetDateTime,
}

impl Validity {
    /// Whether a token with this span holds at `now`.
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

/// Why a payload names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is no good.
    Rejected(Rejection),
    /// The token is good if its signature is, and this claim, as the settings name it, is not what it must be.
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
    /// Judges a payload at `now`. A token that is marked as an access token by its header (RFC 9068) need not say so in
    /// its payload; any other must. The claims that the settings name come last.
    pub(super) fn check(&self, claims: &Claims, marked: bool, now: OffsetDateTime) -> Result<Accepted, Refusal> {
        if text(claims, "iss", "issuer malformed")? != Some(&self.issuer) {
            return Err(Rejection("another issuer").into());
        }
        // Keycloak says in the payload what a token is for, and has the same media type for all of them.
        match text(claims, "typ", "token type malformed")? {
            Some("Bearer") => {}
            None if marked => {}
            None => return Err(Rejection("not marked as an access token").into()),
            Some(_) => return Err(Rejection("not an access token").into()),
        }
        // Security events (RFC 8417), of which a logout token is one, let nobody in (RFC 8725, section 3.12).
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

    /// An array of texts, or texts in one with spaces between (RFC 6749, section 3.3, has scopes so).
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

/// A UUID under a claim's name or path; `None` when it is absent. A list of exactly one text counts as that text: Keycloak
/// writes one for an attribute that may have more values.
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
        // All that the token says, rather than its text: a signature may be written in more than one way.
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

/// The key of the provider's session (`sid`); `None` when the token belongs to none.
pub(super) fn session_key(claims: &Claims) -> Result<Option<SessionKey>, Rejection> {
    let malformed = "session id malformed";
    match text(claims, "sid", malformed)? {
        Some("") => Err(Rejection(malformed)),
        sid => Ok(sid.map(|sid| hashed("sid", sid.as_bytes()))),
    }
}

/// Hashes of different kinds of things never meet.
fn hashed(kind: &str, value: &[u8]) -> SessionKey {
    SessionKey(Sha256::new().chain_update(kind).chain_update([0]).chain_update(value).finalize().into())
}

/// A text claim; `None` when it is absent.
pub(super) fn text<'c>(claims: &'c Claims, name: &str, malformed: &'static str) -> Result<Option<&'c str>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection(malformed)),
    }
}

/// A `NumericDate`: seconds since 1970, possibly with a fraction (RFC 7519, section 2); `None` when it is absent.
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

/// The value at a path. A claim whose whole name is the path goes first, because names of claims may hold dots.
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
