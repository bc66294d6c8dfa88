//! Reader of typed values from the merged layers. A read of an invalid value records a fault and returns `None`, so that
//! reading continues with the next key.

use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use toml::Value;

use super::effective::{Effective, EffectiveSetting};
use super::fault::{SettingsFault, Source};
use super::layers::{Entries, Entry, Given, is_secret};
use super::masking::{MASK, mask_credentials};

pub(super) struct Reader<'e> {
    entries: &'e Entries,
    faults: Vec<SettingsFault>,
    #[cfg(test)]
    pub(super) read: std::collections::BTreeSet<&'static str>,
}

/// A valid value, or what is wrong with it and how to fix it.
pub(super) type Validated<T> = Result<T, (String, String)>;

impl<'e> Reader<'e> {
    pub(super) fn new(entries: &'e Entries, faults: Vec<SettingsFault>) -> Self {
        Self {
            entries,
            faults,
            #[cfg(test)]
            read: std::collections::BTreeSet::new(),
        }
    }

    /// Reads an integer within `range`.
    pub(super) fn number<T: TryFrom<i64>>(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<T> {
        let number = self.value(key)?.as_integer()?;
        let validated = T::try_from(number).ok().filter(|_| range.contains(&number)).ok_or_else(|| {
            let remedy = format!("write a number from {} to {}", range.start(), range.end());
            (format!("is {number}, out of range"), remedy)
        });
        self.accept(key, validated)
    }

    pub(super) fn seconds(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<Duration> {
        self.number(key, range).map(Duration::from_secs)
    }

    pub(super) fn millis(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<Duration> {
        self.number(key, range).map(Duration::from_millis)
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.value(key)?.as_bool()
    }

    /// Reads a text that `check` accepts.
    pub(super) fn text<T>(&mut self, key: &'static str, check: impl FnOnce(&str) -> Validated<T>) -> Option<T> {
        let validated = check(self.value(key)?.as_str()?);
        self.accept(key, validated)
    }

    /// Reads a list of texts, each of which `check` accepts.
    pub(super) fn texts<T>(&mut self, key: &'static str, check: impl Fn(&str) -> Validated<T>) -> Option<Vec<T>> {
        let items = self.value(key)?.as_array()?;
        let validated = items.iter().filter_map(Value::as_str).map(check).collect();
        self.accept(key, validated)
    }

    /// Reads a secret that `check` accepts, inline or from its file. The messages of `check` must not contain the secret.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<(), (String, String)>,
    ) -> Option<SecretString> {
        let content = match &self.entry(key)?.value {
            Given::Inline(value) => Ok(value.as_str()?.to_owned()),
            Given::InFile(path) => read_secret(path),
        };
        let validated = content.and_then(|text| check(&text).map(|()| SecretString::from(text)));
        self.accept(key, validated)
    }

    /// Records a fault in the combination of several values.
    pub(super) fn reject(&mut self, key: &'static str, problem: String, remedy: String) {
        let _: Option<()> = self.accept(key, Err((problem, remedy)));
    }

    /// Returns the value, or records what is wrong with it.
    fn accept<T>(&mut self, key: &'static str, validated: Validated<T>) -> Option<T> {
        match validated {
            Ok(value) => Some(value),
            Err((problem, remedy)) => {
                let source = self.entries.get(key).map_or(Source::Default, source);
                let (problem, remedy) = (mask_credentials(&problem), mask_credentials(&remedy));
                self.faults.push(SettingsFault { key: key.to_owned(), source, problem, remedy });
                None
            }
        }
    }

    pub(super) fn faults(&mut self) -> Vec<SettingsFault> {
        std::mem::take(&mut self.faults)
    }

    pub(super) fn effective(&self) -> Effective {
        let shown = |(key, entry): (&String, &Entry)| EffectiveSetting {
            key: key.clone(),
            value: match &entry.value {
                Given::Inline(value) if !is_secret(key) => mask_credentials(&value.to_string()),
                Given::Inline(_) | Given::InFile(_) => format!("\"{MASK}\""),
            },
            source: source(entry),
        };
        Effective(self.entries.iter().map(shown).collect())
    }

    fn entry(&mut self, key: &'static str) -> Option<&'e Entry> {
        #[cfg(test)]
        self.read.insert(key);
        self.entries.get(key)
    }

    fn value(&mut self, key: &'static str) -> Option<&'e Value> {
        match &self.entry(key)?.value {
            Given::Inline(value) => Some(value),
            Given::InFile(_) => None,
        }
    }
}

fn source(entry: &Entry) -> Source {
    match &entry.value {
        Given::Inline(_) => entry.source.clone(),
        Given::InFile(path) => Source::SecretFile { path: path.clone(), named_by: Box::new(entry.source.clone()) },
    }
}

fn read_secret(path: &Path) -> Validated<String> {
    let remedy = || "name a file that contains the value and that the server may read".to_owned();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let problem = match error.kind() {
            ErrorKind::NotFound => "names a file that does not exist".to_owned(),
            ErrorKind::InvalidData => "names a file that is not UTF-8 text".to_owned(),
            _ => format!("names a file that cannot be read ({error})"),
        };
        (problem, remedy())
    })?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() { Err(("names an empty file".to_owned(), remedy())) } else { Ok(line.to_owned()) }
}
