use std::error::Error;

use crate::KeptAnswer;

/// Why a store did not answer. The cause is for the log, never for a caller.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store is away, too slow or overloaded: nothing is known to have changed, and trying again later may work.
    #[error("storage unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The store answered with something that cannot be: a row that fits no state, a statement it does not accept.
    /// Trying again will not help.
    #[error("storage fault")]
    Fault(#[source] Box<dyn Error + Send + Sync>),
}

/// Why a transition was not kept. In every case nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The device is not at the transition's expected version any more, or does not exist: load it again and decide
    /// anew.
    #[error("the device changed meanwhile")]
    Conflict,
    /// Another inactive device holds the same pairing code: draw another.
    #[error("the pairing code is taken")]
    CodeTaken,
    /// The device would belong to a merchant that has no row.
    #[error("there is no such merchant")]
    UnknownMerchant,
    /// The device would be at a location that is not its merchant's, or not there.
    #[error("there is no such location")]
    UnknownLocation,
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a transition was not kept under a key. In every case nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum SaveOnceError {
    /// The key of the call is kept, with this answer.
    #[error("a request with this key was processed before")]
    Answered(KeptAnswer),
    /// See [`SaveError`].
    #[error(transparent)]
    Refused(#[from] SaveError),
}

impl From<StorageError> for SaveOnceError {
    fn from(error: StorageError) -> Self {
        Self::Refused(error.into())
    }
}
