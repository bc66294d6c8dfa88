//! The listening server and its orderly end.

use std::net::{SocketAddr, TcpListener};
use std::thread::available_parallelism;

use actix_server::ServerHandle;
use anyhow::Context as _;
use pos_adapters::http::{Drain, ServeOptions, serve};
use socket2::SockRef;
use tokio::task::JoinHandle;

use crate::bind_error;
use crate::reclaiming::Schedule;
use crate::sealing::Sealing;
use crate::settings::{HttpSettings, ShutdownSettings};
use crate::wiring::Parts;

/// A server that accepts connections. Dropping it does not stop it.
pub struct HttpServer {
    address: SocketAddr,
    handle: ServerHandle,
    drain: Drain,
    shutdown: ShutdownSettings,
    running: JoinHandle<std::io::Result<()>>,
    reclaiming: Option<JoinHandle<()>>,
    sealing: JoinHandle<()>,
}

/// Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Takes the address before anything slow happens, so that a taken port is the first thing said, and callers that come
/// early wait in the queue instead of being refused.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(settings: &HttpSettings) -> anyhow::Result<TcpListener> {
    let bind = &settings.bind;
    let listener = TcpListener::bind(bind).map_err(|error| {
        anyhow::anyhow!(bind_error::explain(&bind.to_string(), "http.bind (POS__HTTP__BIND)", &error))
    })?;
    // The standard library's queue is so short that the system drops connections when a fleet comes back at once.
    SockRef::from(&listener).listen(BACKLOG).context("the queue of the listener")?;
    Ok(listener)
}

impl HttpServer {
    /// Starts to serve on a bound listener.
    ///
    /// # Errors
    /// When the API cannot be wired or the listener cannot be used.
    pub fn start(listener: TcpListener, parts: &Parts) -> anyhow::Result<Self> {
        let http = &parts.settings.http;
        let shutdown = parts.settings.shutdown.clone();
        let drain = Drain::default();
        let address = listener.local_addr().context("the bound address")?;
        let options = ServeOptions {
            workers: workers(http),
            max_connections: http.max_connections,
            client_header_timeout: http.client_header_timeout,
            keep_alive: http.keep_alive,
            grace: shutdown.grace,
            cors_allowed_origins: http.cors_allowed_origins.clone(),
        };
        let api = parts.api(drain.clone())?;
        let reclaim = parts.reclaim()?;
        let schedule = parts.settings.reclaim.every.map(|every| Schedule {
            reclaim,
            pacing: api.pacing.clone(),
            metrics: api.metrics.clone(),
            clock: parts.clock.clone(),
            every,
            drain: drain.clone(),
        });
        let server = serve(listener, api, options).context("the listener")?;
        let reclaiming = schedule.map(|schedule| tokio::spawn(schedule.run()));
        let sealing = tokio::spawn(Sealing { seal: parts.seal(), drain: drain.clone() }.run());
        let (handle, running) = (server.handle(), tokio::spawn(server));
        Ok(Self { address, handle, drain, shutdown, running, reclaiming, sealing })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `first` is told; then, in stages: not ready any more, a pause for balancers to notice, no new
    /// connections, and the requests under way get the grace period. `second` cuts that short.
    ///
    /// # Errors
    /// When the server failed.
    pub async fn serve_until(
        self,
        first: impl Future<Output = ()>,
        second: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let Self { handle, drain, shutdown, mut running, reclaiming, sealing, .. } = self;
        tokio::select! {
            () = first => {}
            ended = &mut running => return Ok(ended.context("the server task")??),
        }
        drain.start();
        tracing::info!(
            grace_secs = shutdown.grace.as_secs(),
            "stopping: no longer ready, requests under way are finished; a second signal stops at once"
        );
        let orderly = async {
            tokio::time::sleep(shutdown.readiness_delay).await;
            handle.stop(true).await;
        };
        tokio::select! {
            () = orderly => {}
            () = second => {
                tracing::warn!("second signal: stopping at once");
                handle.stop(false).await;
            }
        }
        running.await.context("the server task")??;
        // It ends after the batch under way, which has the time limit of a statement.
        sealing.await.context("the seal of audit events")?;
        if let Some(reclaiming) = reclaiming {
            reclaiming.await.context("the removal of rows that are over")?;
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Stops at once; for tests.
    pub async fn abort(self) {
        self.sealing.abort();
        if let Some(reclaiming) = &self.reclaiming {
            reclaiming.abort();
        }
        self.handle.stop(false).await;
    }
}

fn workers(settings: &HttpSettings) -> usize {
    match settings.workers {
        0 => available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn connections_beyond_the_usual_queue_are_not_dropped() {
        let any_port = ("POS__HTTP__BIND".to_owned(), "127.0.0.1:0".to_owned());
        let settings = Settings::load(None, [any_port].into_iter()).expect("settings");
        let listener = bind(&settings.http).expect("a listener");
        let address = listener.local_addr().unwrap();
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
        let room = allowed.and_then(|most| most.trim().parse().ok()).unwrap_or(128_usize).min(400);
        // Nobody accepts: what finds no room is never answered, however long it waits.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(10)).expect("room in the queue");
        let waiting: Vec<_> = (0..room).map(connect).collect();
        assert_eq!(waiting.len(), room);
    }
}
