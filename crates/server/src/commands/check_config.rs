//! `check-config` command: effective settings and their faults.

use std::process::ExitCode;

use pos_adapters::storage::warnings;

use crate::output::{note, out};
use crate::settings::{Settings, SettingsFaults};
use crate::wiring::{check_identity, storage_options};

/// Runs `check-config`.
pub(super) fn run(settings: Result<Settings, SettingsFaults>) -> anyhow::Result<ExitCode> {
    let settings = match settings {
        Ok(settings) => settings,
        Err(faults) => {
            note!("{faults}");
            return Ok(ExitCode::FAILURE);
        }
    };
    out!("{}", settings.effective())?;
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
        out!("the settings are valid; next: pos-server serve")?;
        return Ok(ExitCode::SUCCESS);
    }
    for fault in faults {
        note!("{fault}");
    }
    Ok(ExitCode::FAILURE)
}
