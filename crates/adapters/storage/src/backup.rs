//! Online backup of an SQLite database.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::url::Engine;
use crate::{StorageOptions, sqlite};

/// Why no backup was made. The target file does not exist then.
#[derive(Debug, thiserror::Error)]
pub enum BackUpError {
    /// Only SQLite is supported.
    #[error("the database is PostgreSQL: use pg_dump --format=custom")]
    NotEmbedded,
    /// The database file does not exist.
    #[error("there is no database at {0}")]
    NoDatabase(PathBuf),
    /// A backup never replaces a file.
    #[error("{0} already exists: choose another file")]
    Exists(PathBuf),
    /// The database cannot be read, or the backup cannot be written.
    #[error("cannot copy the database to {to}")]
    Failed {
        /// The target file.
        to: PathBuf,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Copies a consistent snapshot of an SQLite database to a new file. Other connections may read and write meanwhile. The
/// copy is complete, flushed to disk and a single file, or it does not exist.
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
    let (from, target, busy_timeout) = (from.clone(), to.to_owned(), options.statement_timeout);
    let copied = tokio::task::spawn_blocking(move || {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A temporary file, deleted unless it is renamed to the target.
        let part = tempfile::Builder::new().prefix(".pos-backup-").suffix(".part").tempfile_in(folder)?;
        sqlite::vacuum_into(&from, part.path(), busy_timeout)?;
        part.as_file().sync_all()?;
        part.persist_noclobber(&target)?;
        File::open(folder)?.sync_all()?;
        Ok(())
    });
    let failed = |source| BackUpError::Failed { to: to.to_owned(), source };
    copied.await.map_err(|error| failed(error.into()))?.map_err(failed)
}
