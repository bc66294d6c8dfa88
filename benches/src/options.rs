//! What can be typed after `pos-bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};

/// Measures the server against references from the same run.
#[derive(Debug, Parser)]
#[command(name = "pos-bench")]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure; needs an empty PostgreSQL database, wrk and pgbench
    Run(Run),
    /// Serve a fixed answer by a bare handler until standard input ends
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        port_file: PathBuf,
    },
    /// Serve the API, as `pos-server serve` does, until standard input ends
    #[command(hide = true)]
    Server {
        #[arg(long)]
        port_file: PathBuf,
    },
}

/// How much to measure. The bounds keep a slip of the finger from running all night.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// An empty database, with fsync on
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: String,
    /// Connections that load the server, and pgbench's clients
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: u32,
    /// Devices that poll and ask for codes
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) devices: u32,
    /// Length of each measurement of polls and codes, in seconds
    #[arg(long, default_value_t = 6, value_parser = value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Claims in each measurement: a device can be claimed once, so these are counted and not timed
    #[arg(long, default_value_t = 8_000, value_parser = value_parser!(u32).range(1..=200_000))]
    pub(crate) claims: u32,
    /// Users who claim, each of a merchant of its own
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) claimants: u32,
    /// Measurements of each kind, the references' and ours in turn
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=20))]
    pub(crate) repetitions: u32,
    /// Only these loads
    #[arg(long, value_delimiter = ',', default_values_t = [Load::Polls, Load::Codes, Load::Claims])]
    pub(crate) only: Vec<Load>,
}

/// What the server is loaded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Load {
    /// `GET /pos/status`
    Polls,
    /// `POST /pos/pairing-code`
    Codes,
    /// `POST /pos/claim`
    Claims,
    /// More polls and codes than the server can answer; only when it is asked for
    Overload,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Polls => "polls",
            Self::Codes => "codes",
            Self::Claims => "claims",
            Self::Overload => "overload",
        })
    }
}

impl Run {
    pub(crate) fn measurement(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Claims for each pgbench client. What does not divide evenly is left out, for pgbench and for us.
    pub(crate) fn claims_each(&self) -> u32 {
        (self.claims / self.connections).max(1)
    }

    pub(crate) fn claims_whole(&self) -> u32 {
        self.claims_each() * self.connections
    }
}
