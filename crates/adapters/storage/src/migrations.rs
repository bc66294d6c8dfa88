//! Schema migrations: embedded in the binary, and applied in order.

#[cfg(test)]
pub(crate) mod rules;
pub(crate) mod runner;

use std::error::Error;

use crate::migrations::runner::MigrationFailure;
use crate::url::Engine;
use crate::{StorageOptions, postgres, sqlite};

/// Why the schema could not be read or migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database does not answer, or rejects the connection.
    #[error("cannot reach the database {database}")]
    Unreachable {
        /// The database URL, without its password.
        database: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A migration failed, or another process held the migration lock for too long. The failed migration was rolled
    /// back; earlier ones stay applied.
    #[error("cannot migrate the database {database}")]
    Failed {
        /// The database URL, without its password.
        database: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Adds the database URL to an engine's error.
fn with_database(failure: MigrationFailure, options: &StorageOptions) -> MigrateError {
    let database = options.url.to_string();
    match failure {
        MigrationFailure::Unreachable(source) => MigrateError::Unreachable { database, source },
        MigrationFailure::Failed(source) => MigrateError::Failed { database, source },
    }
}

/// Applies the pending migrations and returns their names in order; none if the schema is up to date, or newer than this
/// program.
///
/// Safe for concurrent processes: one applies the migrations, the others wait for it and then find none pending.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(options: &StorageOptions) -> Result<Vec<String>, MigrateError> {
    match options.url.engine() {
        Engine::Postgres(config) => postgres::migrate(config, options).await,
        Engine::Sqlite(path) => sqlite::migrate(path, options).await,
    }
    .map_err(|failure| with_database(failure, options))
}

/// Returns the names of the pending migrations in order. Changes nothing.
///
/// # Errors
/// [`MigrateError`].
pub async fn pending_migrations(options: &StorageOptions) -> Result<Vec<String>, MigrateError> {
    match options.url.engine() {
        Engine::Postgres(config) => postgres::pending(config, options).await,
        Engine::Sqlite(path) => sqlite::pending(path, options).await,
    }
    .map_err(|failure| with_database(failure, options))
}
