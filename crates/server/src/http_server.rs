//! HTTP server process: listener, background jobs and graceful shutdown.

use std::net::{SocketAddr, TcpListener};
use std::thread::available_parallelism;

use actix_server::ServerHandle;
use anyhow::Context as _;
use pos_adapters::http::{Drain, ServeOptions, serve};
use pos_application::AuditUseCases;
use socket2::SockRef;
use tokio::task::JoinHandle;

use crate::bind_error;
use crate::checkpoint_job::CheckpointSchedule;
use crate::retention::PurgeSchedule;
use crate::settings::{HttpSettings, ShutdownSettings};
use crate::wiring::Dependencies;

/// A running server. Dropping it does not stop it.
pub struct HttpServer {
    address: SocketAddr,
    handle: ServerHandle,
    drain: Drain,
    shutdown: ShutdownSettings,
    running: JoinHandle<std::io::Result<()>>,
    purge_task: Option<JoinHandle<()>>,
    checkpoint_task: JoinHandle<()>,
}

/// Length of the listen queue; the system may limit it further (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Binds the listen address. Called before anything slow, so that a port in use is reported first and early clients wait
/// in the listen queue instead of being refused.
///
/// # Errors
/// If the address cannot be bound.
pub fn bind(settings: &HttpSettings) -> anyhow::Result<TcpListener> {
    let bind = &settings.bind;
    let listener = TcpListener::bind(bind).map_err(|error| {
        anyhow::anyhow!(bind_error::explain(&bind.to_string(), "http.bind (POS__HTTP__BIND)", &error))
    })?;
    // The default queue is so short that the system drops connections when a fleet reconnects at once.
    SockRef::from(&listener).listen(BACKLOG).context("the listen queue")?;
    Ok(listener)
}

impl HttpServer {
    /// Starts the server on a bound listener.
    ///
    /// # Errors
    /// If the API cannot be built or the listener cannot be used.
    pub fn start(listener: TcpListener, dependencies: &Dependencies) -> anyhow::Result<Self> {
        let http = &dependencies.settings.http;
        let shutdown = dependencies.settings.shutdown.clone();
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
        let api = dependencies.api(drain.clone())?;
        let AuditUseCases { purge, append_checkpoints, .. } = dependencies.use_cases()?.audit;
        let schedule = dependencies.settings.retention.every.map(|every| PurgeSchedule {
            purge,
            rate_limiter: api.rate_limiter.clone(),
            metrics: api.metrics.clone(),
            clock: dependencies.clock.clone(),
            every,
            drain: drain.clone(),
        });
        let server = serve(listener, api, options).context("the listener")?;
        let purge_task = schedule.map(|schedule| tokio::spawn(schedule.run()));
        let checkpoint_task = tokio::spawn(CheckpointSchedule { append_checkpoints, drain: drain.clone() }.run());
        let (handle, running) = (server.handle(), tokio::spawn(server));
        Ok(Self { address, handle, drain, shutdown, running, purge_task, checkpoint_task })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `first` completes. Then it shuts down in stages: it reports not ready, waits for load balancers to notice,
    /// stops accepting connections, and gives requests in progress the grace period. `second` ends that period.
    ///
    /// # Errors
    /// If the server failed.
    pub async fn serve_until(
        self,
        first: impl Future<Output = ()>,
        second: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let Self { handle, drain, shutdown, mut running, purge_task, checkpoint_task, .. } = self;
        tokio::select! {
            () = first => {}
            ended = &mut running => return Ok(ended.context("the server task")??),
        }
        drain.start();
        tracing::info!(
            grace_secs = shutdown.grace.as_secs(),
            "stopping: not ready, draining requests in progress; a second signal stops at once"
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
        // Ends after the batch in progress, which has the time limit of a statement.
        checkpoint_task.await.context("the checkpoint task")?;
        if let Some(purge_task) = purge_task {
            purge_task.await.context("the purge task")?;
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Stops at once; for tests.
    pub async fn abort(self) {
        self.checkpoint_task.abort();
        if let Some(purge_task) = &self.purge_task {
            purge_task.abort();
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
    fn connections_beyond_the_default_queue_are_not_dropped() {
        let any_port = ("POS__HTTP__BIND".to_owned(), "127.0.0.1:0".to_owned());
        let settings = Settings::load(None, [any_port].into_iter()).expect("settings");
        let listener = bind(&settings.http).expect("a listener");
        let address = listener.local_addr().unwrap();
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
        let capacity = allowed.and_then(|most| most.trim().parse().ok()).unwrap_or(128_usize).min(400);
        // No connection is accepted: a SYN that the full queue drops is never answered.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(10)).expect("a slot in the queue");
        let waiting: Vec<_> = (0..capacity).map(connect).collect();
        assert_eq!(waiting.len(), capacity);
    }
}
