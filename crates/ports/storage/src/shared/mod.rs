//! Errors, idempotency records, health and the state of the connection pool.

mod error;
mod health;
mod idempotency;
mod pool;
mod time_range;

pub use error::{SaveError, SaveIdempotentError, StorageError};
pub use health::StorageHealth;
pub use idempotency::{IdempotencyRecord, IdempotencyRepository, StoredResponse};
pub use pool::{PoolMonitor, PoolState};
pub use time_range::TimeRange;
