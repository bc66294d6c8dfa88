//! Tests of the binary as a process: command line, settings, signals, log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod architecture;
mod audit;
mod commands;
mod database;
mod finish;
mod importing;
mod output;
mod process;
mod replicas;
mod retention;
mod scale;
mod serving;
mod stalled_log;
mod tenancy;

use std::path::Path;
use std::process::{Command, Output};

use finish::Finish as _;

const MERCHANT: &str = "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f";

/// The program with a database in `folder`, and without variables of this process that would change its settings.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pos-server"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POS__")) {
        command.env_remove(name);
    }
    command.current_dir(folder).env("POS__DATABASE__URL", format!("sqlite://{}", folder.join("pos.db").display()));
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).finish()
}

/// Adds [`MERCHANT`], the merchant of the tests' devices.
fn add_merchant(folder: &Path) {
    let added = run(folder, &["merchant", "add", "--name", "Corner Shop", "--id", MERCHANT]);
    assert!(added.status.success(), "{added:?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
