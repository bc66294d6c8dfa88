//! How each peer is started.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::Context as _;

use crate::children::Listening;

/// Who is compared with us.
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

    /// The name of its folder and in the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gin => "gin",
            Self::Fastify => "fastify",
            Self::OidcProvider => "oidc-provider",
            Self::Hydra => "hydra",
            Self::Keycloak => "keycloak",
        }
    }

    /// What it is, with the versions that are pinned beside it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Gin => "Gin 1.12.0 + pgx 5.12.0",
            Self::Fastify => "Fastify 5.12.8 + pg 8.23.1",
            Self::OidcProvider => "oidc-provider 8.8.1",
            Self::Hydra => "Ory Hydra",
            Self::Keycloak => "Keycloak 26.4.7",
        }
    }

    /// Starts it, with `pool` database connections in each of its processes.
    pub(super) async fn start(self, prepared: &Path, folder: &Path, url: &str, pool: u32) -> anyhow::Result<Listening> {
        let home = prepared.join(self.name());
        let pool = pool.to_string();
        let variables = [("DATABASE_URL", url), ("POOL_SIZE", pool.as_str()), ("NODE_ENV", "production")];
        match self {
            Self::Gin => Listening::start_peer(&[utf8(&home.join("server"))?], folder, &variables, None).await,
            Self::Fastify | Self::OidcProvider => {
                Listening::start_peer(&["node", utf8(&home.join("server.js"))?], folder, &variables, None).await
            }
            Self::Keycloak => keycloak(&home, folder, url).await,
            Self::Hydra => anyhow::bail!("it has no driver"),
        }
    }
}

/// As its guide for production has it: built beforehand, over PostgreSQL, one node. It writes no line for each poll that
/// is told to wait, which it does by default.
async fn keycloak(home: &Path, folder: &Path, url: &str) -> anyhow::Result<Listening> {
    // It cannot tell which port it took, so one is looked for; somebody else may take it in between.
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
    Listening::start_peer(&program, folder, &variables, Some(address)).await
}

/// Keycloak's own database, at the same PostgreSQL.
pub(super) const KEYCLOAK_DATABASE: &str = "keycloak";

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a folder whose name is no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn titles_name_the_versions_that_are_pinned() {
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
