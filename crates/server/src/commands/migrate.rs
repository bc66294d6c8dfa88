use pos_adapters::storage;

use crate::output::{confirm, say};
use crate::settings::Settings;
use crate::wiring::storage_options;

/// `migrate`: brings the schema up to date.
pub(super) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let applied = storage::migrate(&storage_options(settings)?).await?;
    if applied.is_empty() {
        say!("the schema is up to date, nothing to do")?;
        return Ok(());
    }
    for name in &applied {
        confirm!("applied {name}")?;
    }
    confirm!("the schema is up to date; next: pos-server merchant add --name <name>, pos-server serve")
}

/// Brings the schema up to date, or refuses to go on with one that is not.
pub(super) async fn ensure_schema(settings: &Settings, may_migrate: bool) -> anyhow::Result<()> {
    let options = storage_options(settings)?;
    // Looking needs no more than reading: a role that may not change the schema can serve one that is up to date.
    let pending = storage::pending_migrations(&options).await?;
    if pending.is_empty() {
        return Ok(());
    }
    anyhow::ensure!(
        may_migrate && settings.database.migrate_on_start,
        "the schema lacks {}: run `pos-server migrate`, or allow migrating on start (database.migrate_on_start)",
        pending.join(", ")
    );
    for name in storage::migrate(&options).await? {
        tracing::info!(migration = name, "applied");
    }
    Ok(())
}
