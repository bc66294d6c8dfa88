//! Migration helpers shared by both engines.

use std::error::Error;

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::MigrationHarness;

/// Why an engine could not migrate; the caller adds the database's name.
pub(crate) enum MigrationFailure {
    Unreachable(Box<dyn Error + Send + Sync>),
    Failed(Box<dyn Error + Send + Sync>),
}

impl MigrationFailure {
    pub(crate) fn failed(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(cause.into())
    }

    pub(crate) fn unreachable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable(cause.into())
    }
}

/// Applies the pending migrations and adds each name to `applied`. The connection holds the lock that the engine needs.
pub(crate) fn apply<DB, C, S>(
    connection: &mut C,
    source: S,
    applied: &mut Vec<String>,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    DB: Backend,
    C: MigrationHarness<DB>,
    S: MigrationSource<DB>,
{
    for migration in connection.pending_migrations(source)? {
        connection.run_migration(&migration)?;
        applied.push(migration.name().to_string());
    }
    Ok(())
}

/// The migrations of `source` that are not among the `applied` versions.
pub(crate) fn missing<DB, S>(source: S, applied: &[String]) -> Result<Vec<String>, Box<dyn Error + Send + Sync>>
where
    DB: Backend,
    S: MigrationSource<DB>,
{
    let mut migrations: Vec<Box<dyn Migration<DB>>> = source.migrations()?;
    migrations.retain(|migration| !applied.contains(&migration.name().version().to_string()));
    migrations.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
    Ok(migrations.iter().map(|migration| migration.name().to_string()).collect())
}
