use std::fmt;

use time::{Duration, OffsetDateTime};

use super::{ApiClientId, GrantId, Member, ResellerId};

/// What a session is found by: a SHA-256 over what the token says of its own session. It cannot be turned back into a
/// token, yet whoever holds it can name the session, so `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub [u8; 32]);

/// A text that is no [`SessionKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session key has 64 lower-case hex digits")]
pub struct InvalidSessionKey;

impl SessionKey {
    /// The key as a store keeps it: 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads what [`SessionKey::to_hex`] wrote.
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

/// A SHA-256 over what tells one token from every other: its id, or all that it says. `Debug` hides it, as it does a
/// [`SessionKey`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey(pub [u8; 32]);

impl TokenKey {
    /// The key as a store keeps it: 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        SessionKey(self.0).to_hex()
    }

    /// Reads what [`TokenKey::to_hex`] wrote.
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

/// One token of a session, as far as the session's end is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionToken {
    /// The session it belongs to.
    pub session: SessionKey,
    /// Which token it is.
    pub token: TokenKey,
    /// When it was issued, by the identity provider's clock.
    pub issued_at: OffsetDateTime,
}

/// A token whose session was ended. It starts no session and finds none, for as long as it could hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedToken {
    /// The session it belonged to.
    pub session: SessionKey,
    /// Which token it was; none where the session did not record it.
    pub token: Option<TokenKey>,
    /// Tokens of the session that were issued before this instant were ended with it.
    pub issued_at: OffsetDateTime,
}

impl EndedToken {
    /// Whether `token` was ended: it is this token, or an earlier one of the same session. A later one is not, because
    /// single sign-on gives the same session of the provider's to whoever logs in anew.
    #[must_use]
    pub fn covers(&self, token: &SessionToken) -> bool {
        self.session == token.session && (self.token == Some(token.token) || token.issued_at < self.issued_at)
    }
}

/// The short name of an application or a channel: 1 to 64 lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

/// A text that is no [`Slug`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of an application or a channel has 1 to 64 lower-case letters, digits and '-'")]
pub struct InvalidSlug;

impl Slug {
    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidSlug`].
    pub fn parse(text: &str) -> Result<Self, InvalidSlug> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidSlug) }
    }

    /// The name as it is written.
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

/// Where a caller comes in: which application, over which channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// For example `merchant-portal`.
    pub application: Slug,
    /// For example `web`.
    pub channel: Slug,
}

/// What a token's session was resolved to, for the requests that follow with it (contract, section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What it is found by.
    pub key: SessionKey,
    /// The grant it stands on: it ends with it.
    pub grant: GrantId,
    /// Who acts, for whom, and as what.
    pub member: Member,
    /// The reseller of the merchant that is acted for, as it is now; the reseller itself when it acts.
    pub reseller: Option<ResellerId>,
    /// Where the caller came in.
    pub place: Place,
    /// The API client, when it is a machine's.
    pub client: Option<ApiClientId>,
    /// The initiating token; none when a server of an earlier version started it.
    pub token: Option<TokenKey>,
    /// When the initiating token was issued, by the identity provider's clock.
    pub token_issued_at: OffsetDateTime,
    /// When it was initiated, the last time.
    pub started_at: OffsetDateTime,
    /// The first instant at which it is over by itself.
    pub ends_at: OffsetDateTime,
}

impl Session {
    /// When a session ends by itself that starts at `now`.
    ///
    /// A token that belongs to a session of the identity provider is followed by others of the same session, for
    /// `max_lifetime` at most; one that does not is alone, and its session ends with it.
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

    /// The token that ends with this session. Without a record of which it was, all tokens end that were issued up to
    /// its instant.
    #[must_use]
    pub fn ended_token(&self) -> EndedToken {
        let unknown = if self.token.is_some() { Duration::ZERO } else { Duration::MICROSECOND };
        EndedToken { session: self.key, token: self.token, issued_at: self.token_issued_at.saturating_add(unknown) }
    }

    /// Whether the token that started it was ended.
    #[must_use]
    pub fn is_ended_by(&self, ended: &EndedToken) -> bool {
        let same = self.token.is_some() && self.token == ended.token;
        self.key == ended.session && (same || self.token_issued_at < ended.issued_at)
    }

    /// Whether it is over by itself: true from the instant `ends_at` on.
    #[must_use]
    pub fn is_over(&self, now: OffsetDateTime) -> bool {
        now >= self.ends_at
    }
}
