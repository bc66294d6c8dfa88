//! Migrations of SQLite, serialised by the write lock.

use std::error::Error;
use std::path::Path;

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use tokio::task::spawn_blocking;

use crate::StorageOptions;
use crate::migrations::runner::{MigrationFailure, apply, missing};
use crate::sqlite::access;
use crate::sqlite::connection::connect;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../../migrations/sqlite");

pub(crate) async fn migrate(path: &Path, options: &StorageOptions) -> Result<Vec<String>, MigrationFailure> {
    on_connection(path, options, |connection| {
        // One transaction for all migrations: it holds the write lock, so other processes wait.
        connection
            .immediate_transaction(|connection| {
                let mut applied = Vec::new();
                apply(connection, MIGRATIONS, &mut applied).map(|()| applied).map_err(ApplyError)
            })
            .map_err(Into::into)
    })
    .await
}

pub(crate) async fn pending(path: &Path, options: &StorageOptions) -> Result<Vec<String>, MigrationFailure> {
    if !path.exists() {
        return missing::<diesel::sqlite::Sqlite, _>(MIGRATIONS, &[]).map_err(MigrationFailure::Failed);
    }
    on_connection(path, options, |connection| missing::<diesel::sqlite::Sqlite, _>(MIGRATIONS, &applied(connection)?))
        .await
}

/// Passes a migration's error out of the surrounding transaction.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ApplyError(Box<dyn Error + Send + Sync>);

impl From<diesel::result::Error> for ApplyError {
    fn from(error: diesel::result::Error) -> Self {
        Self(error.into())
    }
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = BigInt)]
    known: i64,
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

fn applied(connection: &mut SqliteConnection) -> diesel::QueryResult<Vec<String>> {
    let table = "SELECT count(*) AS known FROM sqlite_schema WHERE name = '__diesel_schema_migrations'";
    if diesel::sql_query(table).get_result::<Known>(connection)?.known == 0 {
        return Ok(Vec::new());
    }
    let rows = diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load::<Applied>(connection)?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

async fn on_connection<T: Send + 'static>(
    path: &Path,
    options: &StorageOptions,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, Box<dyn Error + Send + Sync>> + Send + 'static,
) -> Result<T, MigrationFailure> {
    access::check(path).map_err(MigrationFailure::unreachable)?;
    let (path, busy_timeout) = (path.to_owned(), options.statement_timeout);
    spawn_blocking(move || {
        let mut connection = connect(&path, busy_timeout).map_err(MigrationFailure::unreachable)?;
        work(&mut connection).map_err(MigrationFailure::Failed)
    })
    .await
    .map_err(MigrationFailure::failed)?
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;
    use diesel::dsl::sql;
    use diesel::prelude::*;
    use diesel::sql_types::BigInt;
    use diesel_migrations::MigrationHarness as _;

    use super::*;

    /// A checkpoint covers an event under its number, so a purged number must not belong to a later event.
    #[test]
    fn the_number_of_a_deleted_audit_event_is_not_assigned_again() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        connection.run_pending_migrations(MIGRATIONS).unwrap();
        let insert = "INSERT INTO audit_events (at, actor, kind) VALUES (1, 'operator', 'merchant_added')";
        connection.batch_execute(insert).unwrap();
        connection.batch_execute("DELETE FROM audit_events").unwrap();
        connection.batch_execute(insert).unwrap();
        let numbers = sql::<BigInt>("SELECT number FROM audit_events").load::<i64>(&mut connection).unwrap();
        assert_eq!(numbers, [2]);
    }
}
