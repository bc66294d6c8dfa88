//! PostgreSQL implementation of the storage ports.
//!
//! A method is one prepared statement in one round trip, so it leaves no transaction open. Only methods that create
//! entities, which no terminal waits for, run several statements in a transaction ([`store::PgStore::transact`]).

mod access;
pub(crate) mod audit;
mod batching;
mod connect_error;
mod connection;
pub(crate) mod device;
mod errors;
pub(crate) mod fleet;
mod hosts;
mod migrate;
pub(crate) mod pairing;
mod pool;
mod retention;
mod schema;
pub(crate) mod shared;
mod statements;
mod store;
pub(crate) mod tenancy;
mod tls;
mod worker;

pub(crate) use crate::postgres::migrate::{migrate, pending};
pub use crate::postgres::store::PgStore;
