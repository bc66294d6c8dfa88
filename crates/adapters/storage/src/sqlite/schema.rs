//! diesel schema of the SQLite tables. Instants are microseconds since the epoch.

crate::schema::tables!(Text, BigInt);

/// The Rust type of ids.
pub(crate) type Id = String;
