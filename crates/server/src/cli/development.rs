//! Options of the commands of a development build.

use std::path::PathBuf;

use clap::Args;

/// How to show the flow.
#[derive(Debug, Args)]
pub struct Demo {
    /// End after the flow; exit status 0 only if all of it held
    #[arg(long)]
    pub once: bool,
    /// Where to serve; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub bind: String,
}

/// How to run the development issuer.
#[derive(Debug, Args)]
pub struct DevIdp {
    /// Where to listen: a loopback address
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "HOST:PORT")]
    pub bind: std::net::SocketAddr,
    /// Its users and clients, a TOML file; a demo merchant's when left out
    #[arg(long, value_name = "FILE")]
    pub realm: Option<PathBuf>,
}
