//! Classification of SQLite errors.

use diesel::result::{DatabaseErrorKind, Error};

use crate::engine_error::EngineError;

/// Messages of SQLite for a locked file, a full or failing disk, or a file that is not accessible at the moment.
const TRANSIENT_MESSAGES: [&str; 6] = [
    "database is locked",
    "database table is locked",
    "disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
];

/// Whether another connection holds the lock.
pub(crate) fn is_busy(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, information) if information.message().contains("is locked"))
}

/// Whether the same operation may succeed later.
pub(crate) fn is_transient(error: &Error) -> bool {
    let Error::DatabaseError(DatabaseErrorKind::Unknown, information) = error else {
        return false;
    };
    TRANSIENT_MESSAGES.iter().any(|words| information.message().contains(words))
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        match &error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
                let message = information.message();
                let constraint = message.rsplit_once(": ").map_or(message, |(_, column)| column).to_owned();
                Self::UniqueViolation { constraint, source: error }
            }
            Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
                Self::ForeignKeyViolation { constraint: String::new(), source: error }
            }
            _ if is_transient(&error) => Self::unavailable(error),
            _ => Self::fault(error),
        }
    }
}
