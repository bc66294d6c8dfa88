//! The one setting that chooses engine and database.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio_postgres::config::Host;

/// Which database: `sqlite://PATH`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE` as PostgreSQL's own tools take it.
///
/// With `?sslmode=require` (or `verify-full`, which is the same here) the connection is TLS and the server's certificate
/// must be for its host and signed by an authority the machine trusts, or by one in the file that `SSL_CERT_FILE` names.
/// Without it the connection is plain.
///
/// Neither `Display` nor `Debug` shows the password or the parameters after `?`.
#[derive(Clone)]
pub struct DatabaseUrl(Engine);

#[derive(Clone)]
pub(super) enum Engine {
    Sqlite(PathBuf),
    Postgres(Box<tokio_postgres::Config>),
}

/// Why a text is no database URL. Never repeats the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// It starts with neither scheme.
    #[error("the database URL must start with sqlite:// or postgres://, like sqlite://data/pos.db")]
    Scheme,
    /// `sqlite://` without a file after it.
    #[error(
        "the database URL names no file: write sqlite://data/pos.db, or sqlite:///var/lib/pos/pos.db from the root"
    )]
    NoFile,
    /// `sqlite://:memory:`, which every connection would open as a database of its own.
    #[error("an SQLite database in memory cannot be shared by connections: name a file, like sqlite://data/pos.db")]
    InMemory,
    /// PostgreSQL's client does not understand it.
    #[error(
        "the database URL is not understood: write postgres://user:password@host:5432/database, with special \
         characters of the password percent-encoded, and after ? only parameters that PostgreSQL clients know"
    )]
    Postgres,
    /// It names no host.
    #[error("the database URL names no host: write postgres://user:password@host:5432/database")]
    NoHost,
}

impl DatabaseUrl {
    /// Which engine it names: `sqlite` or `postgres`.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        match self.0 {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// The database in this SQLite file.
    #[must_use]
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self(Engine::Sqlite(path.as_ref().to_owned()))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if let Some(path) = text.strip_prefix("sqlite://") {
            return match path {
                "" => Err(InvalidDatabaseUrl::NoFile),
                ":memory:" => Err(InvalidDatabaseUrl::InMemory),
                _ => Ok(Self::sqlite(path)),
            };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl::Scheme);
        }
        // Our TLS always verifies; the client library knows only the shorter word for it.
        let text = text.replace("sslmode=verify-full", "sslmode=require");
        let config: tokio_postgres::Config = text.parse().map_err(|_| InvalidDatabaseUrl::Postgres)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(InvalidDatabaseUrl::NoHost);
        }
        Ok(Self(Engine::Postgres(Box::new(config))))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = match &self.0 {
            Engine::Sqlite(path) => return write!(f, "sqlite://{}", path.display()),
            Engine::Postgres(config) => config,
        };
        f.write_str("postgres://")?;
        if let Some(user) = config.get_user() {
            write!(f, "{user}@")?;
        }
        for (place, host) in config.get_hosts().iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(folder) => write!(f, "{comma}{}", folder.display())?,
            }
            let ports = config.get_ports();
            if let Some(port) = ports.get(place).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        config.get_dbname().map_or(Ok(()), |name| write!(f, "/{name}"))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        for text in [
            "postgres://pos:s3cret@db.example:5433/pos",
            "postgresql://pos@db.example:5433/pos?password=s3cret",
            "postgres://pos:s3cret@db.example:5433/pos?application_name=s3cret",
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), "postgres://pos@db.example:5433/pos");
            assert_eq!(format!("{url:?}"), "DatabaseUrl(postgres://pos@db.example:5433/pos)");
            assert_eq!(url.engine_name(), "postgres");
        }
    }

    #[test]
    fn several_hosts_are_shown_with_their_ports() {
        let url: DatabaseUrl = "postgres://pos@one:1,two:2/pos".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://pos@one:1,two:2/pos");
    }

    #[test]
    fn tls_is_asked_for_by_either_word() {
        for (word, expected) in
            [("require", SslMode::Require), ("verify-full", SslMode::Require), ("disable", SslMode::Disable)]
        {
            let url: DatabaseUrl = format!("postgres://pos@db.example/pos?sslmode={word}").parse().unwrap();
            let Engine::Postgres(config) = url.engine() else { panic!("not PostgreSQL") };
            assert_eq!(config.get_ssl_mode(), expected);
        }
    }

    #[test]
    fn sqlite_paths_are_taken_literally() {
        let url: DatabaseUrl = "sqlite:///var/lib/pos/pos.db".parse().unwrap();
        assert_eq!(url.to_string(), "sqlite:///var/lib/pos/pos.db");
        let Engine::Sqlite(path) = url.engine() else { panic!("not SQLite") };
        assert_eq!(path, Path::new("/var/lib/pos/pos.db"));
    }

    #[test]
    fn each_mistake_is_told_apart() {
        for (text, expected) in [
            ("", InvalidDatabaseUrl::Scheme),
            ("mysql://s3cret@host/db", InvalidDatabaseUrl::Scheme),
            ("sqlite:pos.db", InvalidDatabaseUrl::Scheme),
            ("sqlite://", InvalidDatabaseUrl::NoFile),
            ("sqlite://:memory:", InvalidDatabaseUrl::InMemory),
            ("postgres://u:s3cret@host:notaport/db", InvalidDatabaseUrl::Postgres),
            ("postgres://u:s3cret@host/db?colour=red", InvalidDatabaseUrl::Postgres),
            ("postgres://", InvalidDatabaseUrl::NoHost),
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert_eq!(error, expected, "for {text:?}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
