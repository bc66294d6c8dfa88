use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use super::{GrantId, Party, Role};

/// The name by which a machine asks for its session, the same at the identity provider: 1 to 64 letters, digits, `.`,
/// `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiClientId(String);

/// A text that is no [`ApiClientId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client id has 1 to 64 letters, digits, '.', '_' and '-'")]
pub struct InvalidApiClientId;

impl ApiClientId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Reads an id.
    ///
    /// # Errors
    /// [`InvalidApiClientId`].
    pub fn parse(text: &str) -> Result<Self, InvalidApiClientId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidApiClientId) }
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A machine that acts for a merchant or a reseller with a secret of its own. The secret itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiClient {
    /// Its name.
    pub id: ApiClientId,
    /// Its present secret's grant; another secret is another grant.
    pub grant: GrantId,
    /// Whom it acts for.
    pub party: Party,
    /// What it may do there.
    pub role: Role,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it was revoked, for good.
    pub revoked_at: Option<OffsetDateTime>,
}

/// What is stored of a client's secret: its SHA-256. Our secrets are 256 random bits, so nobody guesses one from its
/// digest, and a slow hash would protect nothing more. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(String);

const SHA_256: &str = "$sha256$";

impl SecretHash {
    /// The digest of a secret.
    #[must_use]
    pub fn of_secret(secret: &str) -> Self {
        let digest = Sha256::digest(secret);
        Self(digest.iter().fold(SHA_256.to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// Whether it is the digest of this secret. Takes as long for every secret of one length.
    #[must_use]
    pub fn matches(&self, secret: &str) -> bool {
        self.0.as_bytes().ct_eq(Self::of_secret(secret).0.as_bytes()).into()
    }

    /// Whether a secret can be compared with it. Not with a hash of an earlier version: its client needs another secret.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.0.starts_with(SHA_256)
    }

    /// Takes a hash over from the store; whether it is one shows when a secret is compared with it.
    #[must_use]
    pub fn of_phc(phc: String) -> Self {
        Self(phc)
    }

    /// The text for the store: `$sha256$` and 64 hex digits.
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
