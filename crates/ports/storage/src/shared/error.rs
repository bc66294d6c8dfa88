//! Errors of the storage ports.

use std::error::Error;

use crate::shared::StoredResponse;

/// Failure of a store. The cause is for the log, never for a caller.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store is unreachable, too slow or overloaded: nothing is known to have changed, and a retry may succeed.
    #[error("storage unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The store returned something impossible: an inconsistent row, or a statement it does not accept. A retry does
    /// not help.
    #[error("storage fault")]
    Fault(#[source] Box<dyn Error + Send + Sync>),
}

/// Why a transition was not saved. In every case nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The device no longer has the transition's expected version, or does not exist: load it again and retry.
    #[error("the device was changed concurrently")]
    Conflict,
    /// Another inactive device has the same pairing code: generate another.
    #[error("the pairing code is taken")]
    CodeTaken,
    /// The device's new merchant does not exist.
    #[error("there is no such merchant")]
    UnknownMerchant,
    /// The device's location does not exist or belongs to another merchant.
    #[error("there is no such location")]
    UnknownLocation,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a transition was not saved under an idempotency key. In every case nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SaveIdempotentError {
    /// A request with this key was already processed, with this response.
    #[error("a request with this Idempotency-Key was already processed")]
    Answered(StoredResponse),
    /// See [`SaveError`].
    #[error(transparent)]
    Refused(#[from] SaveError),
}

impl From<StorageError> for SaveIdempotentError {
    fn from(error: StorageError) -> Self {
        Self::Refused(error.into())
    }
}
