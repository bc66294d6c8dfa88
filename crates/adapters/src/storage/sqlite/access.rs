//! Access to the files of an SQLite database: made for their owner alone, and refused by name when they cannot be written.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection as _;

use super::connection::is_busy;
use super::folder_of;
use crate::storage::OpenError;
use crate::storage::failure::Failure;

/// Owner only: the rows are not for everybody with an account on the machine.
const PRIVATE: u32 = 0o600;

/// Makes the file unless it is there. SQLite gives `-wal` and `-shm` the permissions of the file.
pub(super) fn create_private(path: &Path) -> Result<(), Error> {
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path) {
        // Again, whatever the umask took away.
        Ok(file) => file.set_permissions(Permissions::from_mode(PRIVATE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Refuses a database of which a file, or the folder, cannot be written. Files that are not there are no fault.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    let folder = folder_of(path);
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(OpenError::MissingFolder(folder.to_owned()));
    }
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match OpenOptions::new().read(true).write(true).open(&file) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => check_folder(folder.unwrap_or(Path::new(".")))?,
            Err(error) => return Err(not_writable(file, error)),
        }
    }
    Ok(())
}

fn check_folder(folder: &Path) -> Result<(), OpenError> {
    tempfile::Builder::new()
        .prefix(".pos-access-")
        .tempfile_in(folder)
        .map(drop)
        .map_err(|error| not_writable(folder.to_owned(), error))
}

/// The name of a file that SQLite keeps beside the database.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn not_writable(path: PathBuf, source: Error) -> OpenError {
    let (owner, mode) = fs::metadata(&path).map_or((0, 0), |found| (found.uid(), found.mode() & 0o7777));
    OpenError::NotWritable { path, owner, mode, source }
}

/// Begins to write, and takes it back. Another connection that writes shows that writing works.
///
/// `BEGIN IMMEDIATE` alone does nothing on a file that is open for reading only.
pub(super) fn try_to_write(connection: &mut SqliteConnection) -> Result<(), Failure> {
    connection.batch_execute("PRAGMA busy_timeout = 0")?;
    match connection.batch_execute("BEGIN IMMEDIATE") {
        Ok(()) => {}
        Err(error) if is_busy(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let written = connection.batch_execute("PRAGMA user_version = 1");
    let taken_back = connection.batch_execute("ROLLBACK");
    written?;
    Ok(taken_back?)
}
