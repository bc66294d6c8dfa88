//! From layered values to typed ones. Every read answers `None` for a fault, which it notes, so that reading goes on to
//! the next key.

use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use toml::Value;

use super::effective::{Effective, EffectiveSetting};
use super::exact::{MASK, mask_credentials};
use super::fault::{SettingsFault, Source};
use super::layers::{Entries, Entry, Given, is_secret};

pub(super) struct Reader<'e> {
    entries: &'e Entries,
    faults: Vec<SettingsFault>,
    #[cfg(test)]
    pub(super) read: std::collections::BTreeSet<&'static str>,
}

/// What is wrong with a value, and how to mend it.
pub(super) type Verdict<T> = Result<T, (String, String)>;

impl<'e> Reader<'e> {
    pub(super) fn new(entries: &'e Entries, faults: Vec<SettingsFault>) -> Self {
        Self {
            entries,
            faults,
            #[cfg(test)]
            read: std::collections::BTreeSet::new(),
        }
    }

    /// A whole number within `range`.
    pub(super) fn number<T: TryFrom<i64>>(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<T> {
        let number = self.value(key)?.as_integer()?;
        let verdict = T::try_from(number).ok().filter(|_| range.contains(&number)).ok_or_else(|| {
            let remedy = format!("write a number from {} to {}", range.start(), range.end());
            (format!("is {number}, out of range"), remedy)
        });
        self.judge(key, verdict)
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

    /// Text that `check` accepts.
    pub(super) fn text<T>(&mut self, key: &'static str, check: impl FnOnce(&str) -> Verdict<T>) -> Option<T> {
        let verdict = check(self.value(key)?.as_str()?);
        self.judge(key, verdict)
    }

    /// Texts, each of which `check` accepts.
    pub(super) fn texts<T>(&mut self, key: &'static str, check: impl Fn(&str) -> Verdict<T>) -> Option<Vec<T>> {
        let items = self.value(key)?.as_array()?;
        let verdict = items.iter().filter_map(Value::as_str).map(check).collect();
        self.judge(key, verdict)
    }

    /// A secret that `check` accepts, from where it is or from its file. What `check` says must not hold the secret.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<(), (String, String)>,
    ) -> Option<SecretString> {
        let verdict = match &self.entry(key)?.value {
            Given::Here(value) => Ok(value.as_str()?.to_owned()),
            Given::InFile(path) => content(path),
        };
        let verdict = verdict.and_then(|text| check(&text).map(|()| SecretString::from(text)));
        self.judge(key, verdict)
    }

    /// Notes a fault that lies in how a value goes with others.
    pub(super) fn refuse(&mut self, key: &'static str, problem: String, remedy: String) {
        let _: Option<()> = self.judge(key, Err((problem, remedy)));
    }

    /// The value, or a note of what is wrong with it.
    fn judge<T>(&mut self, key: &'static str, verdict: Verdict<T>) -> Option<T> {
        match verdict {
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
                Given::Here(value) if !is_secret(key) => mask_credentials(&value.to_string()),
                Given::Here(_) | Given::InFile(_) => format!("\"{MASK}\""),
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
            Given::Here(value) => Some(value),
            Given::InFile(_) => None,
        }
    }
}

fn source(entry: &Entry) -> Source {
    match &entry.value {
        Given::Here(_) => entry.source.clone(),
        Given::InFile(path) => Source::SecretFile { path: path.clone(), named_by: Box::new(entry.source.clone()) },
    }
}

fn content(path: &Path) -> Verdict<String> {
    let remedy = || "name a file that holds the value and that the server may read".to_owned();
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
