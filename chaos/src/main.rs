//! Drives simulated terminals and merchants, checks every answer against a model, and breaks everything around them.
//!
//! `scripts/chaos` builds the server and calls this program; `docs/chaos.md` says how to read the report.

mod act;
mod audit;
mod bulk_import;
mod disk;
mod fault;
mod faults;
mod fleet;
mod found;
mod held_row;
mod issuer;
mod leaving;
mod ledger;
mod log_pipe;
mod merchants;
mod model;
mod options;
mod people;
mod play;
mod portal;
mod postgres;
mod process;
mod replica;
mod report;
mod rest;
mod slow_clients;
mod stalled_log;
mod terminals;
mod time;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = until_stopped(play::run(options::Options::parse())).await;
    outcome.unwrap_or_else(|error| {
        eprintln!("pos-chaos: {error:#}");
        ExitCode::from(2)
    })
}

/// Drops the work when a signal comes, and with it every process, file and mount it made.
async fn until_stopped(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("told to stop"),
    }
}
