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
    /// Write the tables of a run as Markdown, to the screen or between the markers of files
    Table(Table),
    /// Serve a fixed answer by a bare handler until standard input ends
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        port_file: PathBuf,
    },
    /// Import a file of devices, as `pos-server device import` does
    #[command(hide = true)]
    Import { file: PathBuf },
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
    #[arg(long, value_delimiter = ',', default_values_t = Load::ALL)]
    pub(crate) only: Vec<Load>,
    /// Length of each cell of the tables, in seconds
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=60))]
    pub(crate) cell_seconds: u32,
    /// The tables' lines: how many connections
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256, 1_024],
          value_parser = value_parser!(u32).range(1..=4_096))]
    pub(crate) table_connections: Vec<u32>,
    /// The tables' columns: how many devices. Each makes a database beside the one given
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000],
          value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub(crate) table_devices: Vec<u32>,
    /// Measure the peers too, which `benches/peers/prepare` made ready in this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) peers: Option<PathBuf>,
    /// Where to keep everything that was measured
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Which run, and where its tables go.
#[derive(Debug, Clone, Args)]
pub(crate) struct Table {
    /// What `run --json` kept
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Replace what stands between the markers of this file; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Vec<PathBuf>,
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
    /// `GET /pos/status` with gathering on and off in turn
    Gathering,
    /// `GET /pos/status` and `POST /pos/pairing-code` with the embedded store
    Sqlite,
    /// An import beside PostgreSQL's own COPY, and `POST /pos/pairing-code` before and right after a large one
    Imports,
    /// `GET /merchant/devices` alone, and while thousands of terminals call `POST /pos/bootstrap`
    Portals,
    /// `GET /pos/status` against connections and devices
    Tables,
    /// More polls and codes than the server can answer; only when it is asked for
    Overload,
}

impl Load {
    /// In the order in which they are measured. The tables fill PostgreSQL's memory, so they come last.
    pub(crate) const ALL: [Self; 8] = [
        Self::Polls,
        Self::Gathering,
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
            Self::Gathering => "gathering",
            Self::Sqlite => "sqlite",
            Self::Imports => "imports",
            Self::Portals => "portals",
            Self::Tables => "tables",
            Self::Overload => "overload",
        })
    }
}

impl Run {
    /// How much is measured, for the report.
    pub(crate) fn in_words(&self) -> String {
        let Self { connections, devices, repetitions, seconds, cell_seconds, .. } = self;
        let claims = self.claims_whole();
        format!(
            "load        {connections} connections, {devices} devices, {repetitions} repetitions of {seconds} s \
             (claims: of {claims}; cells of the tables: {cell_seconds} s)"
        )
    }

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
