//! The schema: embedded, applied once, in order.

use std::error::Error;

use super::migrating::Trouble;
use super::url::Engine;
use super::{StorageOptions, postgres, sqlite};

/// Why the schema could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database does not answer, or refuses us.
    #[error("cannot reach the database {database}")]
    Unreachable {
        /// Which one, without its password.
        database: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A migration does not apply, or another process has held the schema for too long. Nothing of the failed
    /// migration was kept; those before it were.
    #[error("cannot migrate the database {database}")]
    Failed {
        /// Which one, without its password.
        database: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Puts the database's name to what an engine tells.
fn named(trouble: Trouble, options: &StorageOptions) -> MigrateError {
    let database = options.url.to_string();
    match trouble {
        Trouble::Unreachable(source) => MigrateError::Unreachable { database, source },
        Trouble::Failed(source) => MigrateError::Failed { database, source },
    }
}

/// Applies the migrations that are missing and answers their names, in order; none when the schema is up to date, or
/// newer than this program.
///
/// Safe for any number of processes at once: one applies, the others wait for it and then find nothing to do.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(options: &StorageOptions) -> Result<Vec<String>, MigrateError> {
    match options.url.engine() {
        Engine::Postgres(config) => postgres::migrate(config, options).await,
        Engine::Sqlite(path) => sqlite::migrate(path, options).await,
    }
    .map_err(|trouble| named(trouble, options))
}

/// The names of the migrations that are missing, in order. Changes nothing.
///
/// # Errors
/// [`MigrateError`].
pub async fn pending_migrations(options: &StorageOptions) -> Result<Vec<String>, MigrateError> {
    match options.url.engine() {
        Engine::Postgres(config) => postgres::pending(config, options).await,
        Engine::Sqlite(path) => sqlite::pending(path, options).await,
    }
    .map_err(|trouble| named(trouble, options))
}
