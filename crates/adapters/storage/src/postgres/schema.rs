//! diesel schema of the PostgreSQL tables.

crate::schema::tables!(Uuid, Timestamptz);

/// The Rust type of ids.
pub(crate) type Id = uuid::Uuid;
