//! API clients: their ids, and the stored digests of their secrets.

use crate::shared::ApiClientId;
use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use crate::shared::{GrantId, Party, Role};

/// A machine that acts for a merchant or a reseller with its own secret. The secret itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiClient {
    /// Id of the client.
    pub id: ApiClientId,
    /// Grant of its current secret; a new secret is a new grant.
    pub grant: GrantId,
    /// Merchant or reseller that it acts for.
    pub party: Party,
    /// Role at the party.
    pub role: Role,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it was revoked. A revocation is permanent.
    pub revoked_at: Option<OffsetDateTime>,
}

/// SHA-256 of a client's secret. Our secrets are 256 random bits, so they cannot be guessed from the digest, and a slow
/// hash would add no protection. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(String);

const SHA_256: &str = "$sha256$";

impl SecretHash {
    /// Returns the digest of a secret.
    #[must_use]
    pub fn of_secret(secret: &str) -> Self {
        let digest = Sha256::digest(secret);
        Self(digest.iter().fold(SHA_256.to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// Returns whether this is the digest of `secret`: a constant-time comparison.
    #[must_use]
    pub fn matches(&self, secret: &str) -> bool {
        self.0.as_bytes().ct_eq(Self::of_secret(secret).0.as_bytes()).into()
    }

    /// Wraps a hash read from the store. It is not validated until a secret is compared with it.
    #[must_use]
    pub fn of_phc(phc: String) -> Self {
        Self(phc)
    }

    /// Returns the text to store: `$sha256$` and 64 hex digits.
    #[must_use]
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(******)")
    }
}
