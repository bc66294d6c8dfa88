//! Stores behind the storage ports: PostgreSQL and SQLite, by diesel.
