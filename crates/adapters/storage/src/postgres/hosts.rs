//! Failover between the hosts of a database URL. The connect timeout applies to each host.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};

use crate::engine_error::TooSlow;
use crate::postgres::connect_error::ConnectError;
use crate::postgres::tls;
use crate::url::{DatabaseUrl, Engine};
use crate::{Pooler, StorageOptions};

/// Index of the host to try first: the last one that accepted a connection. Otherwise every connection would wait for a
/// host that hangs, and a request cannot wait that long.
#[derive(Default)]
pub(crate) struct FirstHost(AtomicUsize);

/// The configuration of a direct connection: `direct_url`, else `url`. `None` if only a pooler is configured.
pub(crate) fn direct<'o>(
    config: &'o tokio_postgres::Config,
    options: &'o StorageOptions,
) -> Option<&'o tokio_postgres::Config> {
    match (options.direct_url.as_ref().map(DatabaseUrl::engine), options.pooler) {
        (Some(Engine::Postgres(direct)), _) => Some(direct),
        (_, Pooler::None) => Some(config),
        (_, Pooler::Transaction) => None,
    }
}

/// Opens one connection on the current runtime and spawns the task that drives it: with TLS if the URL has
/// `sslmode=require`, else without.
///
/// A URL without `sslmode` means no TLS, which `storage::warnings` reports. TLS that an attacker on the network can
/// disable protects nothing, and a server on the same machine rarely has a certificate that can be verified.
pub(crate) async fn dial(
    config: &Config,
    limit: Duration,
    first: &FirstHost,
) -> Result<(Client, JoinHandle<()>), ConnectError> {
    match config.get_ssl_mode() {
        SslMode::Require => establish(config, &tls::verified()?, limit, first).await,
        _ => establish(config, &NoTls, limit, first).await,
    }
}

async fn establish<T>(
    config: &Config,
    tls: &T,
    limit: Duration,
    first: &FirstHost,
) -> Result<(Client, JoinHandle<()>), ConnectError>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send> + Clone + Send + Sync,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = connect(config, tls, limit, first).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a PostgreSQL connection ended");
        }
    });
    Ok((client, driver))
}

/// Connects to the first host that accepts: the last one that worked, then the order of the URL. `limit`, or the URL's
/// `connect_timeout`, applies to each host and to each address of a host name.
pub(crate) async fn connect<T>(
    config: &Config,
    tls: &T,
    limit: Duration,
    first: &FirstHost,
) -> Result<(Client, Connection<Socket, T::Stream>), ConnectError>
where
    T: MakeTlsConnect<Socket> + Clone,
{
    let limit = config.get_connect_timeout().copied().unwrap_or(limit);
    let count = config.get_hosts().len().max(config.get_hostaddrs().len());
    let start = match config.get_load_balance_hosts() {
        LoadBalanceHosts::Random => random(),
        _ => first.0.load(Ordering::Relaxed),
    } % count.max(1);
    let others = (0..count).filter(|index| *index != start);
    let mut failure = None;
    for index in std::iter::once(start).chain(others) {
        match connect_host(config, index, tls, limit).await {
            Ok(connected) => {
                first.0.store(index, Ordering::Relaxed);
                return Ok(connected);
            }
            Err(error) => {
                if count > 1 {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, index, "failed to connect to a database host");
                }
                failure = Some(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| ConnectError::Setup("the URL names no host".into())))
}

/// Connects to the first address of one host that accepts.
async fn connect_host<T>(
    config: &Config,
    index: usize,
    tls: &T,
    limit: Duration,
) -> Result<(Client, Connection<Socket, T::Stream>), ConnectError>
where
    T: MakeTlsConnect<Socket> + Clone,
{
    let too_slow = |what| TooSlow { what, limit };
    let host = config.get_hosts().get(index);
    let ports = config.get_ports();
    let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let addresses: Vec<Option<IpAddr>> = match (config.get_hostaddrs().get(index), host) {
        (Some(address), _) => vec![Some(*address)],
        (None, Some(Host::Tcp(name))) => {
            let found = timeout(limit, lookup_host((name.as_str(), port))).await;
            let found = found.map_err(|_| too_slow("resolving the database host"))?.map_err(ConnectError::Lookup)?;
            found.map(|address| Some(address.ip())).collect()
        }
        (None, _) => vec![None],
    };
    let mut failure = None;
    for address in addresses {
        let target = target(config, host, address, port);
        match timeout(limit, target.connect(tls.clone())).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => failure = Some(error.into()),
            Err(_) => failure = Some(too_slow("connecting to PostgreSQL").into()),
        }
    }
    Err(failure.unwrap_or_else(|| ConnectError::Setup("the host has no address".into())))
}

/// The settings of the URL for one of its hosts.
fn target(config: &Config, host: Option<&Host>, address: Option<IpAddr>, port: u16) -> Config {
    let mut target = Config::new();
    match host {
        Some(Host::Tcp(name)) => {
            target.host(name);
        }
        #[cfg(unix)]
        Some(Host::Unix(folder)) => {
            target.host_path(folder);
        }
        None => {}
    }
    if let Some(address) = address {
        target.hostaddr(address);
    }
    target.port(port);
    if let Some(user) = config.get_user() {
        target.user(user);
    }
    if let Some(password) = config.get_password() {
        target.password(password);
    }
    if let Some(name) = config.get_dbname() {
        target.dbname(name);
    }
    if let Some(options) = config.get_options() {
        target.options(options);
    }
    if let Some(name) = config.get_application_name() {
        target.application_name(name);
    }
    target
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        target.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        target.keepalives_retries(retries);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        target.tcp_user_timeout(*timeout);
    }
    target
}

/// Sets TCP keepalives and timeouts that the URL does not set, so that a peer that disappeared silently (firewall, failover)
/// is detected within a minute. A connection that only listens would otherwise wait for hours.
pub(crate) fn detect_dead_peers(config: &mut Config) {
    let unset = Config::new();
    if config.get_keepalives_idle() == unset.get_keepalives_idle() {
        config.keepalives_idle(Duration::from_secs(30));
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(Duration::from_secs(10));
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(3);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(60));
    }
}

/// A random index, for `load_balance_hosts=random`.
fn random() -> usize {
    usize::try_from(RandomState::new().build_hasher().finish() >> 33).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_every_setting_of_the_url() {
        let text = "postgres://pos:s3cret@one:1/db?application_name=a&options=-csearch_path%3Dx&sslmode=require\
            &channel_binding=require&target_session_attrs=read-write&keepalives=0&keepalives_idle=7&keepalives_interval=8\
            &keepalives_retries=9&tcp_user_timeout=10";
        let config: Config = text.parse().unwrap();
        assert_eq!(target(&config, config.get_hosts().first(), None, 1), config);
    }
}
