//! A copy of the embedded database while it is in use.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::url::Engine;
use super::{StorageOptions, sqlite};

/// Why there is no copy. Nothing is left where it should have been.
#[derive(Debug, thiserror::Error)]
pub enum BackUpError {
    /// Only the embedded store is copied from here.
    #[error("this database is PostgreSQL, which has a tool of its own: pg_dump --format=custom")]
    NotEmbedded,
    /// There is nothing to copy.
    #[error("there is no database at {0}")]
    NoDatabase(PathBuf),
    /// A copy never replaces anything.
    #[error("{0} is there already: name a file that is not")]
    Exists(PathBuf),
    /// It cannot be read, or not be written there.
    #[error("cannot copy the database to {to}")]
    Failed {
        /// Where to.
        to: PathBuf,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Copies an SQLite database, as it stands at one moment, to a file that is not there yet. Others may read and write it
/// meanwhile. The copy is whole, on the disk, and in one file, or it is not there.
///
/// # Errors
/// [`BackUpError`].
pub async fn back_up(options: &StorageOptions, to: &Path) -> Result<(), BackUpError> {
    let Engine::Sqlite(from) = options.url.engine() else { return Err(BackUpError::NotEmbedded) };
    if !from.is_file() {
        return Err(BackUpError::NoDatabase(from.clone()));
    }
    if to.exists() {
        return Err(BackUpError::Exists(to.to_owned()));
    }
    let (from, target, patience) = (from.clone(), to.to_owned(), options.statement_timeout);
    let copied = tokio::task::spawn_blocking(move || {
        let mut name = target.file_name().ok_or("it names no file")?.to_owned();
        name.push(".part");
        let part = target.with_file_name(name);
        let outcome = sqlite::vacuum_into(&from, &part, patience)
            .and_then(|()| Ok(File::open(&part)?.sync_all()?))
            .and_then(|()| Ok(fs::rename(&part, &target)?));
        if outcome.is_err() {
            let _ = fs::remove_file(&part);
        }
        outcome
    });
    let failed = |source| BackUpError::Failed { to: to.to_owned(), source };
    copied.await.map_err(|error| failed(error.into()))?.map_err(failed)
}
