//! Database URL, which selects the engine and the database.

pub(crate) mod parameters;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio_postgres::config::{Host, SslMode};

use crate::url::parameters::translate;

/// A database URL: `sqlite://PATH`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE` as in PostgreSQL's own tools.
///
/// With `?sslmode=require` (or `verify-full`, which is the same here) the connection is TLS and the server's certificate
/// must be for its host and signed by an authority that the machine trusts, or by one in the file `SSL_CERT_FILE`.
/// Without it, or with `disable`, the connection does not use TLS. `prefer` and `allow` are rejected.
///
/// Neither `Display` nor `Debug` shows the password or the parameters after `?`.
#[derive(Clone)]
pub struct DatabaseUrl(Engine);

#[derive(Clone)]
pub(crate) enum Engine {
    Sqlite(PathBuf),
    Postgres(Box<tokio_postgres::Config>),
}

/// Why a text is not a valid database URL. No message repeats the text, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// An SQLite path with parts that only URLs have.
    #[error(
        "the path of the SQLite database contains {0}, but parameters and percent-encoding are not supported: \
         write only the file, like sqlite:///var/lib/pos/pos.db"
    )]
    NotLiteral(&'static str),
    /// It is not a valid PostgreSQL URL.
    #[error(
        "the database URL is not valid: write postgres://user:password@host:5432/database, with special \
         characters of the password percent-encoded"
    )]
    Postgres,
    /// A parameter after `?`, or its value, is not supported.
    #[error("the database URL's parameter {parameter} is not supported: {advice}")]
    Parameter {
        /// The parameter, with its value if the value is not supported.
        parameter: String,
        /// What to write instead.
        advice: String,
    },
    /// The number of ports or addresses differs from the number of hosts.
    #[error("the database URL names {hosts} hosts and {others} {what}: write as many, or one port for all")]
    Unequal {
        /// The number of hosts.
        hosts: usize,
        /// The number of ports or addresses.
        others: usize,
        /// `ports` or `addresses (hostaddr)`.
        what: &'static str,
    },
    /// It names no host.
    #[error("the database URL names no host: write postgres://user:password@host:5432/database")]
    NoHost,
}

impl DatabaseUrl {
    /// The engine: `sqlite` or `postgres`.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        match self.0 {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// The URL of an SQLite file.
    #[must_use]
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self(Engine::Sqlite(path.as_ref().to_owned()))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0
    }

    /// Whether connections to another machine do not use TLS.
    pub(crate) fn is_unencrypted(&self) -> bool {
        let Engine::Postgres(config) = &self.0 else { return false };
        let is_local = |host: &Host| match host {
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        // `hostaddr` takes precedence over the host.
        let addresses = config.get_hostaddrs();
        let all_local = if addresses.is_empty() {
            config.get_hosts().iter().all(is_local)
        } else {
            addresses.iter().all(IpAddr::is_loopback)
        };
        config.get_ssl_mode() != SslMode::Require && !all_local
    }
}

/// The part of a path that shows that it was written as a URL, or that SQLite would parse it as one.
fn not_literal(path: &str) -> Option<&'static str> {
    let encoded = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if path.contains('?') {
        Some("a question mark")
    } else if path.contains('#') {
        Some("a number sign")
    } else if path.split('%').skip(1).any(encoded) {
        Some("a percent sign and two digits")
    } else if path.starts_with("file:") {
        Some("file:")
    } else {
        None
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if let Some(path) = text.strip_prefix("sqlite://") {
            return match path {
                "" => Err(InvalidDatabaseUrl::NoFile),
                ":memory:" => Err(InvalidDatabaseUrl::InMemory),
                _ => not_literal(path)
                    .map_or_else(|| Ok(Self::sqlite(path)), |part| Err(InvalidDatabaseUrl::NotLiteral(part))),
            };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl::Scheme);
        }
        let translated = translate(text)?;
        let mut config: tokio_postgres::Config = translated.url.parse().map_err(|_| InvalidDatabaseUrl::Postgres)?;
        if let Some(timeout) = translated.tcp_user_timeout {
            config.tcp_user_timeout(timeout);
        }
        let (hosts, addresses, ports) =
            (config.get_hosts().len(), config.get_hostaddrs().len(), config.get_ports().len());
        if hosts == 0 && addresses == 0 {
            return Err(InvalidDatabaseUrl::NoHost);
        }
        if hosts > 0 && addresses > 0 && hosts != addresses {
            return Err(InvalidDatabaseUrl::Unequal { hosts, others: addresses, what: "addresses (hostaddr)" });
        }
        if ports > 1 && ports != hosts.max(addresses) {
            return Err(InvalidDatabaseUrl::Unequal { hosts: hosts.max(addresses), others: ports, what: "ports" });
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
        for (index, host) in config.get_hosts().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(folder) => write!(f, "{comma}{}", folder.display())?,
            }
            let ports = config.get_ports();
            if let Some(port) = ports.get(index).or(ports.first()) {
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
    fn require_and_verify_full_both_select_tls() {
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
    fn a_connection_to_another_machine_without_tls_is_detected() {
        for (text, expected) in [
            ("postgres://pos@db.example/pos", true),
            ("postgres://pos@db.example/pos?sslmode=disable", true),
            ("postgres://pos@10.0.0.7/pos", true),
            ("postgres://pos@localhost,db.example/pos", true),
            ("postgres://pos@db.example/pos?sslmode=verify-full", false),
            ("postgres://pos@localhost/pos", false),
            ("postgres://pos@127.0.0.1:5433/pos", false),
            ("postgres://pos@[::1]/pos", false),
            ("postgres://pos@%2Frun%2Fpostgresql/pos", false),
            ("postgres://pos@db.example/pos?hostaddr=127.0.0.1", false),
            ("sqlite://pos.db", false),
        ] {
            assert_eq!(text.parse::<DatabaseUrl>().unwrap().is_unencrypted(), expected, "for {text:?}");
        }
    }

    fn unequal(hosts: usize, others: usize, what: &'static str) -> InvalidDatabaseUrl {
        InvalidDatabaseUrl::Unequal { hosts, others, what }
    }

    #[test]
    fn each_invalid_url_has_its_own_error() {
        for (text, expected) in [
            ("", InvalidDatabaseUrl::Scheme),
            ("mysql://s3cret@host/db", InvalidDatabaseUrl::Scheme),
            ("sqlite:pos.db", InvalidDatabaseUrl::Scheme),
            ("sqlite://", InvalidDatabaseUrl::NoFile),
            ("sqlite://:memory:", InvalidDatabaseUrl::InMemory),
            ("postgres://u:s3cret@host:notaport/db", InvalidDatabaseUrl::Postgres),
            ("postgres://u:s3cret@host:1,two:2,three:3/db?port=4", unequal(3, 4, "ports")),
            ("postgres://u:s3cret@one,two/db?hostaddr=127.0.0.1", unequal(2, 1, "addresses (hostaddr)")),
            ("sqlite:///var/lib/pos/pos.db?mode=ro", InvalidDatabaseUrl::NotLiteral("a question mark")),
            ("sqlite://pos.db#1", InvalidDatabaseUrl::NotLiteral("a number sign")),
            ("sqlite://my%20data/pos.db", InvalidDatabaseUrl::NotLiteral("a percent sign and two digits")),
            ("sqlite://file:pos.db", InvalidDatabaseUrl::NotLiteral("file:")),
            ("postgres://", InvalidDatabaseUrl::NoHost),
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert_eq!(error, expected, "for {text:?}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
