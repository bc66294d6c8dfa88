//! Errors of opening a PostgreSQL connection.

use crate::engine_error::TooSlow;
use crate::postgres::tls::TlsError;

/// Why no connection could be opened. No message contains the password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the database host cannot be resolved")]
    Lookup(#[source] std::io::Error),
    #[error("the server does not accept a connection")]
    Refused(#[from] tokio_postgres::Error),
    #[error("the connection cannot be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "the default isolation level is {0}, and a connection through a pooler cannot change it: set default_transaction_isolation to 'read committed' for the role"
    )]
    Isolation(String),
    #[error("the runtime is shutting down")]
    Stopping,
}
