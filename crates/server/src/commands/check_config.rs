use std::process::ExitCode;

use crate::settings::{Settings, SettingsFaults};
use crate::wiring::{check_identity, storage_options};

/// `check-config`: what the settings come to, and what is wrong with them.
pub(super) fn run(settings: Result<Settings, SettingsFaults>) -> ExitCode {
    let settings = match settings {
        Ok(settings) => settings,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", settings.effective());
    let mut faults = Vec::new();
    faults.extend(storage_options(&settings).err().map(|fault| format!("{fault:#}")));
    match settings.require_identity() {
        Ok(identity) => faults.extend(check_identity(identity).err().map(|fault| format!("{fault:#}"))),
        Err(fault) => faults.push(fault.to_string()),
    }
    if faults.is_empty() {
        println!("the settings are valid; next: pos-server serve");
        return ExitCode::SUCCESS;
    }
    for fault in faults {
        eprintln!("{fault}");
    }
    ExitCode::FAILURE
}
