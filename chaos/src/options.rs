//! What can be typed after `pos-chaos`.

use std::path::PathBuf;

use clap::{Parser, value_parser};

/// Breaks everything around the server, and sees whether it keeps its word.
#[derive(Debug, Clone, Parser)]
#[command(name = "pos-chaos")]
pub(crate) struct Options {
    /// The server's program, with the development issuer in it
    #[arg(long, value_name = "FILE")]
    pub(crate) server: PathBuf,
    /// A folder for the databases, and nothing else
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Where the report and the logs go
    #[arg(long, value_name = "DIR", default_value = "target/chaos")]
    pub(crate) output: PathBuf,
    /// For how long, both acts together, in seconds. However short, each fault is made once
    #[arg(long, default_value_t = 1_200, value_parser = value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Each fault once, short, and both acts at the same time
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) short: bool,
    /// Terminals at PostgreSQL; a quarter of them at SQLite
    #[arg(long, default_value_t = 240, value_parser = value_parser!(u32).range(24..=5_000))]
    pub(crate) terminals: u32,
    /// The seed of what happens when and to whom; drawn without it
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}
