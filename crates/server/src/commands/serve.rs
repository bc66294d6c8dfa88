//! `serve` command: the HTTP server, from start to shutdown.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use futures_util::future::select_all;
use pos_adapters::storage::warnings;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::migrate::ensure_schema;
use crate::cli::Serve;
use crate::http_server::{HttpServer, bind};
use crate::settings::Settings;
use crate::telemetry;
use crate::wiring::{Dependencies, storage_options};

/// Runs `serve` until a stop signal.
pub(super) async fn run(settings: Settings, how: &Serve) -> anyhow::Result<()> {
    settings.require_identity()?;
    let _log = telemetry::init(&settings.log)?;
    let listener = bind(&settings.http)?;
    let address = listener.local_addr().context("the bound address")?;
    tracing::info!(%address, "listening");
    ensure_schema(&settings, !how.no_migrate).await?;
    for warning in warnings(&storage_options(&settings)?) {
        tracing::warn!("{warning}");
    }
    let dependencies = Dependencies::real(settings).await?;
    dependencies.storage.storage.health.ping().await.context("the database is not usable")?;
    let server = HttpServer::start(listener, &dependencies)?;
    if let Some(file) = &how.port_file {
        write_address(file, address)?;
    }
    let (first, second) = stop_signals()?;
    server.serve_until(first, second).await
}

/// Writes the file atomically, so that a script that waits for it never reads half an address.
fn write_address(file: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let name = file.file_name().context("--port-file needs a file name")?;
    let mut draft_name = name.to_owned();
    draft_name.push(".new");
    let draft = file.with_file_name(draft_name);
    fs::write(&draft, format!("{address}\n"))
        .and_then(|()| fs::rename(&draft, file))
        .with_context(|| format!("--port-file {}", file.display()))
}

/// Futures for the first and the second stop signal (SIGTERM, SIGINT or SIGHUP).
pub(super) fn stop_signals() -> anyhow::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt()];
    // Under nohup the server keeps running when its terminal is closed.
    if !ignores_hangup() {
        kinds.push(SignalKind::hangup());
    }
    let listen = || kinds.iter().map(|kind| signal(*kind)).collect::<Result<Vec<_>, _>>();
    Ok((count(listen()?, 1), count(listen()?, 2)))
}

async fn count(mut signals: Vec<Signal>, times: usize) {
    for _ in 0..times {
        select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    }
}

/// Whether this process was started with SIGHUP ignored; `false` without /proc.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SigIgn is a hexadecimal mask; SIGHUP (signal 1) is its lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
