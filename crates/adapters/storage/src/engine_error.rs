//! Database errors, converted for the storage ports.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pos_port_storage::shared::StorageError;

/// Why an operation failed: a port error, or a violated unique index or foreign key, which the caller interprets.
#[derive(Debug)]
pub(crate) enum EngineError {
    /// A value is taken. The constraint is the index (PostgreSQL) or `table.column` (SQLite).
    UniqueViolation { constraint: String, source: diesel::result::Error },
    /// A row refers to a row that does not exist. SQLite does not report the constraint.
    ForeignKeyViolation { constraint: String, source: diesel::result::Error },
    /// Any other error.
    Storage(StorageError),
}

impl EngineError {
    pub(crate) fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Storage(StorageError::Unavailable(cause.into()))
    }

    pub(crate) fn fault(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Storage(StorageError::Fault(cause.into()))
    }
}

impl From<EngineError> for StorageError {
    fn from(failure: EngineError) -> Self {
        match failure {
            EngineError::UniqueViolation { source, .. } | EngineError::ForeignKeyViolation { source, .. } => {
                Self::Fault(source.into())
            }
            EngineError::Storage(error) => error,
        }
    }
}

/// Repeats an error for each of several callers.
pub(crate) fn shared(error: StorageError) -> impl Iterator<Item = StorageError> {
    let transient = matches!(error, StorageError::Unavailable(_));
    let cause = Arc::new(error);
    std::iter::repeat_with(move || {
        let cause = Box::new(SharedCause(Arc::clone(&cause)));
        if transient { StorageError::Unavailable(cause) } else { StorageError::Fault(cause) }
    })
}

/// An error that several callers receive.
#[derive(Debug, thiserror::Error)]
#[error("a batched statement failed")]
struct SharedCause(#[source] Arc<StorageError>);

/// An operation exceeded its time limit.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{what} took longer than {limit:?}")]
pub(crate) struct TooSlow {
    pub(crate) what: &'static str,
    pub(crate) limit: Duration,
}
