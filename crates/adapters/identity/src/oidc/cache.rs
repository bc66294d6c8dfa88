//! Cache of verified tokens.

use std::sync::Arc;

use pos_port_identity::Principal;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::oidc::claims::Accepted;

/// Bounded cache of verified tokens by their hash. The tokens themselves are not stored.
///
/// An entry is valid until its token expires or the key set changes, so removing a key invalidates its tokens. Rejected
/// tokens are not cached, so the cache can only be filled with valid ones.
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
    /// Creates a cache for `capacity` tokens; 0 disables it.
    pub(super) fn new(capacity: usize) -> Self {
        Self((capacity > 0).then(|| Cache::new(capacity)))
    }

    /// Returns the principal of a token that was verified with this generation of keys and is valid at `now`.
    pub(super) fn get(&self, token: &TokenHash, generation: u64, now: OffsetDateTime) -> Option<Principal> {
        let cache = self.0.as_ref()?;
        let entry = cache.get(token)?;
        if entry.generation == generation && entry.accepted.validity.check(now).is_ok() {
            return Some(entry.accepted.principal.clone());
        }
        cache.remove_if(token, |stored| Arc::ptr_eq(&stored.accepted, &entry.accepted));
        None
    }

    /// Stores a token that was verified with this generation of keys.
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

    /// The accepted claims of a token that is valid for 60 s from now.
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
    fn returns_an_entry_until_it_expires() {
        let cache = TokenCache::new(10);
        cache.put(hash("t"), 1, accepted());
        assert_eq!(cache.get(&hash("t"), 1, NOW + Duration::seconds(59)), Some(accepted().principal));
        assert_eq!(cache.get(&hash("u"), 1, NOW), None);
        assert_eq!(cache.get(&hash("t"), 1, NOW + Duration::seconds(60)), None);
        assert_eq!(cache.len(), 0, "an expired entry is removed when it is read");
    }

    #[test]
    fn new_keys_invalidate_an_entry() {
        let cache = TokenCache::new(10);
        cache.put(hash("t"), 1, accepted());
        assert_eq!(cache.get(&hash("t"), 2, NOW), None);
        assert_eq!(cache.get(&hash("t"), 1, NOW), None, "the entry was removed");
    }

    #[test]
    fn the_capacity_is_not_exceeded() {
        let cache = TokenCache::new(10);
        for token in 0..1_000 {
            cache.put(hash(&token.to_string()), 1, accepted());
        }
        assert!((1..=10).contains(&cache.len()), "{}", cache.len());
    }

    #[test]
    fn capacity_zero_disables_the_cache() {
        let cache = TokenCache::new(0);
        cache.put(hash("t"), 1, accepted());
        assert_eq!(cache.get(&hash("t"), 1, NOW), None);
    }
}
