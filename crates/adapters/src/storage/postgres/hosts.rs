//! Failover between the hosts of a URL: each of them has the whole connect timeout.

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

use super::connection::ConnectError;
use super::tls;
use crate::storage::failure::TooSlow;

/// The host to try first: the one that answered when those before it in the URL did not. Else each connection would wait
/// for a host that hangs, and a request has no time for that.
#[derive(Default)]
pub(super) struct FirstHost(AtomicUsize);

/// Opens one connection on the current runtime, with the task that moves its bytes: over TLS if the URL says
/// `sslmode=require`, else plain.
///
/// A URL that says nothing is plain too, which `storage::warnings` tells: TLS that anybody in between can talk us out of
/// protects nothing, and a verified certificate is not what a server on the same machine has.
pub(super) async fn dial(
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

/// Connects to the first host that accepts, in the order of the URL unless another is known to be better. Each of them
/// has `limit`, or what the URL has as `connect_timeout`; each address of a name has it, too.
pub(super) async fn connect<T>(
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
    let others = (0..count).filter(|place| *place != start);
    let mut failure = None;
    for place in std::iter::once(start).chain(others) {
        match one_host(config, place, tls, limit).await {
            Ok(connected) => {
                first.0.store(place, Ordering::Relaxed);
                return Ok(connected);
            }
            Err(error) => {
                if count > 1 {
                    tracing::debug!(error = &error as &dyn std::error::Error, place, "a database host was passed over");
                }
                failure = Some(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| ConnectError::Setup("no host is named".into())))
}

/// Connects to the first address of one host that accepts.
async fn one_host<T>(
    config: &Config,
    place: usize,
    tls: &T,
    limit: Duration,
) -> Result<(Client, Connection<Socket, T::Stream>), ConnectError>
where
    T: MakeTlsConnect<Socket> + Clone,
{
    let too_slow = |what| TooSlow { what, limit };
    let host = config.get_hosts().get(place);
    let ports = config.get_ports();
    let port = ports.get(place).or(ports.first()).copied().unwrap_or(5432);
    let addresses: Vec<Option<IpAddr>> = match (config.get_hostaddrs().get(place), host) {
        (Some(address), _) => vec![Some(*address)],
        (None, Some(Host::Tcp(name))) => {
            let found = timeout(limit, lookup_host((name.as_str(), port))).await;
            let found = found.map_err(|_| too_slow("looking up the database host"))?.map_err(ConnectError::Lookup)?;
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

/// The settings of a URL for one of its hosts.
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

/// For `load_balance_hosts=random`.
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
