//! How fast the server is, told as ratios against references measured in the same run.
//!
//! `scripts/bench` starts a PostgreSQL of its own and calls this program with its URL; `docs/benchmarks.md` says what
//! the rows mean. The program starts itself again as the server and as the bare handler it is compared with, so that
//! both are one binary, from one compiler with one set of options.

mod bare;
mod children;
mod claims;
mod database;
mod fleet;
mod fleets;
mod gathering;
mod grid;
mod http_load;
mod imports;
mod machine;
mod options;
mod overload;
mod peers;
mod pgbench;
mod plan;
mod portals;
mod report;
mod results;
mod sample;
mod slices;
mod sqlite;
mod table;
mod verdicts;
mod wrk;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use self::options::{Command, Options};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Run(options) => until_stopped(plan::run(&options)).await,
        Command::Table(options) => table::write(&options).map(|()| ExitCode::SUCCESS),
        Command::Bare { port_file } => bare::serve(&port_file).await.map(|()| ExitCode::SUCCESS),
        Command::Import { file } => imports::run_command(&file).await,
        Command::Server { port_file } => children::serve(port_file).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("pos-bench: {error:#}");
        ExitCode::FAILURE
    })
}

/// Drops the work when a signal comes, and with it every process and file it made.
async fn until_stopped(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("told to stop"),
    }
}
