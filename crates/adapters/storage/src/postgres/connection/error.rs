//! Conversion of tokio-postgres errors to diesel errors.

use std::error::Error as _;

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use tokio_postgres::error::{DbError, ErrorPosition, Severity, SqlState};

/// Converts the error of a failed statement.
pub(crate) fn into_diesel_error(error: tokio_postgres::Error) -> Error {
    let from_server = error.source().and_then(|source| source.downcast_ref::<DbError>()).cloned();
    match from_server {
        Some(from_server) => Error::DatabaseError(kind(&from_server), Box::new(ServerError(from_server))),
        None => Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(error.to_string())),
    }
}

fn kind(error: &DbError) -> DatabaseErrorKind {
    let code = error.code();
    // An error of the pooler itself ends the connection, or reports an ended one: FATAL, or class 08.
    let ended = matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    if ended || code.code().starts_with("08") {
        return DatabaseErrorKind::ClosedConnection;
    }
    match *code {
        SqlState::UNIQUE_VIOLATION => DatabaseErrorKind::UniqueViolation,
        SqlState::FOREIGN_KEY_VIOLATION => DatabaseErrorKind::ForeignKeyViolation,
        SqlState::RESTRICT_VIOLATION => DatabaseErrorKind::RestrictViolation,
        SqlState::EXCLUSION_VIOLATION => DatabaseErrorKind::ExclusionViolation,
        SqlState::T_R_SERIALIZATION_FAILURE => DatabaseErrorKind::SerializationFailure,
        SqlState::READ_ONLY_SQL_TRANSACTION => DatabaseErrorKind::ReadOnlyTransaction,
        SqlState::NOT_NULL_VIOLATION => DatabaseErrorKind::NotNullViolation,
        SqlState::CHECK_VIOLATION => DatabaseErrorKind::CheckViolation,
        _ => DatabaseErrorKind::Unknown,
    }
}

struct ServerError(DbError);

impl DatabaseErrorInformation for ServerError {
    fn message(&self) -> &str {
        self.0.message()
    }

    fn details(&self) -> Option<&str> {
        self.0.detail()
    }

    fn hint(&self) -> Option<&str> {
        self.0.hint()
    }

    fn table_name(&self) -> Option<&str> {
        self.0.table()
    }

    fn column_name(&self) -> Option<&str> {
        self.0.column()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.0.constraint()
    }

    fn statement_position(&self) -> Option<i32> {
        match *self.0.position()? {
            ErrorPosition::Original(position) | ErrorPosition::Internal { position, .. } => position.try_into().ok(),
        }
    }
}
