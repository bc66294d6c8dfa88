//! Property tests: files and variables of every kind, close to the valid ones.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Effective, Source};
use super::{file, load};

/// Part of every secret value, and of nothing else.
const SECRET: &str = "hunter2";

/// All keys with their default values.
static KEYS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let all = load(None, &[]).unwrap().effective().0.clone();
    all.into_iter().map(|setting| (setting.key, setting.value)).collect()
});

fn variable(key: &str) -> String {
    format!("POS__{}", key.replace('.', "__").to_uppercase())
}

fn key() -> impl Strategy<Value = String> {
    let known = || any::<prop::sample::Index>().prop_map(|index| KEYS[index.index(KEYS.len())].0.clone());
    let misspelt = (known(), any::<prop::sample::Index>(), "[a-z._]{0,2}").prop_map(|(mut key, at, scrap)| {
        let at = at.index(key.len());
        key.replace_range(at..=at, &scrap);
        key
    });
    prop_oneof![8 => known(), 1 => misspelt, 1 => Just("database.url_file".to_owned())]
}

/// A value for a variable.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => any::<prop::sample::Index>().prop_map(|index| KEYS[index.index(KEYS.len())].1.trim_matches('"').to_owned()),
        3 => any::<i64>().prop_map(|number| number.to_string()),
        2 => (0_i64..5_000).prop_map(|number| number.to_string()),
        1 => prop::sample::select(vec!["true", "false", "", " ", "0", "-0", "1e9", "0x10", "nan", "[::1]:80", "10.0.0.0/8",
            "10.0.0.1/8", "https://a.example", "https://a.example,http://b", "a=b/c", "info", "info,x=debug", "json",
            "1.2.3", "99999999999999999999", "\u{0}", "é"]).prop_map(str::to_owned),
        2 => any::<String>(),
    ]
}

/// A database URL that contains a secret, not always a valid one.
fn secret_url() -> impl Strategy<Value = String> {
    (
        prop::sample::select(vec![
            "postgres://",
            "postgresql://",
            "mysql://",
            "sqlite://",
            "",
            "postgres:",
            "POSTGRES://",
        ]),
        "[ -~é]{0,6}",
        prop::sample::select(vec!["@", "", "/", "@:", "@db:99999/", "?"]),
        "[ -~]{0,8}",
    )
        .prop_map(|(scheme, user, at, rest)| format!("{scheme}{user}:{SECRET}{at}{rest}"))
}

/// A value for a file: TOML of some type, or invalid TOML.
fn toml_value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => text().prop_map(|text| toml::Value::String(text).to_string()),
        3 => any::<prop::sample::Index>().prop_map(|index| KEYS[index.index(KEYS.len())].1.clone()),
        2 => (-5_i64..5_000).prop_map(|number| number.to_string()),
        1 => prop::sample::select(vec!["true", "1.5", "[]", "[1]", "{}", "{ a = 1 }", "2026-01-01", "\"", "'", "[\"a\", 1]",
            "99999999999999999999", "nan"]).prop_map(str::to_owned),
    ]
}

/// Checks that no output contains a secret, and that every fault names a key.
fn check(outcome: &Result<crate::settings::Settings, crate::settings::SettingsFaults>) -> Result<(), TestCaseError> {
    match outcome {
        Ok(settings) => {
            let output = format!("{settings:?} {}", settings.effective());
            prop_assert!(!output.contains(SECRET), "{}", output);
        }
        Err(faults) => {
            prop_assert!(!faults.0.is_empty());
            prop_assert!(!format!("{faults} {faults:?}").contains(SECRET), "{}", faults);
            for fault in &faults.0 {
                let line = fault.to_string();
                prop_assert!(
                    !fault.key.is_empty() && !fault.problem.is_empty() && !fault.remedy.is_empty(),
                    "{}",
                    line
                );
                prop_assert!(line.starts_with(&fault.key), "{}", line);
                prop_assert!(fault.source != Source::Default, "the defaults are at fault: {}", line);
            }
        }
    }
    Ok(())
}

/// The effective settings as a file that can be read again, without the secrets, which are masked.
fn as_file(effective: &Effective) -> String {
    let shown = effective.0.iter().filter(|setting| !setting.key.ends_with("url"));
    // Dotted keys of a section need no order.
    shown.map(|setting| format!("{} = {}\n", setting.key, setting.value)).collect()
}

fn values(effective: &Effective) -> Vec<(String, String)> {
    effective.0.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect()
}

proptest! {
    #[test]
    fn variables_of_every_kind_are_read_or_reported(
        pairs in vec((key(), text()), 0..6),
        url in prop::option::of(secret_url()),
    ) {
        let mut variables: Vec<(String, String)> = pairs.into_iter().map(|(key, text)| (variable(&key), text)).collect();
        variables.extend(url.map(|url| ("POS__DATABASE__URL".to_owned(), url)));
        let env: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        check(&load(None, &env))?;
    }

    #[test]
    fn files_of_every_kind_are_read_or_reported(
        pairs in vec((key(), toml_value()), 0..6),
        url in prop::option::of(secret_url()),
        broken in prop::option::of("[ -~\n]{0,10}"),
    ) {
        let mut text: String = pairs.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        if let Some(url) = url {
            text.push_str(&format!("database.url = {}\n", toml::Value::String(url)));
        }
        text.push_str(&broken.unwrap_or_default());
        let (_folder, path) = file("fuzzed.toml", &text);
        check(&load(Some(&path), &[]))?;
    }

    #[test]
    fn effective_settings_can_be_written_and_read_again(pairs in vec((key(), text()), 0..3)) {
        let variables: Vec<(String, String)> = pairs.into_iter().map(|(key, text)| (variable(&key), text)).collect();
        let env: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Ok(settings) = load(None, &env) {
            let (_folder, path) = file("effective.toml", &as_file(settings.effective()));
            let again = load(Some(&path), &[]).map_err(|faults| TestCaseError::fail(faults.to_string()))?;
            prop_assert_eq!(values(again.effective()), values(settings.effective()));
        }
    }
}
