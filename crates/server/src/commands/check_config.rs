use std::process::ExitCode;

use pos_adapters::storage::warnings;

use crate::output::{note, say};
use crate::settings::{Settings, SettingsFaults};
use crate::wiring::{check_identity, storage_options};

/// `check-config`: what the settings come to, and what is wrong with them.
pub(super) fn run(settings: Result<Settings, SettingsFaults>) -> anyhow::Result<ExitCode> {
    let settings = match settings {
        Ok(settings) => settings,
        Err(faults) => {
            note!("{faults}");
            return Ok(ExitCode::FAILURE);
        }
    };
    say!("{}", settings.effective())?;
    let mut faults = Vec::new();
    match storage_options(&settings) {
        Ok(options) => warnings(&options).iter().for_each(|warning| note!("warning: {warning}")),
        Err(fault) => faults.push(format!("{fault:#}")),
    }
    match settings.require_identity() {
        Ok(identity) => faults.extend(check_identity(identity).err().map(|fault| format!("{fault:#}"))),
        Err(fault) => faults.push(fault.to_string()),
    }
    if faults.is_empty() {
        say!("the settings are valid; next: pos-server serve")?;
        return Ok(ExitCode::SUCCESS);
    }
    for fault in faults {
        note!("{fault}");
    }
    Ok(ExitCode::FAILURE)
}
