//! Tests of secrets: files, masking, and output without secrets.

use secrecy::ExposeSecret;

use super::{faults, file, load, source_of};

const URL: &str = "postgres://pos:hunter2@db/pos";

#[test]
fn a_secret_is_never_printed() {
    let settings = load(None, &[("POS__DATABASE__URL", URL)]).unwrap();
    assert_eq!(settings.database.url.expose_secret(), URL);
    for text in [format!("{settings:?}"), format!("{settings:#?}"), settings.effective().to_string()] {
        assert!(!text.contains("hunter2") && !text.contains("postgres"), "{text}");
    }
    assert!(settings.effective().to_string().contains("url = \"********\""));
}

#[test]
fn no_fault_contains_a_secret() {
    let cases = [
        "[database]\nurl = \"mysql://pos:hunter2@db/pos\"",
        "[database]\nurl = [\"postgres://pos:hunter2@db/pos\"]",
        "[database]\nurl = postgres://pos:hunter2@db/pos",
        "[database]\nurl = 'postgres://pos:hunter2@db/pos",
        "[database]\nurl = \"postgres://pos:hunter2\\q@db/pos\"",
        "[database]\nlru = \"postgres://pos:hunter2@db/pos\"",
        "[database]\nurl_file = [\"hunter2\"]",
    ];
    for content in cases {
        let (_directory, path) = file("secret.toml", content);
        let error = load(Some(&path), &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let misspelled = load(None, &[("POS__DATABASE__ULR", URL)]).unwrap_err();
    assert!(!format!("{misspelled} {misspelled:?}").contains("hunter2"), "{misspelled}");
}

/// A URL with a password in it is a fault or is masked; the password is never printed.
#[test]
fn no_password_in_a_url_is_printed() {
    for (name, value) in [
        ("POS__IDENTITY__ISSUER", "https://pos:hunter2@idp.example/realms/pos"),
        ("POS__IDENTITY__ISSUER", "http://pos:hunter2@idp.example/realms/pos"),
        ("POS__IDENTITY__ISSUER", " https://pos:hunter2@idp.example/realms/pos/.well-known/openid-configuration"),
        ("POS__IDENTITY__AUDIENCE", "https://pos:hunter2@api.example,b"),
        ("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://pos:hunter2@portal.example"),
        ("POS__SESSION__HOSTS", "https://pos:hunter2@portal.example=portal/web"),
        ("POS__HTTP__BIND", "http://pos:hunter2@portal.example"),
        ("POS__HTTP__WORKERS", "http://pos:hunter2@portal.example"),
    ] {
        let error = load(None, &[(name, value)]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let shown = load(None, &[("POS__IDENTITY__AUDIENCE", "https://pos:hunter2@api.example")]).unwrap();
    let text = shown.effective().to_string();
    assert!(text.contains("https://********@api.example") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_secret_can_be_read_from_a_file() {
    for ending in ["", "\n", "\r\n"] {
        let (_directory, secret) = file("url", &format!("{URL}{ending}"));
        let secret = secret.to_str().unwrap();
        let by_variable = load(None, &[("POS__DATABASE__URL_FILE", secret)]).unwrap();
        assert_eq!(by_variable.database.url.expose_secret(), URL);
        assert_eq!(source_of(&by_variable, "database.url"), format!("{secret}, named by POS__DATABASE__URL_FILE"));

        let (_directory, config) = file("over.toml", &format!("[database]\nurl_file = {secret:?}\n"));
        assert_eq!(load(Some(&config), &[]).unwrap().database.url.expose_secret(), URL);
    }
}

#[test]
fn only_one_newline_is_removed() {
    let (_directory, secret) = file("url", &format!("{URL} \n\n"));
    let settings = load(None, &[("POS__DATABASE__URL_FILE", secret.to_str().unwrap())]).unwrap();
    assert_eq!(settings.database.url.expose_secret(), format!("{URL} \n"));
}

#[test]
fn a_higher_layer_overrides_an_inline_secret_or_a_secret_file() {
    let (_directory, secret) = file("url", URL);
    let (_directory, missing) = file("over.toml", "[database]\nurl_file = \"/no/such/secret\"\n");
    let settings = load(Some(&missing), &[("POS__DATABASE__URL", "sqlite://a.db")]).unwrap();
    assert_eq!(settings.database.url.expose_secret(), "sqlite://a.db");

    let (_directory, plain) = file("over.toml", "[database]\nurl = \"sqlite://a.db\"\n");
    let settings = load(Some(&plain), &[("POS__DATABASE__URL_FILE", secret.to_str().unwrap())]).unwrap();
    assert_eq!(settings.database.url.expose_secret(), URL);
}

#[test]
fn an_unusable_secret_file_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let (_one, empty) = file("empty", "\n");
    let (_two, wrong) = file("wrong", "hunter2\n");
    let binary = directory.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    let cases = [
        (directory.path().join("missing"), "does not exist"),
        (directory.path().to_owned(), "cannot be read"),
        (binary, "not UTF-8"),
        (empty, "empty file"),
        (wrong, "URL of a known database"),
    ];
    for (path, part) in cases {
        let faults = faults(None, &[("POS__DATABASE__URL_FILE", path.to_str().unwrap())]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let from = format!("(from {}, named by POS__DATABASE__URL_FILE)", path.display());
        assert!(faults[0].starts_with("database.url ") && faults[0].contains(&from), "{}", faults[0]);
        assert!(faults[0].contains(part), "{} should contain {part}", faults[0]);
        assert!(!faults[0].contains("hunter2"));
    }
}

#[test]
fn an_inline_secret_and_a_secret_file_in_one_layer_are_a_fault() {
    let (_directory, secret) = file("url", URL);
    let secret = secret.to_str().unwrap();
    let by_variables = faults(None, &[("POS__DATABASE__URL", URL), ("POS__DATABASE__URL_FILE", secret)]);
    let (_directory, config) = file("both.toml", &format!("[database]\nurl = {URL:?}\nurl_file = {secret:?}\n"));
    let by_file = faults(Some(&config), &[]);
    for faults in [by_variables, by_file] {
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("database.url is given twice") && faults[0].contains("keep one"), "{}", faults[0]);
    }
}
