//! Command-line options of the development commands.

use std::path::PathBuf;

use clap::Args;

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Exit after the flow; the exit status is 0 only if every step succeeded
    #[arg(long)]
    pub once: bool,
    /// Address to listen on; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub bind: String,
}

/// Options of `dev-idp`.
#[derive(Debug, Args)]
pub struct DevIdp {
    /// Address to listen on: a loopback address
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "HOST:PORT")]
    pub bind: std::net::SocketAddr,
    /// TOML file with its users and clients; without it, one demo merchant
    #[arg(long, value_name = "FILE")]
    pub realm: Option<PathBuf>,
}
