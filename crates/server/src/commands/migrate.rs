//! `migrate` command, and the schema check of the other commands.

use pos_adapters::storage;

use crate::output::{confirm, out};
use crate::settings::Settings;
use crate::wiring::storage_options;

/// Runs `migrate`.
pub(super) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let applied = storage::migrate(&storage_options(settings)?).await?;
    if applied.is_empty() {
        out!("the schema is up to date, nothing to do")?;
        return Ok(());
    }
    for name in &applied {
        confirm!("applied {name}")?;
    }
    confirm!("the schema is up to date; next: pos-server merchant add --name <name>, pos-server serve")
}

/// Runs pending migrations if that is allowed, and fails otherwise.
pub(super) async fn ensure_schema(settings: &Settings, may_migrate: bool) -> anyhow::Result<()> {
    let options = storage_options(settings)?;
    // Checking needs only read access, so a role that may not change the schema can serve an up-to-date one.
    let pending = storage::pending_migrations(&options).await?;
    if pending.is_empty() {
        return Ok(());
    }
    anyhow::ensure!(
        may_migrate && settings.database.migrate_on_start,
        "the schema is not up to date, missing {}: run `pos-server migrate`, or set database.migrate_on_start",
        pending.join(", ")
    );
    for name in storage::migrate(&options).await? {
        tracing::info!(migration = name, "applied");
    }
    Ok(())
}
