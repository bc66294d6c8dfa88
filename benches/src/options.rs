//! Command-line options of `pos-bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};

/// Measures the server against references in the same run.
#[derive(Debug, Parser)]
#[command(name = "pos-bench")]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure; requires an empty PostgreSQL database, wrk and pgbench
    Run(Run),
    /// Write the tables of a run as Markdown, to standard output or between the markers of files
    Table(Table),
    /// Serve a constant response with the baseline handler until standard input is closed
    #[command(hide = true)]
    Baseline {
        #[arg(long)]
        port_file: PathBuf,
    },
    /// Import a file of devices, as `pos-server device import` does
    #[command(hide = true)]
    Import { file: PathBuf },
    /// Serve the API, as `pos-server serve` does, until standard input is closed
    #[command(hide = true)]
    Server {
        #[arg(long)]
        port_file: PathBuf,
    },
}

/// What to measure, and for how long. The ranges prevent a typing error from running all night.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// URL of an empty PostgreSQL database, with fsync on
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: String,
    /// Number of connections to the server, and of pgbench's clients
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: u32,
    /// Number of devices that poll and request codes
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) devices: u32,
    /// Duration of each measurement of polls and codes, in seconds
    #[arg(long, default_value_t = 6, value_parser = value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Number of claims in each measurement; a device can be claimed only once, so the count is fixed and not the time
    #[arg(long, default_value_t = 8_000, value_parser = value_parser!(u32).range(1..=200_000))]
    pub(crate) claims: u32,
    /// Number of users who claim, each of a different merchant
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) claimants: u32,
    /// Number of measurements of each kind, alternating between reference and server
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=20))]
    pub(crate) repetitions: u32,
    /// Measure only these loads
    #[arg(long, value_delimiter = ',', default_values_t = Load::ALL)]
    pub(crate) only: Vec<Load>,
    /// Duration of each cell of the tables, in seconds
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=60))]
    pub(crate) cell_seconds: u32,
    /// Numbers of connections, the rows of the tables
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256, 1_024],
          value_parser = value_parser!(u32).range(1..=4_096))]
    pub(crate) table_connections: Vec<u32>,
    /// Numbers of devices, the columns of the tables. Each creates one more database on the same server
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000],
          value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub(crate) table_devices: Vec<u32>,
    /// Also measure the peers that `benches/peers/prepare` has prepared in this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) peers: Option<PathBuf>,
    /// File for all measurements, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// The run to read, and the files to fill.
#[derive(Debug, Clone, Args)]
pub(crate) struct Table {
    /// File written by `run --json`
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Replace the tables between the markers of this file; repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Vec<PathBuf>,
}

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Load {
    /// `GET /pos/status`
    Polls,
    /// `POST /pos/pairing-code`
    Codes,
    /// `POST /pos/claim`
    Claims,
    /// `GET /pos/status` with and without batching, alternating
    Batching,
    /// `GET /pos/status` and `POST /pos/pairing-code` on SQLite
    Sqlite,
    /// An import compared with PostgreSQL's COPY, and `POST /pos/pairing-code` before and right after a large import
    Imports,
    /// `GET /merchant/devices` without other load, and while thousands of terminals call `POST /pos/bootstrap`
    Portals,
    /// `GET /pos/status` by numbers of connections and devices
    Tables,
    /// More polls and codes than the server can answer; not measured by default
    Overload,
}

impl Load {
    /// The default loads in the order of measurement. The tables fill PostgreSQL's memory, so they come last.
    pub(crate) const ALL: [Self; 8] = [
        Self::Polls,
        Self::Batching,
        Self::Codes,
        Self::Claims,
        Self::Sqlite,
        Self::Imports,
        Self::Portals,
        Self::Tables,
    ];
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Polls => "polls",
            Self::Codes => "codes",
            Self::Claims => "claims",
            Self::Batching => "batching",
            Self::Sqlite => "sqlite",
            Self::Imports => "imports",
            Self::Portals => "portals",
            Self::Tables => "tables",
            Self::Overload => "overload",
        })
    }
}

impl Run {
    /// One line about the load, for the report.
    pub(crate) fn summary(&self) -> String {
        let Self { connections, devices, repetitions, seconds, cell_seconds, .. } = self;
        let claims = self.total_claims();
        format!(
            "load        {connections} connections, {devices} devices, {repetitions} repetitions of {seconds} s \
             (claims: of {claims}; cells of the tables: {cell_seconds} s)"
        )
    }

    /// Duration of one measurement.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Number of claims for each pgbench client. A remainder is dropped, for pgbench and for the server.
    pub(crate) fn claims_per_client(&self) -> u32 {
        (self.claims / self.connections).max(1)
    }

    pub(crate) fn total_claims(&self) -> u32 {
        self.claims_per_client() * self.connections
    }
}
