//! Principal of a verified token, and the token's session.

use std::collections::BTreeSet;

use pos_domain::shared::{MerchantId, Party, ResellerId, Role, UserId};
use pos_domain::tenancy::{SessionKey, SessionToken, TokenKey};
use time::OffsetDateTime;

/// Identity and claims of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user or API client (`sub`).
    pub user_id: UserId,
    /// Merchant that it acts for, if the token names one.
    pub merchant_id: Option<MerchantId>,
    /// Reseller that it acts for, or the merchant's reseller, if the token names one.
    pub reseller_id: Option<ResellerId>,
    /// Role names in the token; `None` if the installation does not read roles from tokens.
    pub roles: Option<BTreeSet<String>>,
    /// Application that the token was issued to (`azp`).
    pub authorized_party: Option<String>,
    /// Session of the token.
    pub session: TokenSession,
}

/// Session claims of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSession {
    /// Key of our session: a hash over the provider's session (`sid`), else over the token's id (`jti`), else over all
    /// claims.
    pub key: SessionKey,
    /// Key of the token: a hash over its id (`jti`), else over all claims.
    pub token: TokenKey,
    /// Whether the token names a session of the provider, so that refreshed tokens of the same session can follow.
    pub is_refreshed: bool,
    /// When the token was issued, by the provider's clock; 1970 if it does not say.
    pub issued_at: OffsetDateTime,
    /// When the token expires, without leeway.
    pub expires_at: OffsetDateTime,
}

impl TokenSession {
    /// Returns the token as the session store identifies it.
    #[must_use]
    pub fn token(&self) -> SessionToken {
        SessionToken { session: self.key, token: self.token, issued_at: self.issued_at }
    }
}

impl Principal {
    /// Returns a principal for fakes: a user and optionally a merchant, one session per user, no role claims, and no
    /// expiry within the range of any clock.
    #[must_use]
    pub fn fixed(user_id: UserId, merchant_id: Option<MerchantId>) -> Self {
        let mut key = [0; 32];
        key.iter_mut().zip(user_id.as_str().bytes()).for_each(|(slot, byte)| *slot = byte);
        Self {
            user_id,
            merchant_id,
            reseller_id: None,
            roles: None,
            authorized_party: None,
            session: TokenSession {
                key: SessionKey(key),
                token: TokenKey(key),
                is_refreshed: true,
                issued_at: OffsetDateTime::UNIX_EPOCH,
                expires_at: time::PrimitiveDateTime::MAX.assume_utc(),
            },
        }
    }

    /// Returns the highest role that the token allows at a party: any, if roles are not read from tokens; `None` if
    /// they are and the token names none for the party.
    #[must_use]
    pub fn highest_role(&self, party: Party) -> Option<Role> {
        match &self.roles {
            None => Some(Role::Admin),
            Some(words) => Role::named_by(words.iter().map(String::as_str), party),
        }
    }
}
