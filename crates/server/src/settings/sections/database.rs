use std::time::Duration;

use pos_adapters::storage::Pooler;
use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::reader::{Reader, Verdict};

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
    /// What `url` leads to.
    pub pooler: Pooler,
    /// The server itself, where `url` leads to a pooler; secret as `url` is. None: the text is empty.
    pub direct_url: Option<SecretString>,
}

impl DatabaseSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        const TIMEOUT_MS: std::ops::RangeInclusive<i64> = 1..=600_000;
        let url = reader.secret("database.url", |url| {
            let known = is_postgres(url) || url.starts_with("sqlite:");
            known.then_some(()).ok_or_else(|| {
                let remedy = "write postgres://user:password@host/name, or sqlite://path";
                ("is the address of no store that is known here".to_owned(), remedy.to_owned())
            })
        });
        let direct_url = reader.secret("database.direct_url", |url| {
            (url.is_empty() || is_postgres(url)).then_some(()).ok_or_else(|| {
                let remedy = "write postgres://user:password@host/name, or leave it empty";
                ("is not the address of a PostgreSQL server".to_owned(), remedy.to_owned())
            })
        });
        let pooler = reader.text("database.pooler", pooler);
        let max_connections = reader.number("database.max_connections", 1..=10_000);
        let acquire_timeout = reader.millis("database.acquire_timeout_ms", TIMEOUT_MS);
        let connect_timeout = reader.millis("database.connect_timeout_ms", TIMEOUT_MS);
        let statement_timeout = reader.millis("database.statement_timeout_ms", TIMEOUT_MS);
        let gather = reader.flag("database.gather");
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
            gather: gather?,
            migrate_on_start: migrate_on_start?,
        })
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn pooler(text: &str) -> Verdict<Pooler> {
    match text {
        "none" => Ok(Pooler::None),
        "transaction" => Ok(Pooler::Transaction),
        _ => Err((format!("is {text:?}, which is no kind of pooler"), "write none or transaction".to_owned())),
    }
}
