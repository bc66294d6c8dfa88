//! Migrating PostgreSQL, one process at a time.

use diesel::connection::SimpleConnection;
use diesel::sql_types::{Bool, Text};
use diesel::{QueryableByName, RunQueryDsl as _};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use tokio_postgres::Config;

use super::connection::connect;
use crate::storage::StorageOptions;
use crate::storage::migrating::{Trouble, apply, missing};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// The advisory lock held while the schema changes, the same for every version of this program.
const LOCK: i64 = 0x706F_735F_6163_7476;

type Connection = AsyncConnectionWrapper<AsyncPgConnection>;

pub(in crate::storage) async fn migrate(config: &Config, options: &StorageOptions) -> Result<Vec<String>, Trouble> {
    on_connection(config, options, |connection| {
        // Bounds the wait for another process's migration, and for the tables under a server that is busy with them.
        connection.batch_execute(&format!("SET lock_timeout = '60s'; SELECT pg_advisory_lock({LOCK})"))?;
        let applied = apply(connection, MIGRATIONS);
        connection.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))?;
        applied
    })
    .await
}

pub(in crate::storage) async fn pending(config: &Config, options: &StorageOptions) -> Result<Vec<String>, Trouble> {
    on_connection(config, options, |connection| missing::<diesel::pg::Pg, _>(MIGRATIONS, &applied(connection)?)).await
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
fn applied(connection: &mut Connection) -> diesel::QueryResult<Vec<String>> {
    let table = diesel::sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS known");
    if !table.get_result::<Known>(connection)?.known {
        return Ok(Vec::new());
    }
    let rows = diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load::<Applied>(connection)?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

/// Runs diesel's blocking migration code where it may block.
async fn on_connection<T: Send + 'static>(
    config: &Config,
    options: &StorageOptions,
    work: impl FnOnce(&mut Connection) -> Result<T, Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
) -> Result<T, Trouble> {
    let opened = connect(config, options.connect_timeout).await.map_err(Trouble::unreachable)?;
    tokio::task::spawn_blocking(move || work(&mut Connection::from(opened.diesel)))
        .await
        .map_err(Trouble::failed)?
        .map_err(Trouble::Failed)
}
