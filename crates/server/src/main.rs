//! Entry point of the `pos-server` binary.

// Both panic if the stream is closed: see `output.rs`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::Parser as _;
use pos_server::cli::Cli;
use pos_server::output;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(shown) => return output::end_with_usage(&shown),
    };
    match pos_server::commands::run(cli).await {
        Ok(code) => code,
        Err(error) => output::end_with(&error),
    }
}
