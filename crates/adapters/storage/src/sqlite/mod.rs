//! SQLite implementation of the storage ports, for a single server with a local database file.

mod access;
pub(crate) mod audit;
mod backup;
mod connection;
pub(crate) mod device;
mod errors;
pub(crate) mod fleet;
mod group_commit;
mod instants;
mod migrate;
mod own_reader;
pub(crate) mod pairing;
mod retention;
mod schema;
pub(crate) mod shared;
mod store;
pub(crate) mod tenancy;

pub(crate) use crate::sqlite::backup::vacuum_into;
pub(crate) use crate::sqlite::migrate::{migrate, pending};
pub use crate::sqlite::store::SqliteStore;
