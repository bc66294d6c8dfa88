//! Benchmarks of the server, reported as ratios to references that are measured in the same run.
//!
//! `scripts/bench` starts a private PostgreSQL and calls this program with its URL; `docs/benchmarks.md` explains the
//! rows. The program starts itself again as the server and as the baseline handler, so that both have the same binary,
//! compiler and options.

mod baseline;
mod batching;
mod bench;
mod claims;
mod connection_matrix;
mod database;
mod fleet;
mod fleets;
mod http_load;
mod imports;
mod interleaved;
mod machine;
mod measurement;
mod options;
mod overload;
mod peers;
mod pgbench;
mod portals;
mod processes;
mod report;
mod results;
mod runner;
mod sqlite;
mod summary;
mod table;
mod targets;
mod wrk;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use self::options::{Command, Options};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Run(options) => until_stopped(runner::run(&options)).await,
        Command::Table(options) => table::write(&options).map(|()| ExitCode::SUCCESS),
        Command::Baseline { port_file } => baseline::serve(&port_file).await.map(|()| ExitCode::SUCCESS),
        Command::Import { file } => imports::run_command(&file).await,
        Command::Server { port_file } => processes::serve(port_file).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("pos-bench: {error:#}");
        ExitCode::FAILURE
    })
}

/// Cancels the work on SIGINT or SIGTERM. Dropping it removes every process and file it created.
async fn until_stopped(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot install a signal handler")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot install a signal handler")?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}
