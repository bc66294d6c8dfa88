//! Health check of the SQLite store, on a connection of its own.

use async_trait::async_trait;
use pos_port_storage::shared::{StorageError, StorageHealth};

use crate::engine_error::EngineError;
use crate::sqlite::access;
use crate::sqlite::connection::run;
use crate::sqlite::store::SqliteStore;

#[async_trait]
impl StorageHealth for SqliteStore {
    async fn ping(&self) -> Result<(), StorageError> {
        let path = self.path.clone();
        let checked = run(&self.health, self.limits, move |connection| {
            let written = access::check_writable(connection);
            // SQLite does not report which file is not writable.
            if written.is_err() { access::check(&path).map_err(EngineError::unavailable).and(written) } else { written }
        });
        match checked.await.map_err(StorageError::from) {
            Ok(()) => Ok(()),
            Err(StorageError::Unavailable(cause) | StorageError::Fault(cause)) => Err(StorageError::Unavailable(cause)),
        }
    }
}
