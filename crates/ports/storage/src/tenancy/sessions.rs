//! Session store port: start, look-up, end and logout of sessions.

use async_trait::async_trait;
use pos_domain::audit::AuditEvent;
use pos_domain::shared::UserId;
use pos_domain::tenancy::{Session, SessionKey, SessionToken};
use time::OffsetDateTime;

use crate::shared::StorageError;

/// Stores initiated sessions.
///
/// A session is found only while all of this is true at the moment of the look-up: its grant is valid, neither the
/// session nor the requesting token was ended or logged out, and it is not expired. So if an end and a start are
/// concurrent, on any replica, the end wins. Starts, ends and logouts write their audit event in the same transaction.
#[async_trait]
pub trait SessionRepository: Send + Sync {
    /// Starts a session, replaces the one with the same key, and stores `audit`; a refused start stores nothing.
    ///
    /// # Errors
    /// [`StartError::NoGrant`] if no membership and no unrevoked API client has its grant, its user or client, its
    /// party, and its role or a higher one. [`StartError::LoggedOut`] if the identity provider ended the token's
    /// session, or all of the user's, and the token was issued at or before that instant. [`StartError::Ended`] if the
    /// token's session was ended in another way.
    async fn start(&self, session: &Session, audit: &AuditEvent) -> Result<(), StartError>;

    /// Returns the session of a token if it is valid at `now` and the token was not ended or logged out. Its reseller
    /// is the merchant's current one.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(&self, token: &SessionToken, now: OffsetDateTime) -> Result<Option<Session>, StorageError>;

    /// Returns the session with this key, for any of its tokens.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_by_key(&self, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, StorageError>;

    /// Ends the session of a token that was not ended or logged out, and returns whether there was one; if so, stores
    /// `audit`. Of concurrent callers exactly one gets `true`. Then neither the token, nor the one that started the
    /// session, nor an earlier one of the same session (see [`pos_domain::tenancy::RevokedToken`]) can start another until
    /// `expires_at`, when all of them are expired.
    ///
    /// A session that ends with its membership or its API client revokes the token that started it as well.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn end(
        &self,
        token: &SessionToken,
        expires_at: OffsetDateTime,
        audit: &AuditEvent,
    ) -> Result<bool, StorageError>;

    /// Returns whether the token's session was ended, other than by a logout.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn is_ended(&self, token: &SessionToken) -> Result<bool, StorageError>;

    /// Stores a logout by the identity provider: the session ends, and no session that the logout covers can be started
    /// until `expires_at`, when all of their tokens are expired. Of two logouts of one session or user the later
    /// instant applies. Each logout stores its `audit`, whether a session existed or not, because it also prevents
    /// later starts.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn log_out(
        &self,
        logout: &Logout,
        expires_at: OffsetDateTime,
        audit: &AuditEvent,
    ) -> Result<(), StorageError>;
}

/// A logout by the identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logout {
    /// One session, for tokens issued at or before an instant of the provider's clock. A later token of the same
    /// session belongs to a later log-in.
    Session {
        /// Key of the session.
        session: SessionKey,
        /// Last instant of issue that is covered.
        issued_until: OffsetDateTime,
    },
    /// All sessions of a user, for tokens issued at or before an instant of the provider's clock.
    User {
        /// Id of the user.
        user_id: UserId,
        /// Last instant of issue that is covered.
        issued_until: OffsetDateTime,
    },
}

/// Why a session was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its grant does not exist, is revoked, or does not match.
    #[error("the membership or the API client does not exist or was revoked")]
    NoGrant,
    /// The identity provider logged it out.
    #[error("the session was logged out")]
    LoggedOut,
    /// The token's session was ended by its user, or with its membership or API client.
    #[error("the token's session was ended")]
    Ended,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
