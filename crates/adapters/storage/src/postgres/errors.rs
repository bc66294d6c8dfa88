//! Classification of PostgreSQL errors, by their effect on the statement and its connection.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};

use crate::engine_error::EngineError;

/// Converts an error. On a closed connection every error means that the database is unavailable.
pub(crate) fn classify(closed: bool, error: Error) -> EngineError {
    if closed || is_transient(&error) {
        return EngineError::unavailable(error);
    }
    let constraint =
        |information: &dyn DatabaseErrorInformation| information.constraint_name().unwrap_or_default().to_owned();
    match &error {
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
            EngineError::UniqueViolation { constraint: constraint(&**information), source: error }
        }
        Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) => {
            EngineError::ForeignKeyViolation { constraint: constraint(&**information), source: error }
        }
        _ => EngineError::fault(error),
    }
}

/// Whether the error reports a lost connection, rather than a rejected statement.
pub(crate) fn is_lost(error: &Error) -> bool {
    let Error::DatabaseError(kind, information) = error else {
        return false;
    };
    matches!(kind, DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection)
        || information.message().starts_with("terminating connection")
}

/// Whether the server rolled the statement back because of a conflict with another transaction. Nothing was stored, and
/// the statement may be retried.
pub(crate) fn is_rolled_back(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        Error::DatabaseError(_, information) => {
            ROLLBACK_MESSAGES.iter().any(|words| information.message().starts_with(words))
        }
        _ => false,
    }
}

/// Messages of such errors. In another server language they are only classified as "unavailable".
const ROLLBACK_MESSAGES: [&str; 2] = ["deadlock detected", "canceling statement due to lock timeout"];

/// Whether a prepared statement is outdated, as after a change of a column's type. Nothing was stored, and another
/// connection prepares the statement again.
pub(crate) fn is_outdated(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, information) if information.message().starts_with("cached plan must not change"))
}

/// Messages of a server that shuts down, is overloaded or has no space left (SQLSTATE classes 40, 53, 55, 57 and 58).
/// diesel does not expose the SQLSTATE, so the English messages are matched. In another server language such an error is
/// reported as a fault instead of "unavailable".
const TRANSIENT_MESSAGES: [&str; 13] = [
    "terminating connection",
    "canceling statement",
    "the database system is",
    "deadlock detected",
    "could not serialize",
    "could not obtain lock",
    "could not extend file",
    "could not write",
    "no space left",
    "out of memory",
    "out of shared memory",
    "too many",
    "cached plan must not change",
];

/// Whether the same statement may succeed later, on another connection.
fn is_transient(error: &Error) -> bool {
    let Error::DatabaseError(kind, information) = error else {
        return false;
    };
    match kind {
        DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::ClosedConnection
        | DatabaseErrorKind::SerializationFailure
        | DatabaseErrorKind::ReadOnlyTransaction => true,
        DatabaseErrorKind::Unknown => {
            let message = information.message().to_ascii_lowercase();
            TRANSIENT_MESSAGES.iter().any(|words| message.contains(words))
        }
        _ => false,
    }
}
