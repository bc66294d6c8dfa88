//! File access of an SQLite database: files are created for their owner only, and unwritable files are reported by name.
//!
//! Existing database files are never opened here. Closing any descriptor of a file releases all POSIX advisory locks that
//! the process holds on it (fcntl(2)), also those of SQLite's own descriptors.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection as _;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::OpenError;
use crate::engine_error::EngineError;
use crate::sqlite::errors::is_busy;

/// Owner only: other users of the machine must not read the database.
const PRIVATE: u32 = 0o600;

/// Creates the file unless it exists. SQLite gives `-wal` and `-shm` the same permissions.
pub(crate) fn create_private(path: &Path) -> Result<(), Error> {
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path) {
        // Set again, because the umask may have removed permissions.
        Ok(file) => file.set_permissions(Permissions::from_mode(PRIVATE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Checks that the database files and the folder are writable. Missing files are accepted.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    let folder = folder_of(path);
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(OpenError::MissingFolder(folder.to_owned()));
    }
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match writable(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => check_folder(folder.unwrap_or(Path::new(".")))?,
            Err(error) => return Err(not_writable(file, error)),
        }
    }
    Ok(())
}

fn writable(file: &Path) -> Result<(), Error> {
    accessat(CWD, file, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS)?;
    if file.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok(()) }
}

fn check_folder(folder: &Path) -> Result<(), OpenError> {
    tempfile::Builder::new()
        .prefix(".pos-access-")
        .tempfile_in(folder)
        .map(drop)
        .map_err(|error| not_writable(folder.to_owned(), error))
}

/// The name of a file that SQLite creates next to the database.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn not_writable(path: PathBuf, source: Error) -> OpenError {
    let (owner, mode) = fs::metadata(&path).map_or((0, 0), |found| (found.uid(), found.mode() & 0o7777));
    OpenError::NotWritable { path, owner, mode, source }
}

/// Checks that the database is writable: writes and rolls back. A lock held by another writer also proves it.
///
/// `BEGIN IMMEDIATE` alone succeeds on a file that is open for reading only.
pub(crate) fn check_writable(connection: &mut SqliteConnection) -> Result<(), EngineError> {
    connection.batch_execute("PRAGMA busy_timeout = 0")?;
    match connection.batch_execute("BEGIN IMMEDIATE") {
        Ok(()) => {}
        Err(error) if is_busy(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let written = connection.batch_execute("PRAGMA user_version = 1");
    let rolled_back = connection.batch_execute("ROLLBACK");
    written?;
    Ok(rolled_back?)
}

/// The folder of a file; `None` for a bare file name in the current folder.
fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use diesel::Connection as _;

    use super::*;

    fn locks_of(file: &Path) -> usize {
        let inode = format!(":{} ", fs::metadata(file).unwrap().ino());
        fs::read_to_string("/proc/locks").unwrap().lines().filter(|lock| lock.contains(&inode)).count()
    }

    #[test]
    fn a_check_releases_no_lock_of_a_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pos.db");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection.batch_execute("PRAGMA journal_mode = WAL; CREATE TABLE t (a); BEGIN IMMEDIATE").unwrap();
        let files = [path.clone(), beside(&path, "-shm")];
        let held = files.each_ref().map(|file| locks_of(file));
        assert!(held.iter().all(|locks| *locks > 0), "{held:?}");
        check(&path).unwrap();
        assert_eq!(files.each_ref().map(|file| locks_of(file)), held);
    }

    #[test]
    fn a_folder_is_not_a_database_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(check(folder.path()), Err(OpenError::NotWritable { .. })));
    }
}
