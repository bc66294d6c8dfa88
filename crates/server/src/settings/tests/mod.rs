//! Tests of the settings.

mod faults;
mod fuzz;
mod layering;
mod secrets;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Settings, SettingsFaults};

fn load(file: Option<&Path>, env: &[(&str, &str)]) -> Result<Settings, SettingsFaults> {
    Settings::load(file, env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The faults as text, one line each.
fn faults(file: Option<&Path>, env: &[(&str, &str)]) -> Vec<String> {
    load(file, env).unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// Writes a file, in a directory that is deleted when it is dropped.
fn file(name: &str, content: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    (directory, path)
}

fn source_of(settings: &Settings, key: &str) -> String {
    settings.effective().source_of(key).to_string()
}
