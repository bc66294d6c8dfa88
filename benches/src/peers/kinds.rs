//! Kinds of peers, and how each is started.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::Context as _;

use crate::processes::ServerProcess;

/// A peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gin,
    Fastify,
    OidcProvider,
    Hydra,
    Keycloak,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Gin, Self::Fastify, Self::OidcProvider, Self::Hydra, Self::Keycloak];

    /// Its name, which is also its folder.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gin => "gin",
            Self::Fastify => "fastify",
            Self::OidcProvider => "oidc-provider",
            Self::Hydra => "hydra",
            Self::Keycloak => "keycloak",
        }
    }

    /// Its title in the tables, with the pinned versions.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Gin => "Gin 1.12.0 + pgx 5.12.0",
            Self::Fastify => "Fastify 5.12.8 + pg 8.23.1",
            Self::OidcProvider => "oidc-provider 8.8.1",
            Self::Hydra => "Ory Hydra",
            Self::Keycloak => "Keycloak 26.4.7",
        }
    }

    /// Starts the peer, with `pool` database connections in each process.
    pub(super) async fn start(
        self,
        prepared: &Path,
        folder: &Path,
        url: &str,
        pool: u32,
    ) -> anyhow::Result<ServerProcess> {
        let home = prepared.join(self.name());
        let pool = pool.to_string();
        let variables = [("DATABASE_URL", url), ("POOL_SIZE", pool.as_str()), ("NODE_ENV", "production")];
        match self {
            Self::Gin => ServerProcess::start_peer(&[utf8(&home.join("server"))?], folder, &variables, None).await,
            Self::Fastify | Self::OidcProvider => {
                ServerProcess::start_peer(&["node", utf8(&home.join("server.js"))?], folder, &variables, None).await
            }
            Self::Keycloak => keycloak(&home, folder, url).await,
            Self::Hydra => anyhow::bail!("there is no driver"),
        }
    }
}

/// Configured as in its production guide: built beforehand, on PostgreSQL, one node. The log level is raised, because by
/// default it logs a line for each poll of a pending code.
async fn keycloak(home: &Path, folder: &Path, url: &str) -> anyhow::Result<ServerProcess> {
    // It cannot report its port, so a free port is chosen here; another process may take it in between.
    let address = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.local_addr()?;
    let config: tokio_postgres::Config = url.parse().context("the database's URL")?;
    let port = config.get_ports().first().copied().unwrap_or(5_432);
    let user = config.get_user().unwrap_or("postgres");
    let password = config.get_password().map(String::from_utf8_lossy).unwrap_or("none".into());
    let database = format!("jdbc:postgresql://127.0.0.1:{port}/{KEYCLOAK_DATABASE}");
    let variables = [
        ("KC_DB_URL", database.as_str()),
        ("KC_DB_USERNAME", user),
        ("KC_DB_PASSWORD", password.as_ref()),
        ("KC_LOG_LEVEL", "error"),
    ];
    let (listens, hostname) = (format!("--http-port={}", address.port()), format!("--hostname=http://{address}"));
    let program = home.join("bin/kc.sh");
    let program = [
        utf8(&program)?,
        "start",
        "--optimized",
        "--import-realm",
        "--cache=local",
        "--http-enabled=true",
        "--http-host=127.0.0.1",
        &listens,
        &hostname,
    ];
    ServerProcess::start_peer(&program, folder, &variables, Some(address)).await
}

/// Keycloak's own database, on the same PostgreSQL server.
pub(super) const KEYCLOAK_DATABASE: &str = "keycloak";

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the folder's name is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn titles_contain_the_pinned_versions() {
        let pinned = [
            (Kind::Gin, include_str!("../../peers/gin/go.mod")),
            (Kind::Fastify, include_str!("../../peers/fastify/package.json")),
            (Kind::OidcProvider, include_str!("../../peers/oidc-provider/package.json")),
            (Kind::Keycloak, include_str!("../../../scripts/test-keycloak")),
        ];
        for (kind, file) in pinned {
            let versions = kind.title().split(' ').filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
            let versions: Vec<&str> = versions.collect();
            assert!(!versions.is_empty(), "{kind:?}");
            assert!(versions.iter().all(|version| file.contains(version)), "{kind:?}: {versions:?}");
        }
    }
}
