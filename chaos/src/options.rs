//! Command-line options of `pos-chaos`.

use std::path::PathBuf;

use clap::{Parser, value_parser};

/// Injects faults around a running server and checks every response.
#[derive(Debug, Clone, Parser)]
#[command(name = "pos-chaos")]
pub(crate) struct Options {
    /// The server binary; it must include the development issuer
    #[arg(long, value_name = "FILE")]
    pub(crate) server: PathBuf,
    /// An empty folder for the databases
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Output folder for the report and the logs; its files are deleted first
    #[arg(long, value_name = "DIR", default_value = "target/chaos")]
    pub(crate) output: PathBuf,
    /// Duration of both scenarios together, in seconds. Each fault is injected at least once, however short it is
    #[arg(long, default_value_t = 1_200, value_parser = value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Inject each fault once, for a short time, and run both scenarios concurrently
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) short: bool,
    /// Number of terminals on PostgreSQL; on SQLite a quarter of it
    #[arg(long, default_value_t = 240, value_parser = value_parser!(u32).range(24..=5_000))]
    pub(crate) terminals: u32,
    /// Seed of the random choices of calls and faults. Default: random
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}
