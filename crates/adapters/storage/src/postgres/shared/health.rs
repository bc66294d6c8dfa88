//! Health check of the PostgreSQL store, on a connection of its own.

use async_trait::async_trait;
use diesel_async::RunQueryDsl;
use pos_port_storage::shared::{StorageError, StorageHealth};

use crate::engine_error::EngineError;
use crate::postgres::access::{ACCESS, Access};
use crate::postgres::pool::Lease;
use crate::postgres::store::PgStore;

#[async_trait]
impl StorageHealth for PgStore {
    async fn ping(&self) -> Result<(), StorageError> {
        let answer: Result<Access, EngineError> = async {
            let lease = Lease::acquire(&self.health, self.acquire_timeout).await?;
            self.run_on(lease, async |connection| diesel::sql_query(ACCESS).get_result(connection).await).await
        }
        .await;
        match answer.and_then(|access| access.check().map_err(EngineError::unavailable)).map_err(StorageError::from) {
            Ok(()) => Ok(()),
            Err(StorageError::Unavailable(cause) | StorageError::Fault(cause)) => Err(StorageError::Unavailable(cause)),
        }
    }
}
