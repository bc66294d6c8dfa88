//! Migrating PostgreSQL, one process at a time.

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

use super::connection::{PgManager, connect, session_guards};
use super::direct;
use super::link::PgLink;
use crate::storage::StorageOptions;
use crate::storage::migrating::{Trouble, missing};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// The advisory lock held while the schema changes, the same for every version of this program.
const LOCK: i64 = 0x706F_735F_6163_7476;

type Connection = AsyncConnectionWrapper<AsyncPgConnection>;

/// How long a change of a table waits for those who use it. Whoever comes to the table meanwhile waits behind it, polls
/// included: so not for long, and then again later.
const DDL_PATIENCE: &str = "1s";
const DDL_ATTEMPTS: u32 = 30;
const DDL_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("through a pooler nothing can be migrated: give the server's own address as database.direct_url")]
struct OnlyPooled;

pub(in crate::storage) async fn migrate(config: &Config, options: &StorageOptions) -> Result<Vec<String>, Trouble> {
    let config = direct(config, options).ok_or_else(|| Trouble::failed(OnlyPooled))?;
    let opened = connect(config, options.connect_timeout).await.map_err(Trouble::unreachable)?;
    // diesel's migration code blocks.
    let guards = session_guards(options.statement_timeout);
    tokio::task::spawn_blocking(move || locked(&mut Connection::from(opened), &guards))
        .await
        .map_err(Trouble::failed)?
        .map_err(Trouble::Failed)
}

fn locked(connection: &mut Connection, guards: &str) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    connection.batch_execute(guards)?;
    // The limit of the role or of the database is for what replicas do: a migration takes as long as it takes.
    connection.batch_execute("SET statement_timeout = 0")?;
    // Bounds the wait for another process's migration.
    connection.batch_execute("SET lock_timeout = '60s'")?;
    connection.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))?;
    let mut applied = Vec::new();
    let mut outcome = apply_patiently(connection, &mut applied);
    for _ in 1..DDL_ATTEMPTS {
        match &outcome {
            Err(error) if error.to_string().contains("lock timeout") => {
                tracing::info!("a table is in use: trying again to change it");
                std::thread::sleep(DDL_PAUSE);
                outcome = apply_patiently(connection, &mut applied);
            }
            _ => break,
        }
    }
    connection.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))?;
    outcome.map(|()| applied)
}

/// Applies what is missing. What runs outside a transaction, like an index that is built concurrently, holds up nobody
/// while it waits, so it waits without a limit.
fn apply_patiently(connection: &mut Connection, applied: &mut Vec<String>) -> Result<(), Box<dyn Error + Send + Sync>> {
    connection.batch_execute(&format!("SET lock_timeout = '{DDL_PATIENCE}'"))?;
    for migration in connection.pending_migrations(MIGRATIONS)? {
        let patience = if migration.metadata().run_in_transaction() { DDL_PATIENCE } else { "0" };
        connection.batch_execute(&format!("SET lock_timeout = '{patience}'"))?;
        connection.run_migration(&migration)?;
        applied.push(migration.name().to_string());
    }
    Ok(())
}

pub(in crate::storage) async fn pending(config: &Config, options: &StorageOptions) -> Result<Vec<String>, Trouble> {
    let mut connection = PgManager::of(config, options).open().await.map_err(Trouble::unreachable)?;
    let applied = applied(&mut connection.link).await.map_err(Trouble::failed)?;
    missing::<diesel::pg::Pg, _>(MIGRATIONS, &applied).map_err(Trouble::Failed)
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

/// What was applied, without making the table that diesel keeps it in: a server's own account may not create tables.
async fn applied(link: &mut PgLink) -> diesel::QueryResult<Vec<String>> {
    let table = diesel::sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS known");
    if !table.get_result::<Known>(link).await?.known {
        return Ok(Vec::new());
    }
    let rows = diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load::<Applied>(link).await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}
