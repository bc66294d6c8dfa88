//! Key set of the provider (JWKS), as fetched at one time.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::CoreJsonWebKey;
use openidconnect::{JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyUse};
use serde_json::Value;
use time::OffsetDateTime;

use crate::oidc::algorithm::Algorithm;
use crate::oidc::rejection::Rejection;

/// Minimum length of an RSA modulus, in bits (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;

/// A provider's usable keys, as fetched at one time.
pub(super) struct KeySet {
    keys: Vec<PublicKey>,
    /// Number of different key sets so far, from 1. Fetching the same keys again does not change it.
    pub(super) generation: u64,
    /// When it was last fetched.
    pub(super) fetched_at: OffsetDateTime,
}

struct PublicKey {
    jwk: Arc<CoreJsonWebKey>,
    fits: Vec<Algorithm>,
}

/// A key that a token may have been signed with.
#[derive(Clone)]
pub(super) struct TrustedKey {
    pub(super) jwk: Arc<CoreJsonWebKey>,
    pub(super) generation: u64,
}

impl KeySet {
    /// Returns the set after a fetch, or `None` if no key is usable. An unusable key is left out without affecting others.
    pub(super) fn after(before: Option<&Self>, jwks: Vec<CoreJsonWebKey>, now: OffsetDateTime) -> Option<Self> {
        let keys: Vec<_> = jwks.into_iter().filter_map(PublicKey::usable).collect();
        let same = |before: &&Self| before.keys.iter().map(|key| &key.jwk).eq(keys.iter().map(|key| &key.jwk));
        let generation = match (before, before.filter(same)) {
            (_, Some(same)) => same.generation,
            (Some(before), None) => before.generation.saturating_add(1),
            (None, None) => 1,
        };
        (!keys.is_empty()).then_some(Self { keys, generation, fetched_at: now })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Finds the key of a token's header; `None` if it is not in this set.
    ///
    /// A known key id selects its key. If that key does not fit the algorithm, the token is rejected, and no newer keys
    /// are fetched. Without a key id, exactly one key must fit.
    pub(super) fn find(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<Option<TrustedKey>, Rejection> {
        let named = |key: &&PublicKey| key_id.is_none_or(|id| key.id() == Some(id));
        let mut fitting = self.keys.iter().filter(named).filter(|key| key.fits.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(Some(TrustedKey { jwk: key.jwk.clone(), generation: self.generation })),
            (Some(_), Some(_)) => Err(Rejection("more than one key fits")),
            (None, _) if key_id.is_some() && self.keys.iter().any(|key| named(&key)) => {
                Err(Rejection("key does not fit the algorithm"))
            }
            (None, _) => Ok(None),
        }
    }
}

impl PublicKey {
    fn usable(jwk: CoreJsonWebKey) -> Option<Self> {
        let json = serde_json::to_value(&jwk).ok()?;
        let fits: Vec<_> = Algorithm::ALL.into_iter().filter(|algorithm| fits(&jwk, &json, *algorithm)).collect();
        (!fits.is_empty()).then(|| Self { jwk: Arc::new(jwk), fits })
    }

    fn id(&self) -> Option<&str> {
        self.jwk.key_id().map(|id| id.as_str())
    }
}

/// Whether a key has the type, curve and length that an algorithm needs, and does not declare another use or algorithm.
fn fits(jwk: &CoreJsonWebKey, json: &Value, algorithm: Algorithm) -> bool {
    let declared = match jwk.signing_alg() {
        JsonWebKeyAlgorithm::Unspecified => true,
        JsonWebKeyAlgorithm::Algorithm(named) => *named == algorithm.core(),
        JsonWebKeyAlgorithm::Unsupported => false,
    };
    let signs = jwk.key_use().is_none_or(JsonWebKeyUse::allows_signature);
    let strong = match algorithm.curve() {
        Some(curve) => json.get("crv").and_then(Value::as_str) == Some(curve),
        None => json.get("n").and_then(Value::as_str).is_some_and(|n| modulus_bits(n) >= MIN_RSA_BITS),
    };
    declared && signs && strong && *jwk.key_type() == algorithm.key_type()
}

fn modulus_bits(base64: &str) -> usize {
    let bytes = URL_SAFE_NO_PAD.decode(base64).unwrap_or_default();
    let mut significant = bytes.iter().skip_while(|byte| **byte == 0);
    let first = significant.next().copied().unwrap_or_default();
    significant.count() * 8 + 8 - first.leading_zeros() as usize
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

    fn jwk(json: Value) -> CoreJsonWebKey {
        serde_json::from_value(json).expect("a key the library reads")
    }

    fn modulus(first: u8, len: usize) -> String {
        let mut bytes = vec![0xA5; len];
        bytes[0] = first;
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn rsa(kid: &str) -> Value {
        json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": modulus(0x80, 256), "e": "AQAB"})
    }

    fn ec(kid: &str) -> Value {
        let half = URL_SAFE_NO_PAD.encode([7; 32]);
        json!({"kty": "EC", "kid": kid, "crv": "P-256", "x": half, "y": half})
    }

    fn set(keys: impl IntoIterator<Item = Value>) -> Option<KeySet> {
        KeySet::after(None, keys.into_iter().map(jwk).collect(), NOW)
    }

    fn found(set: &KeySet, kid: Option<&str>, algorithm: Algorithm) -> Result<Option<String>, &'static str> {
        let key = set.find(kid, algorithm).map_err(|Rejection(reason)| reason)?;
        Ok(key.map(|key| key.jwk.key_id().map(|id| id.to_string()).unwrap_or_default()))
    }

    #[test]
    fn a_key_id_selects_the_key_and_it_must_fit() {
        let set = set([rsa("r"), ec("e")]).expect("usable keys");
        assert_eq!(found(&set, Some("r"), Algorithm::Rs256), Ok(Some("r".into())));
        assert_eq!(found(&set, Some("e"), Algorithm::Es256), Ok(Some("e".into())));
        for (kid, algorithm) in [
            ("r", Algorithm::Es256),
            ("r", Algorithm::Rs384),
            ("r", Algorithm::Ps256),
            ("e", Algorithm::Rs256),
            ("e", Algorithm::Es384),
        ] {
            assert_eq!(found(&set, Some(kid), algorithm), Err("key does not fit the algorithm"), "{kid} {algorithm:?}");
        }
        assert_eq!(found(&set, Some("x"), Algorithm::Rs256), Ok(None));
    }

    #[test]
    fn without_a_key_id_exactly_one_key_must_fit() {
        let set = set([rsa("r1"), rsa("r2"), ec("e")]).expect("usable keys");
        assert_eq!(found(&set, None, Algorithm::Es256), Ok(Some("e".into())));
        assert_eq!(found(&set, None, Algorithm::Rs256), Err("more than one key fits"));
        assert_eq!(found(&set, None, Algorithm::Ps256), Ok(None));
    }

    #[test]
    fn unusable_keys_are_left_out() {
        for key in [
            json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "use": "enc", "n": modulus(0x80, 256), "e": "AQAB"}),
            json!({"kty": "RSA", "n": modulus(0x7f, 256), "e": "AQAB"}),
            json!({"kty": "RSA", "n": modulus(0x80, 128), "e": "AQAB"}),
            json!({"kty": "RSA", "e": "AQAB"}),
            json!({"kty": "RSA", "alg": "HS256", "n": modulus(0x80, 256), "e": "AQAB"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        ] {
            assert!(set([key.clone()]).is_none(), "{key}");
            assert_eq!(set([key.clone(), rsa("r")]).map(|set| set.len()), Some(1), "{key}");
        }
    }

    #[test]
    fn the_generation_counts_changes_only() {
        let first = set([rsa("a")]).expect("usable");
        let same = KeySet::after(Some(&first), vec![jwk(rsa("a"))], NOW).expect("usable");
        let other = KeySet::after(Some(&same), vec![jwk(rsa("b"))], NOW).expect("usable");
        assert_eq!([first.generation, same.generation, other.generation], [1, 1, 2]);
    }
}
