//! Tokens that were verified before.

use std::sync::Arc;

use pos_port_identity::Principal;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::claims::Accepted;

/// Remembers verified tokens, at most so many, by their hash: the tokens themselves are not kept.
///
/// An entry is good for as long as its token holds and the key set is the one it was verified with: a key that the
/// provider withdraws takes its tokens along. Rejected tokens are not remembered, so nobody can fill the cache without
/// good ones.
pub(super) struct TokenCache(Option<Cache<TokenHash, Entry>>);

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

#[derive(Clone)]
struct Entry {
    accepted: Arc<Accepted>,
    generation: u64,
}

pub(super) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

impl TokenCache {
    /// A cache for `capacity` tokens; 0 for none.
    pub(super) fn new(capacity: usize) -> Self {
        Self((capacity > 0).then(|| Cache::new(capacity)))
    }

    /// Whom the token names, if it was verified with this generation of keys and holds at `now`.
    pub(super) fn get(&self, token: &TokenHash, generation: u64, now: OffsetDateTime) -> Option<Principal> {
        let cache = self.0.as_ref()?;
        let entry = cache.get(token)?;
        if entry.generation == generation && entry.accepted.validity.check(now).is_ok() {
            return Some(entry.accepted.principal.clone());
        }
        cache.remove_if(token, |stored| Arc::ptr_eq(&stored.accepted, &entry.accepted));
        None
    }

    /// Remembers a token that was verified with this generation of keys.
    pub(super) fn put(&self, token: TokenHash, generation: u64, accepted: Accepted) {
        if let Some(cache) = &self.0 {
            cache.insert(token, Entry { accepted: Arc::new(accepted), generation });
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Cache::len)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::Duration;
    use time::macros::datetime;

    use super::super::claims::ClaimRules;
    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

    /// What the rules make of a token that holds for 60 s from now.
    fn accepted() -> Accepted {
        let rules = ClaimRules {
            issuer: "i".into(),
            audience: "a".into(),
            merchant_claim: "m".into(),
            reseller_claim: "r".into(),
            roles_claim: "roles".into(),
            leeway: Duration::ZERO,
        };
        let claims = json!({"iss": "i", "aud": "a", "sub": "s", "typ": "Bearer", "exp": NOW.unix_timestamp() + 60});
        rules.check(claims.as_object().expect("an object"), false, NOW).expect("good")
    }

    #[test]
    fn gives_back_until_expiry() {
        let cache = TokenCache::new(10);
        cache.put(hash("t"), 1, accepted());
        assert_eq!(cache.get(&hash("t"), 1, NOW + Duration::seconds(59)), Some(accepted().principal));
        assert_eq!(cache.get(&hash("u"), 1, NOW), None);
        assert_eq!(cache.get(&hash("t"), 1, NOW + Duration::seconds(60)), None);
        assert_eq!(cache.len(), 0, "an expired entry is dropped when it is met");
    }

    #[test]
    fn other_keys_end_an_entry() {
        let cache = TokenCache::new(10);
        cache.put(hash("t"), 1, accepted());
        assert_eq!(cache.get(&hash("t"), 2, NOW), None);
        assert_eq!(cache.get(&hash("t"), 1, NOW), None, "and it does not come back");
    }

    #[test]
    fn holds_no_more_than_it_may() {
        let cache = TokenCache::new(10);
        for token in 0..1_000 {
            cache.put(hash(&token.to_string()), 1, accepted());
        }
        assert!((1..=10).contains(&cache.len()), "{}", cache.len());
    }

    #[test]
    fn may_be_switched_off() {
        let cache = TokenCache::new(0);
        cache.put(hash("t"), 1, accepted());
        assert_eq!(cache.get(&hash("t"), 1, NOW), None);
    }
}
