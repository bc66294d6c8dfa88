//! Merging of the three layers. Checks only what needs no knowledge of a key but its default: whether the key exists,
//! whether the value has the type of the default, and whether a secret is given in one way only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::fault::{SettingsFault, Source};
use super::masking::mask_credentials;
use super::suggest::suggest;

const DEFAULTS: &str = include_str!("../../../../config/default.toml");
/// Prefix of the environment variables.
pub(super) const PREFIX: &str = "POS__";
const FILE_SUFFIX: &str = "_file";
/// Keys whose values are never printed and may be read from a file.
const SECRETS: [&str; 2] = ["database.url", "database.direct_url"];

/// Effective value of a key.
pub(super) struct Entry {
    pub(super) value: Given,
    pub(super) source: Source,
}

/// A value, or the file that has it.
pub(super) enum Given {
    Inline(Value),
    InFile(PathBuf),
}

/// All settings by full key (`http.bind`).
pub(super) type Entries = BTreeMap<String, Entry>;

pub(super) struct Layers {
    entries: Entries,
    faults: Vec<SettingsFault>,
}

pub(super) fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// Environment variable of a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn key_of(variable: &str) -> String {
    variable.strip_prefix(PREFIX).unwrap_or(variable).replace("__", ".").to_lowercase()
}

impl Layers {
    pub(super) fn defaults() -> Self {
        let mut layers = Self { entries: Entries::new(), faults: Vec::new() };
        for (key, value) in layers.parse(DEFAULTS, &Source::Default) {
            layers.entries.insert(key, Entry { value: Given::Inline(value), source: Source::Default });
        }
        layers
    }

    pub(super) fn add_file(&mut self, path: &Path) {
        let source = Source::File(path.to_owned());
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let layer = self.parse(&text, &source);
                self.add(layer.into_iter().map(|(key, value)| (key, value, source.clone())).collect());
            }
            Err(error) => {
                self.fault(
                    "--config",
                    &source,
                    format!("cannot be read: {error}"),
                    "give a file that can be read".into(),
                );
            }
        }
    }

    pub(super) fn add_variables(&mut self, env: impl Iterator<Item = (String, String)>) {
        let mut layer = Vec::new();
        for (name, text) in env.filter(|(name, _)| name.starts_with(PREFIX)) {
            let key = key_of(&name);
            let source = Source::Variable(name.clone());
            if variable_of(&key) != name {
                self.unknown(&key, &source);
                continue;
            }
            match self.typed(&key, text) {
                Ok(value) => layer.push((key, value, source)),
                Err((problem, remedy)) => self.fault(&key, &source, problem, remedy),
            }
        }
        layer.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        self.add(layer);
    }

    pub(super) fn finish(self) -> (Entries, Vec<SettingsFault>) {
        (self.entries, self.faults)
    }

    /// Parses a TOML text. A syntax error is reported by its line, without quoting the text, which may contain a secret.
    fn parse(&mut self, text: &str, source: &Source) -> Vec<(String, Value)> {
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let problem = format!("is not TOML: line {line}: {}", error.message());
                self.fault("--config", source, problem, "fix that line; text must be in quotes".into());
                return Vec::new();
            }
        };
        let mut keys = Vec::new();
        for (section, value) in table {
            match value {
                Value::Table(inner) => {
                    keys.extend(inner.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
                }
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_) => self.unknown(&section, source),
            }
        }
        keys
    }

    /// Overrides existing values with those of a layer.
    fn add(&mut self, layer: Vec<(String, Value, Source)>) {
        let mut added = Entries::new();
        for (key, value, source) in layer {
            let secret = key.strip_suffix(FILE_SUFFIX).filter(|base| is_secret(base)).map(str::to_owned);
            let (base, given) = match (secret, value) {
                (Some(base), Value::String(path)) => (base, Given::InFile(path.into())),
                (Some(_), other) => {
                    self.wrong_type(&key, &source, &Value::String(String::new()), &other);
                    continue;
                }
                (None, value) => match self.entries.get(&key) {
                    Some(Entry { value: Given::Inline(default), .. }) if !same_type(default, &value) => {
                        let default = default.clone();
                        self.wrong_type(&key, &source, &default, &value);
                        continue;
                    }
                    Some(_) => (key, Given::Inline(value)),
                    None => {
                        self.unknown(&key, &source);
                        continue;
                    }
                },
            };
            if added.contains_key(&base) {
                let problem = format!("is given twice, here and as {base}{FILE_SUFFIX}");
                self.fault(&base, &source, problem, "keep one of the two".into());
            }
            added.insert(base, Entry { value: given, source });
        }
        self.entries.extend(added);
    }

    /// Converts the text of a variable to the type of its key. For an unknown key it stays text; the key is reported later.
    fn typed(&self, key: &str, text: String) -> Result<Value, (String, String)> {
        let default = self.entries.get(key).map(|entry| &entry.value);
        match default {
            Some(Given::Inline(Value::Integer(_))) => text
                .trim()
                .parse()
                .map(Value::Integer)
                .map_err(|_| (format!("must be a whole number, not {text:?}"), "write digits only".to_owned())),
            Some(Given::Inline(Value::Boolean(_))) => text
                .trim()
                .parse()
                .map(Value::Boolean)
                .map_err(|_| (format!("must be true or false, not {text:?}"), "write true or false".to_owned())),
            Some(Given::Inline(Value::Array(_))) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(items.map(|item| Value::String(item.to_owned())).collect::<Vec<_>>().into())
            }
            Some(_) | None => Ok(Value::String(text)),
        }
    }

    fn unknown(&mut self, key: &str, source: &Source) {
        let spelled = |key: &str| match source {
            Source::Variable(_) => variable_of(key),
            Source::Default | Source::File(_) | Source::SecretFile { .. } => key.to_owned(),
        };
        let secret_files = SECRETS.map(|secret| format!("{secret}{FILE_SUFFIX}"));
        let known = self.entries.keys().map(String::as_str).chain(secret_files.iter().map(String::as_str));
        let remedy = match suggest(key, known) {
            Some(like) => format!("did you mean {}?", spelled(like)),
            None => "remove it; config/default.toml lists every key".to_owned(),
        };
        self.fault(key, source, "is not a known setting".to_owned(), remedy);
    }

    fn wrong_type(&mut self, key: &str, source: &Source, default: &Value, given: &Value) {
        let problem = format!("must be {}, not {}", type_name(default), type_name(given));
        let example = if is_secret(key) { String::new() } else { format!(", for example {key} = {default}") };
        self.fault(key, source, problem, format!("write {}{example}", type_name(default)));
    }

    fn fault(&mut self, key: &str, source: &Source, problem: String, remedy: String) {
        let (problem, remedy) = (mask_credentials(&problem), mask_credentials(&remedy));
        self.faults.push(SettingsFault { key: key.to_owned(), source: source.clone(), problem, remedy });
    }
}

/// Whether both values have the same type. Lists contain only texts.
fn same_type(default: &Value, given: &Value) -> bool {
    default.same_type(given) && given.as_array().is_none_or(|items| items.iter().all(Value::is_str))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text in quotes",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(items) if items.iter().all(Value::is_str) => "a list of texts",
        Value::Array(_) => "a mixed list",
        Value::Table(_) => "a table",
    }
}
