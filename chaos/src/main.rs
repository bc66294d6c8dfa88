//! Fault injection against a running server: simulates terminals and merchants, checks every response against a model.
//!
//! `scripts/chaos` builds the server and calls this program; `docs/chaos.md` explains the report.

mod audit;
mod bulk_import;
mod db_snapshot;
mod disconnecting_clients;
mod disk;
mod fault;
mod faults;
mod fleet;
mod held_row;
mod history;
mod issuer;
mod log_pipe;
mod merchant_worker;
mod model;
mod options;
mod people;
mod portal;
mod postgres;
mod process;
mod quiesce;
mod replica;
mod report;
mod runner;
mod scenario;
mod slow_clients;
mod stalled_log;
mod terminals;
mod time;
mod workload;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = until_stopped(runner::run(options::Options::parse())).await;
    outcome.unwrap_or_else(|error| {
        eprintln!("pos-chaos: {error:#}");
        ExitCode::from(2)
    })
}

/// Cancels the work on SIGINT or SIGTERM. Dropping it removes every process, file and mount it created.
async fn until_stopped(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot install a signal handler")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot install a signal handler")?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}
