//! What an engine's error means to the ports.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pos_port_storage::StorageError;

/// Why an operation failed: the ports' own error, or an index or a foreign key said no, which only the caller can
/// interpret.
#[derive(Debug)]
pub(super) enum Failure {
    /// A value is taken; by the engine's name for where: an index (PostgreSQL) or `table.column` (SQLite).
    Taken { place: String, source: diesel::result::Error },
    /// A row refers to one that is not there; by the engine's words for it: the constraint's name (PostgreSQL), which
    /// SQLite does not tell.
    Missing { place: String, source: diesel::result::Error },
    /// Anything else.
    Storage(StorageError),
}

impl Failure {
    pub(super) fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Storage(StorageError::Unavailable(cause.into()))
    }

    pub(super) fn fault(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Storage(StorageError::Fault(cause.into()))
    }
}

impl From<Failure> for StorageError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Taken { source, .. } | Failure::Missing { source, .. } => Self::Fault(source.into()),
            Failure::Storage(error) => error,
        }
    }
}

/// The same error for each of many callers.
pub(super) fn shared(error: StorageError) -> impl Iterator<Item = StorageError> {
    let passing = matches!(error, StorageError::Unavailable(_));
    let cause = Arc::new(error);
    std::iter::repeat_with(move || {
        let cause = Box::new(SharedCause(Arc::clone(&cause)));
        if passing { StorageError::Unavailable(cause) } else { StorageError::Fault(cause) }
    })
}

/// One error that many callers hear of.
#[derive(Debug, thiserror::Error)]
#[error("a gathered statement failed")]
struct SharedCause(#[source] Arc<StorageError>);

/// Something took longer than the options allow.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{what} took longer than {limit:?}")]
pub(super) struct TooSlow {
    pub(super) what: &'static str,
    pub(super) limit: Duration,
}
