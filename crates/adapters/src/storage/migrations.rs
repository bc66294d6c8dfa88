//! The schema: embedded, applied once, in order.

use std::error::Error;

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::MigrationHarness;

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

/// What an engine tells of a failure, before the database's name is put to it.
pub(super) enum Trouble {
    Unreachable(Box<dyn Error + Send + Sync>),
    Failed(Box<dyn Error + Send + Sync>),
}

impl Trouble {
    pub(super) fn failed(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(cause.into())
    }

    pub(super) fn unreachable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable(cause.into())
    }

    fn at(self, options: &StorageOptions) -> MigrateError {
        let database = options.url.to_string();
        match self {
            Self::Unreachable(source) => MigrateError::Unreachable { database, source },
            Self::Failed(source) => MigrateError::Failed { database, source },
        }
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
    .map_err(|trouble| trouble.at(options))
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
    .map_err(|trouble| trouble.at(options))
}

/// Applies what is missing, on a connection that holds whatever lock the engine needs.
pub(super) fn apply<DB, C, S>(connection: &mut C, source: S) -> Result<Vec<String>, Box<dyn Error + Send + Sync>>
where
    DB: Backend,
    C: MigrationHarness<DB>,
    S: MigrationSource<DB>,
{
    let mut applied = Vec::new();
    for migration in connection.pending_migrations(source)? {
        connection.run_migration(&migration)?;
        applied.push(migration.name().to_string());
    }
    Ok(applied)
}

/// The migrations of `source` that are not among the `applied` versions.
pub(super) fn missing<DB, S>(source: S, applied: &[String]) -> Result<Vec<String>, Box<dyn Error + Send + Sync>>
where
    DB: Backend,
    S: MigrationSource<DB>,
{
    let mut migrations: Vec<Box<dyn Migration<DB>>> = source.migrations()?;
    migrations.retain(|migration| !applied.contains(&migration.name().version().to_string()));
    migrations.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
    Ok(migrations.iter().map(|migration| migration.name().to_string()).collect())
}
