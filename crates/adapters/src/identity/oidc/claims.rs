//! What the payload must say. Pure: the time is an argument.

use pos_domain::{MerchantId, UserId};
use pos_port_identity::Principal;
use serde_json::{Map, Value};
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

impl ClaimRules {
    /// Judges a payload at `now`.
    pub(super) fn check(&self, claims: &Claims, now: OffsetDateTime) -> Result<Accepted, Rejection> {
        if text(claims, "iss", "issuer malformed")? != Some(&self.issuer) {
            return Err(Rejection("another issuer"));
        }
        // Keycloak marks what a token is for; tokens without the mark are other providers' access tokens.
        if text(claims, "typ", "token type malformed")?.is_some_and(|typ| typ != "Bearer") {
            return Err(Rejection("not an access token"));
        }
        self.check_audience(claims)?;
        let validity = self.validity(claims)?;
        validity.check(now)?;
        let subject = text(claims, "sub", "subject malformed")?.ok_or(Rejection("no subject"))?;
        let user_id = UserId::parse(subject).map_err(|_| Rejection("subject malformed"))?;
        Ok(Accepted { principal: Principal { user_id, merchant_id: self.merchant(claims)? }, validity })
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

    fn merchant(&self, claims: &Claims) -> Result<Option<MerchantId>, Rejection> {
        let malformed = Rejection("merchant claim malformed");
        let Some(value) = lookup(claims, &self.merchant_claim).map_err(|NotAnObject| malformed)? else {
            return Ok(None);
        };
        let hyphenated = value.as_str().filter(|text| text.len() == uuid::fmt::Hyphenated::LENGTH);
        let id = hyphenated.and_then(|text| Uuid::try_parse(text).ok()).ok_or(malformed)?;
        Ok(Some(MerchantId(id)))
    }
}

/// A text claim; `None` when it is absent.
fn text<'c>(claims: &'c Claims, name: &str, malformed: &'static str) -> Result<Option<&'c str>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection(malformed)),
    }
}

/// A `NumericDate`: seconds since 1970, possibly with a fraction (RFC 7519, section 2); `None` when it is absent.
fn instant(claims: &Claims, name: &str) -> Result<Option<OffsetDateTime>, Rejection> {
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
