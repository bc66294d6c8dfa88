//! Migrations of PostgreSQL, serialised by an advisory lock.

use std::error::Error;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::connection::SimpleConnection;
use diesel::migration::Migration as _;
use diesel::sql_types::{Bool, Text};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use tokio_postgres::Config;

use crate::StorageOptions;
use crate::migrations::runner::{MigrationFailure, missing};
use crate::postgres::connection::PgConn;
use crate::postgres::hosts::direct;
use crate::postgres::pool::{PgManager, connect, session_guards};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../../migrations/postgres");

/// The advisory lock held while the schema changes, the same for every version of this program.
const LOCK: i64 = 0x706F_735F_6163_7476;

type Connection = AsyncConnectionWrapper<AsyncPgConnection>;

/// Lock timeout of a schema change. Later statements on the table, status polls included, queue behind it. It is therefore
/// short, and the change is retried.
const DDL_LOCK_TIMEOUT: &str = "1s";
const DDL_ATTEMPTS: u32 = 30;
const DDL_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("migrations need a direct connection, not a pooler: set database.direct_url to the server's own address")]
struct OnlyPooled;

pub(crate) async fn migrate(config: &Config, options: &StorageOptions) -> Result<Vec<String>, MigrationFailure> {
    let config = direct(config, options).ok_or_else(|| MigrationFailure::failed(OnlyPooled))?;
    let opened = connect(config, options.connect_timeout).await.map_err(MigrationFailure::unreachable)?;
    // diesel's migration code is blocking.
    let guards = session_guards(options.statement_timeout);
    tokio::task::spawn_blocking(move || migrate_locked(&mut Connection::from(opened), &guards))
        .await
        .map_err(MigrationFailure::failed)?
        .map_err(MigrationFailure::Failed)
}

fn migrate_locked(connection: &mut Connection, guards: &str) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    connection.batch_execute(guards)?;
    // The timeout of the role or of the database is for requests. A migration may take longer.
    connection.batch_execute("SET statement_timeout = 0")?;
    // Limits the wait for the migration of another process.
    connection.batch_execute("SET lock_timeout = '60s'")?;
    connection.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))?;
    let mut applied = Vec::new();
    let mut outcome = apply_pending(connection, &mut applied);
    for _ in 1..DDL_ATTEMPTS {
        match &outcome {
            Err(error) if error.to_string().contains("lock timeout") => {
                tracing::info!("lock timeout on a table in use; retrying the migration");
                std::thread::sleep(DDL_PAUSE);
                outcome = apply_pending(connection, &mut applied);
            }
            _ => break,
        }
    }
    connection.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))?;
    outcome.map(|()| applied)
}

/// Applies the pending migrations. One that runs outside a transaction, such as CREATE INDEX CONCURRENTLY, blocks nobody
/// while it waits, so it has no lock timeout.
fn apply_pending(connection: &mut Connection, applied: &mut Vec<String>) -> Result<(), Box<dyn Error + Send + Sync>> {
    connection.batch_execute(&format!("SET lock_timeout = '{DDL_LOCK_TIMEOUT}'"))?;
    for migration in connection.pending_migrations(MIGRATIONS)? {
        let lock_timeout = if migration.metadata().run_in_transaction() { DDL_LOCK_TIMEOUT } else { "0" };
        connection.batch_execute(&format!("SET lock_timeout = '{lock_timeout}'"))?;
        connection.run_migration(&migration)?;
        applied.push(migration.name().to_string());
    }
    Ok(())
}

pub(crate) async fn pending(config: &Config, options: &StorageOptions) -> Result<Vec<String>, MigrationFailure> {
    let mut connection = PgManager::of(config, options).open().await.map_err(MigrationFailure::unreachable)?;
    let applied = applied(&mut connection.inner).await.map_err(MigrationFailure::failed)?;
    missing::<diesel::pg::Pg, _>(MIGRATIONS, &applied).map_err(MigrationFailure::Failed)
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Bool)]
    known: bool,
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// The applied migrations. Does not create diesel's table: the role of a server may lack the privilege.
async fn applied(connection: &mut PgConn) -> diesel::QueryResult<Vec<String>> {
    let table = diesel::sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS known");
    if !table.get_result::<Known>(connection).await?.known {
        return Ok(Vec::new());
    }
    let rows = diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load::<Applied>(connection).await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}
