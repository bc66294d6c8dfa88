//! `backup` command: copy of the embedded database.

use std::path::Path;

use pos_adapters::storage;

use crate::output::confirm;
use crate::settings::Settings;
use crate::wiring::storage_options;

/// Runs `backup`. The database may be in use.
pub(super) async fn run(settings: &Settings, to: &Path) -> anyhow::Result<()> {
    storage::back_up(&storage_options(settings)?, to).await?;
    confirm!("copied to {}", to.display())
}
