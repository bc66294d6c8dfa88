//! A copy of the embedded database while it is in use.

use std::error::Error;
use std::fs::File;
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
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Of a name that nobody has, and gone again unless it gets the other.
        let part = tempfile::Builder::new().prefix(".pos-backup-").suffix(".part").tempfile_in(folder)?;
        sqlite::vacuum_into(&from, part.path(), patience)?;
        part.as_file().sync_all()?;
        part.persist_noclobber(&target)?;
        File::open(folder)?.sync_all()?;
        Ok(())
    });
    let failed = |source| BackUpError::Failed { to: to.to_owned(), source };
    copied.await.map_err(|error| failed(error.into()))?.map_err(failed)
}
