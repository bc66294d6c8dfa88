//! Sessions of bearer tokens, and the revocation of tokens.

use std::fmt;

use time::{Duration, OffsetDateTime};

use crate::shared::{ApiClientId, GrantId, ResellerId};
use crate::tenancy::Member;

/// Key of a session: a SHA-256 over the token's session claims. It cannot be turned back into a token, but it
/// identifies the session, so `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub [u8; 32]);

/// Error for a text that is not a [`SessionKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session key has 64 lower-case hex digits")]
pub struct InvalidSessionKey;

impl SessionKey {
    /// Returns the stored form: 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Parses the output of [`SessionKey::to_hex`].
    ///
    /// # Errors
    /// [`InvalidSessionKey`].
    pub fn from_hex(text: &str) -> Result<Self, InvalidSessionKey> {
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| InvalidSessionKey)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: &u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(InvalidSessionKey),
            };
            *byte = pair.iter().try_fold(0, |sum, digit| Ok::<u8, InvalidSessionKey>(sum << 4 | value(digit)?))?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(******)")
    }
}

/// Key of one token: a SHA-256 over its id, or over all its claims if it has none. `Debug` hides it, as for
/// [`SessionKey`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey(pub [u8; 32]);

impl TokenKey {
    /// Returns the stored form: 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        SessionKey(self.0).to_hex()
    }

    /// Parses the output of [`TokenKey::to_hex`].
    ///
    /// # Errors
    /// [`InvalidSessionKey`].
    pub fn from_hex(text: &str) -> Result<Self, InvalidSessionKey> {
        SessionKey::from_hex(text).map(|key| Self(key.0))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(******)")
    }
}

/// The properties of a token that its revocation is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionToken {
    /// The session it belongs to.
    pub session: SessionKey,
    /// Key of the token.
    pub token: TokenKey,
    /// When it was issued, by the identity provider's clock.
    pub issued_at: OffsetDateTime,
}

/// A revoked token. Until it expires it neither starts nor resolves a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevokedToken {
    /// The session it belonged to.
    pub session: SessionKey,
    /// Key of the token; none if the session did not record it.
    pub token: Option<TokenKey>,
    /// Tokens of the session that were issued before this instant are revoked too.
    pub issued_at: OffsetDateTime,
}

impl RevokedToken {
    /// Returns whether `token` is revoked: it is this token or an earlier one of the same session. A later token is
    /// not, because single sign-on reuses the identity provider's session for the next log-in.
    #[must_use]
    pub fn covers(&self, token: &SessionToken) -> bool {
        self.session == token.session && (self.token == Some(token.token) || token.issued_at < self.issued_at)
    }
}

/// Identifier of an application or a channel: 1 to 64 lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

/// Error for a text that is not a [`Slug`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of an application or a channel has 1 to 64 lower-case letters, digits and '-'")]
pub struct InvalidSlug;

impl Slug {
    /// Parses a slug.
    ///
    /// # Errors
    /// [`InvalidSlug`].
    pub fn parse(text: &str) -> Result<Self, InvalidSlug> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidSlug) }
    }

    /// Returns the slug as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Client application and channel of a session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientApp {
    /// Application, for example `merchant-portal`.
    pub application: Slug,
    /// Channel, for example `web`.
    pub channel: Slug,
}

/// What a token was resolved to, for the requests that follow with it (contract, section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Key of the session.
    pub key: SessionKey,
    /// The grant it is based on. The session ends with its grant.
    pub grant: GrantId,
    /// User or API client, its party and its role.
    pub member: Member,
    /// Current reseller of the merchant that is acted for; the reseller itself if it acts.
    pub reseller: Option<ResellerId>,
    /// Application and channel that the session was started from.
    pub client_app: ClientApp,
    /// The API client, for a machine's session.
    pub client: Option<ApiClientId>,
    /// Key of the initiating token; none if an earlier server version started the session.
    pub token: Option<TokenKey>,
    /// When the initiating token was issued, by the identity provider's clock.
    pub token_issued_at: OffsetDateTime,
    /// When it was last initiated.
    pub started_at: OffsetDateTime,
    /// First instant at which it is expired.
    pub ends_at: OffsetDateTime,
}

impl Session {
    /// Returns when a session that starts at `now` expires.
    ///
    /// If the token belongs to a session of the identity provider, refreshed tokens of the same session may follow for
    /// up to `max_lifetime`. Otherwise the session expires with its token.
    #[must_use]
    pub fn end(
        now: OffsetDateTime,
        token_expires_at: OffsetDateTime,
        token_is_refreshed: bool,
        max_lifetime: Duration,
    ) -> OffsetDateTime {
        let latest = now.saturating_add(max_lifetime);
        if token_is_refreshed { latest } else { latest.min(token_expires_at) }
    }

    /// Returns the token to revoke when this session ends. If the session did not record its token, this covers all
    /// tokens issued up to the initiating token's instant.
    #[must_use]
    pub fn revoked_token(&self) -> RevokedToken {
        let unknown = if self.token.is_some() { Duration::ZERO } else { Duration::MICROSECOND };
        RevokedToken { session: self.key, token: self.token, issued_at: self.token_issued_at.saturating_add(unknown) }
    }

    /// Returns whether the initiating token is revoked.
    #[must_use]
    pub fn is_revoked_by(&self, ended: &RevokedToken) -> bool {
        let same = self.token.is_some() && self.token == ended.token;
        self.key == ended.session && (same || self.token_issued_at < ended.issued_at)
    }

    /// Returns whether it is expired: true from the instant `ends_at` on.
    #[must_use]
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now >= self.ends_at
    }
}
