//! `[database]` settings.

use std::time::Duration;

use pos_adapters::storage::Pooler;
use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::reader::{Reader, Validated};

/// Database settings.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `postgres://…` or `sqlite:…`; secret, because it may contain a password.
    pub url: SecretString,
    /// Size of the connection pool.
    pub max_connections: u32,
    /// Timeout for a connection from the pool.
    pub acquire_timeout: Duration,
    /// Timeout for opening a connection.
    pub connect_timeout: Duration,
    /// Timeout of one statement.
    pub statement_timeout: Duration,
    /// Whether concurrent requests to PostgreSQL are batched.
    pub batching: bool,
    /// Whether `serve` runs pending migrations first.
    pub migrate_on_start: bool,
    /// Kind of pooler at `url`.
    pub pooler: Pooler,
    /// PostgreSQL itself, if `url` points to a pooler; secret, like `url`. `None` if not set.
    pub direct_url: Option<SecretString>,
}

impl DatabaseSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        const TIMEOUT_MS: std::ops::RangeInclusive<i64> = 1..=600_000;
        let url = reader.secret("database.url", |url| {
            let known = is_postgres(url) || url.starts_with("sqlite:");
            known.then_some(()).ok_or_else(|| {
                let remedy = "write postgres://user:password@host/name, or sqlite://path";
                ("is not the URL of a known database".to_owned(), remedy.to_owned())
            })
        });
        let direct_url = reader.secret("database.direct_url", |url| {
            (url.is_empty() || is_postgres(url)).then_some(()).ok_or_else(|| {
                let remedy = "write postgres://user:password@host/name, or leave it empty";
                ("is not the URL of a PostgreSQL server".to_owned(), remedy.to_owned())
            })
        });
        let pooler = reader.text("database.pooler", pooler);
        let max_connections = reader.number("database.max_connections", 1..=10_000);
        let acquire_timeout = reader.millis("database.acquire_timeout_ms", TIMEOUT_MS);
        let connect_timeout = reader.millis("database.connect_timeout_ms", TIMEOUT_MS);
        let statement_timeout = reader.millis("database.statement_timeout_ms", TIMEOUT_MS);
        let batching = reader.flag("database.batching");
        let migrate_on_start = reader.flag("database.migrate_on_start");
        let (pooler, direct_url) = (pooler?, direct_url?);
        let direct_url = (!direct_url.expose_secret().is_empty()).then_some(direct_url);
        Some(Self {
            url: url?,
            pooler,
            direct_url,
            max_connections: max_connections?,
            acquire_timeout: acquire_timeout?,
            connect_timeout: connect_timeout?,
            statement_timeout: statement_timeout?,
            batching: batching?,
            migrate_on_start: migrate_on_start?,
        })
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn pooler(text: &str) -> Validated<Pooler> {
    match text {
        "none" => Ok(Pooler::None),
        "transaction" => Ok(Pooler::Transaction),
        _ => Err((format!("is {text:?}, which is not a known pooler mode"), "write none or transaction".to_owned())),
    }
}
