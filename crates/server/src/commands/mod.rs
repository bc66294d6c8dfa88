//! Implementations of the commands, one file each.

mod audit;
mod backup;
mod check_config;
mod client;
mod confirmation;
#[cfg(feature = "dev-idp")]
mod demo;
#[cfg(feature = "dev-idp")]
mod dev_idp;
mod device;
mod directory;
mod import;
mod listing;
mod location;
mod member;
mod migrate;
mod purge;
mod serve;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::settings::{Settings, process_environment};

/// Runs the command of a command line.
///
/// # Errors
/// The error of the command, with a remedy where there is one.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = || Settings::load(cli.config.as_deref(), process_environment());
    #[cfg(feature = "dev-idp")]
    anyhow::ensure!(
        cli.config.is_none() || !matches!(cli.command, Command::Demo(_) | Command::DevIdp(_)),
        "demo and dev-idp have their own settings: omit --config"
    );
    match cli.command {
        Command::Serve(how) => serve::run(settings()?, &how).await?,
        Command::Migrate => migrate::run(&settings()?).await?,
        Command::Backup { to } => backup::run(&settings()?, &to).await?,
        Command::CheckConfig => return check_config::run(settings()),
        Command::Purge(how) => return purge::run(&settings()?, &how).await,
        Command::Audit(what) => return audit::run(&settings()?, what).await,
        Command::Device(what) => return device::run(&settings()?, what).await,
        Command::Reseller(what) => directory::resellers(&settings()?, what).await?,
        Command::Merchant(what) => directory::merchants(&settings()?, what).await?,
        Command::Location(what) => location::run(&settings()?, what).await?,
        Command::Member(what) => member::run(&settings()?, what).await?,
        Command::Client(what) => client::run(&settings()?, what).await?,
        #[cfg(feature = "dev-idp")]
        Command::Demo(how) => demo::run(&how).await?,
        #[cfg(feature = "dev-idp")]
        Command::DevIdp(how) => dev_idp::run(how).await?,
    }
    Ok(ExitCode::SUCCESS)
}
