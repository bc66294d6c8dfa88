//! diesel schema of the PostgreSQL tables.

crate::schema::tables!(Uuid, Timestamptz);
