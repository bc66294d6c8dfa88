//! The settings in force, for `check-config`.

use std::fmt;

use super::fault::Source;

/// Every setting in force, in the order of the keys. `Display` is TOML, with each value's source as a comment; as its
/// secrets are masked, it is for reading, not for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective(pub Vec<EffectiveSetting>);

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Its full key, like `http.bind`.
    pub key: String,
    /// Its value as TOML; asterisks for a secret.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
}

impl Effective {
    pub(super) fn source_of(&self, key: &str) -> Source {
        self.0.iter().find(|setting| setting.key == key).map_or(Source::Default, |setting| setting.source.clone())
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for setting in &self.0 {
            let (of, name) = setting.key.split_once('.').unwrap_or(("", &setting.key));
            if of != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{of}]")?;
                section = of;
            }
            writeln!(f, "{:<44} # {}", format!("{name} = {}", setting.value), setting.source)?;
        }
        Ok(())
    }
}
