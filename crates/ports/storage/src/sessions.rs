use async_trait::async_trait;
use pos_domain::{AuditEvent, Session, SessionKey, SessionToken, UserId};
use time::OffsetDateTime;

use crate::StorageError;

/// Keeps initiated sessions.
///
/// A session is found only while all of this holds, judged at the moment of the look and not when something was
/// removed: its grant stands, neither it nor the token that asks was ended or logged out, and its time is not over. So of an end and a start that happen at
/// once, on whatever replicas, the end wins. Starts, ends and logouts are put on record in the same transaction.
#[async_trait]
pub trait SessionRepository: Send + Sync {
    /// Starts a session, in place of the one that has its key, and puts `told` on record; a refused start leaves nothing
    /// there.
    ///
    /// # Errors
    /// [`StartError::NoGrant`] when no membership, or no API client that is not revoked, has its grant, its user or
    /// client, its party, and its role or a higher one. [`StartError::LoggedOut`] when the identity provider ended the
    /// token's session, or all of the user's, and the token was issued up to that instant. [`StartError::Ended`] when the
    /// token's session was ended otherwise.
    async fn start(&self, session: &Session, told: &AuditEvent) -> Result<(), StartError>;

    /// The session of a token, if it holds at `now` and the token was not ended or logged out. Its reseller is the
    /// merchant's present one.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(&self, token: &SessionToken, now: OffsetDateTime) -> Result<Option<Session>, StorageError>;

    /// The session of this key, whichever of its tokens asks.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_by_key(&self, key: &SessionKey, now: OffsetDateTime) -> Result<Option<Session>, StorageError>;

    /// Ends the session of a token that was not ended or logged out, and returns whether there was one; if so, puts `told` on record. Of callers at once,
    /// one is told so. If there was one, neither the token nor the one that started the session starts another, nor does
    /// an earlier one of the same session (see [`pos_domain::EndedToken`]), until `keep_until`, when neither can hold any
    /// more.
    ///
    /// A session that ends with its membership or its API client ends the token that started it as well.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn end(
        &self,
        token: &SessionToken,
        keep_until: OffsetDateTime,
        told: &AuditEvent,
    ) -> Result<bool, StorageError>;

    /// Whether the token's session was ended, in whatever way but by a logout.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn is_ended(&self, token: &SessionToken) -> Result<bool, StorageError>;

    /// Keeps what the identity provider ended: the session is over, and none can be started again that the logout
    /// names, until `keep_until`, when no token of it can hold any more. A second logout of the same session or user
    /// counts with its later instant. Each puts its `told` on record, whether a session was going on or not: it also
    /// keeps out those that are not there yet.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn log_out(&self, logout: &Logout, keep_until: OffsetDateTime, told: &AuditEvent)
    -> Result<(), StorageError>;
}

/// What the identity provider ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logout {
    /// One session, if its token was issued at or before an instant of the provider's clock. A later token of the same
    /// session is one of a later log-in.
    Session {
        /// Which.
        session: SessionKey,
        /// Up to when.
        issued_until: OffsetDateTime,
    },
    /// Every session of a user whose token was issued at or before an instant of the provider's clock.
    User {
        /// Whose.
        user_id: UserId,
        /// Up to when.
        issued_until: OffsetDateTime,
    },
}

/// Why a session was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it would stand on is gone, or was never so.
    #[error("the membership or the API client is gone")]
    NoGrant,
    /// The identity provider has ended it.
    #[error("the session was logged out")]
    LoggedOut,
    /// The token's session was ended by its caller, or with its membership or API client.
    #[error("the token's session was ended")]
    Ended,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}
