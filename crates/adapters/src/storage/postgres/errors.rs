//! Errors of PostgreSQL, by what they mean for a statement and its connection.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};

use crate::storage::failure::Failure;

/// What an error means, on a connection that is closed by now or is not.
pub(super) fn judge(closed: bool, error: Error) -> Failure {
    if closed || is_passing(&error) {
        return Failure::unavailable(error);
    }
    let place =
        |information: &dyn DatabaseErrorInformation| information.constraint_name().unwrap_or_default().to_owned();
    match &error {
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
            Failure::Taken { place: place(&**information), source: error }
        }
        Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) => {
            Failure::Missing { place: place(&**information), source: error }
        }
        _ => Failure::fault(error),
    }
}

/// Whether the error says that the connection is gone, rather than the statement refused.
pub(super) fn is_lost(error: &Error) -> bool {
    let Error::DatabaseError(kind, information) = error else {
        return false;
    };
    matches!(kind, DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection)
        || information.message().starts_with("terminating connection")
}

/// Whether the server rolled the statement back because of others at the same rows: nothing of it was kept, and it may
/// be tried again.
pub(super) fn is_rolled_back(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        Error::DatabaseError(_, information) => {
            ROLLED_BACK.iter().any(|words| information.message().starts_with(words))
        }
        _ => false,
    }
}

/// What the server says of those; in other languages they are only "unavailable".
const ROLLED_BACK: [&str; 2] = ["deadlock detected", "canceling statement due to lock timeout"];

/// Whether a prepared statement is no longer what it was, as after a change of a column's type. Nothing was kept, and
/// another connection prepares it anew.
pub(super) fn is_outdated(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, information) if information.message().starts_with("cached plan must not change"))
}

/// What the server says when it is going away, overloaded or out of room (SQLSTATE classes 40, 53, 55, 57 and 58).
/// diesel does not hand on the SQLSTATE, so these are words: those of an English server. With another language the
/// worst that can happen is a fault where "unavailable" would have been kinder.
const PASSING: [&str; 13] = [
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
fn is_passing(error: &Error) -> bool {
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
            PASSING.iter().any(|words| message.contains(words))
        }
        _ => false,
    }
}
