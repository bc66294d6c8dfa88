use std::time::Duration;

use secrecy::SecretString;

use crate::settings::reader::Reader;

/// The store.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `postgres://…` or `sqlite:…`; secret, as it may hold a password.
    pub url: SecretString,
    /// Connections in the pool.
    pub max_connections: u32,
    /// For a connection from the pool.
    pub acquire_timeout: Duration,
    /// For making a connection.
    pub connect_timeout: Duration,
    /// For one statement.
    pub statement_timeout: Duration,
    /// Whether look-ups under load go to PostgreSQL together.
    pub gather: bool,
    /// Whether `serve` brings the tables up to date first.
    pub migrate_on_start: bool,
}

impl DatabaseSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        const TIMEOUT_MS: std::ops::RangeInclusive<i64> = 1..=600_000;
        let url = reader.secret("database.url", |url| {
            let known = ["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme));
            known.then_some(()).ok_or_else(|| {
                let remedy = "write postgres://user:password@host/name, or sqlite://path";
                ("is the address of no store that is known here".to_owned(), remedy.to_owned())
            })
        });
        let max_connections = reader.number("database.max_connections", 1..=10_000);
        let acquire_timeout = reader.millis("database.acquire_timeout_ms", TIMEOUT_MS);
        let connect_timeout = reader.millis("database.connect_timeout_ms", TIMEOUT_MS);
        let statement_timeout = reader.millis("database.statement_timeout_ms", TIMEOUT_MS);
        let gather = reader.flag("database.gather");
        let migrate_on_start = reader.flag("database.migrate_on_start");
        Some(Self {
            url: url?,
            max_connections: max_connections?,
            acquire_timeout: acquire_timeout?,
            connect_timeout: connect_timeout?,
            statement_timeout: statement_timeout?,
            gather: gather?,
            migrate_on_start: migrate_on_start?,
        })
    }
}
