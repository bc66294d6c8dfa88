//! Errors of the settings, each with a remedy.

use std::fmt;
use std::path::PathBuf;

/// Source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `config/default.toml`.
    Default,
    /// File given with `--config`.
    File(PathBuf),
    /// Environment variable.
    Variable(String),
    /// Content of a file that another source named.
    SecretFile {
        /// Path of the file.
        path: PathBuf,
        /// Source of the path.
        named_by: Box<Source>,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::SecretFile { path, named_by } => write!(f, "{}, named by {named_by}", path.display()),
        }
    }
}

/// One error of the settings. Never contains the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFault {
    /// Key, like `http.bind`; `--config` if the file as a whole is invalid.
    pub key: String,
    /// Source of the value.
    pub source: Source,
    /// What is wrong; continues the sentence after the key.
    pub problem: String,
    /// How to fix it.
    pub remedy: String,
}

impl fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (from {}): {}", self.key, self.problem, self.source, self.remedy)
    }
}

/// All errors of the settings; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFaults(pub Vec<SettingsFault>);

impl fmt::Display for SettingsFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = if self.0.len() == 1 { "setting is" } else { "settings are" };
        write!(f, "{} {subject} invalid:", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

impl std::error::Error for SettingsFaults {}
