use std::collections::BTreeSet;

use pos_domain::{MerchantId, Party, ResellerId, Role, SessionKey, SessionToken, TokenKey, UserId};
use time::OffsetDateTime;

/// Who a verified token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user or API client (`sub`).
    pub user_id: UserId,
    /// The merchant it acts for, when the token names one.
    pub merchant_id: Option<MerchantId>,
    /// The reseller it acts for, or the merchant's, when the token names one.
    pub reseller_id: Option<ResellerId>,
    /// The provider's words for its roles; `None` when the installation does not look for them in tokens.
    pub roles: Option<BTreeSet<String>>,
    /// The application the token was issued to (`azp`).
    pub authorized_party: Option<String>,
    /// The token's session.
    pub session: TokenSession,
}

/// What a token says of the session it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSession {
    /// What our session is kept under: a hash over the provider's session (`sid`), else over the token's own id
    /// (`jti`), else over all that the token says.
    pub key: SessionKey,
    /// Which token of the session it is: a hash over its own id (`jti`), else over all that it says.
    pub token: TokenKey,
    /// Whether the token names a session of the provider, which later tokens go on with.
    pub is_refreshed: bool,
    /// When the token was issued, by the provider's clock; 1970 when it does not say.
    pub issued_at: OffsetDateTime,
    /// When the token ends, without leeway.
    pub expires_at: OffsetDateTime,
}

impl TokenSession {
    /// The token, as the store of sessions knows it.
    #[must_use]
    pub fn token(&self) -> SessionToken {
        SessionToken { session: self.key, token: self.token, issued_at: self.issued_at }
    }
}

impl Principal {
    /// A principal for fakes: a token that names a user and perhaps a merchant, of a session that is the user's, whose
    /// roles are not looked at, and which lasts as long as any clock.
    #[must_use]
    pub fn fixed(user_id: UserId, merchant_id: Option<MerchantId>) -> Self {
        let mut key = [0; 32];
        key.iter_mut().zip(user_id.as_str().bytes()).for_each(|(place, byte)| *place = byte);
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

    /// The highest role that the token allows at a party: any, when roles are not looked for in tokens; `None` when
    /// they are and it names none there.
    #[must_use]
    pub fn highest_role(&self, party: Party) -> Option<Role> {
        match &self.roles {
            None => Some(Role::Admin),
            Some(words) => Role::named_by(words.iter().map(String::as_str), party),
        }
    }
}
