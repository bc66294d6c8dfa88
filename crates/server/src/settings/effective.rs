//! Effective settings, as printed by `check-config`.

use std::fmt;

use super::fault::Source;

/// Every setting with its effective value, in the order of the keys. `Display` writes TOML with the source of each value as
/// a comment. Secrets are masked, so the output cannot be used as a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective(pub Vec<EffectiveSetting>);

/// One effective setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Full key, like `http.bind`.
    pub key: String,
    /// Value as TOML; asterisks for a secret.
    pub value: String,
    /// Source of the value.
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
            let (name_of_section, name) = setting.key.split_once('.').unwrap_or(("", &setting.key));
            if name_of_section != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{name_of_section}]")?;
                section = name_of_section;
            }
            writeln!(f, "{:<44} # {}", format!("{name} = {}", setting.value), setting.source)?;
        }
        Ok(())
    }
}
