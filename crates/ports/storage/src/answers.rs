use async_trait::async_trait;
use pos_domain::{Fingerprint, IdempotencyKey, Party};
use time::OffsetDateTime;

use crate::StorageError;

/// Reads the answers that creating calls and claims were given, by the caller's key. They are written by whatever repository
/// creates or saves, in the same transaction: a crash leaves both or none, and of calls that come at once, on whatever replicas,
/// one creates and the others find its answer.
#[async_trait]
pub trait AnswerRepository: Send + Sync {
    /// The answer that is kept under a party's key, unless its time is over at `now`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<KeptAnswer>, StorageError>;
}

/// A creating call or a claim that is to happen once, with the answer to keep if it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Whose key it is. Two parties may use one key.
    pub party: Party,
    /// The caller's name for the call.
    pub key: IdempotencyKey,
    /// What the call asks for.
    pub fingerprint: Fingerprint,
    /// What the caller is told: any text.
    pub answer: String,
    /// When the call is made: a key whose time is over by then is free.
    pub at: OffsetDateTime,
    /// From when on the answer may be forgotten.
    pub keep_until: OffsetDateTime,
}

/// What an earlier call with the same key asked for, and was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// What it asked for.
    pub fingerprint: Fingerprint,
    /// What it was told.
    pub answer: String,
}
