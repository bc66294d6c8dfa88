//! `pos-server`: the one binary. `pos-server help` lists what it can do.

use std::process::ExitCode;

use clap::Parser as _;
use pos_server::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match pos_server::commands::run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
