//! Tests of invalid settings: every fault names the key, its source and a remedy.

use std::path::Path;

use super::{faults, file, load};

/// A variable, its value, and what the one fault it causes must contain besides the variable's name.
const VARIABLES: &[(&str, &str, &[&str])] = &[
    ("POS__HTTP__BIND", "localhost:8080", &["http.bind", "\"localhost:8080\"", "0.0.0.0:8080"]),
    ("POS__HTTP__BIND", "", &["http.bind", "0.0.0.0:8080"]),
    ("POS__HTTP__WORKERS", "many", &["http.workers", "whole number", "\"many\""]),
    ("POS__HTTP__WORKERS", "1.5", &["whole number"]),
    ("POS__HTTP__WORKERS", "", &["whole number"]),
    ("POS__HTTP__WORKERS", "-1", &["http.workers", "-1", "from 0 to 1024"]),
    ("POS__HTTP__MAX_BODY_BYTES", "0", &["from 1024 to 10485760"]),
    ("POS__HTTP__MAX_HEADER_BYTES", "9999999", &["from 1024 to 1048576"]),
    ("POS__HTTP__REQUEST_TIMEOUT_SECS", "0", &["from 1 to 600"]),
    ("POS__HTTP__CLIENT_HEADER_TIMEOUT_SECS", "0", &["from 1 to 600"]),
    ("POS__HTTP__KEEP_ALIVE_SECS", "3601", &["from 0 to 3600"]),
    ("POS__HTTP__MAX_CONNECTIONS", "0", &["from 1 to 1000000"]),
    ("POS__HTTP__MAX_CONCURRENT_TERMINAL_REQUESTS", "0", &["from 1 to 1000000"]),
    ("POS__HTTP__MAX_CONCURRENT_PORTAL_REQUESTS", "0", &["from 1 to 1000000"]),
    ("POS__HTTP__MAX_PENDING_BODIES", "0", &["from 1 to 1000000"]),
    ("POS__HTTP__QUEUE_TIMEOUT_MS", "-1", &["from 0 to 10000"]),
    (
        "POS__HTTP__TRUSTED_PROXIES",
        "10.0.0.0/33",
        &["http.trusted_proxies", "10.0.0.0/33", "not an IP network or address"],
    ),
    ("POS__HTTP__TRUSTED_PROXIES", "balancer.example", &["http.trusted_proxies", "names are not resolved"]),
    ("POS__HTTP__TRUSTED_PROXIES", "10.1.2.3/8", &["http.trusted_proxies", "write 10.0.0.0/8"]),
    ("POS__HTTP__CORS_ALLOWED_ORIGINS", "*", &["http.cors_allowed_origins", "\"*\"", "https://portal"]),
    ("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://a.example/", &["write https://a.example"]),
    ("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://a.example,ftp://b", &["\"ftp://b\""]),
    ("POS__DATABASE__URL", "mysql://root:hunter2@db/pos", &["database.url", "postgres://", "sqlite://"]),
    ("POS__DATABASE__DIRECT_URL", "sqlite://root:hunter2@db/pos", &["database.direct_url", "postgres://"]),
    ("POS__DATABASE__POOLER", "session", &["database.pooler", "\"session\"", "none or transaction"]),
    ("POS__DATABASE__MAX_CONNECTIONS", "0", &["from 1 to 10000"]),
    ("POS__DATABASE__ACQUIRE_TIMEOUT_MS", "0", &["from 1 to 600000"]),
    ("POS__DATABASE__CONNECT_TIMEOUT_MS", "0", &["from 1 to 600000"]),
    ("POS__DATABASE__STATEMENT_TIMEOUT_MS", "0", &["from 1 to 600000"]),
    ("POS__DATABASE__MIGRATE_ON_START", "yes", &["true or false", "\"yes\""]),
    ("POS__IDENTITY__ISSUER", "login.example.com", &["identity.issuer", "https://"]),
    ("POS__IDENTITY__ISSUER", "https://a.example/realm?x=y", &["without query"]),
    ("POS__IDENTITY__ISSUER", "http://a.example/realm", &["not secure", "allow_insecure_issuer"]),
    ("POS__IDENTITY__MERCHANT_CLAIM", "", &["identity.merchant_claim", "is empty"]),
    ("POS__IDENTITY__LEEWAY_SECS", "61", &["from 0 to 60"]),
    ("POS__IDENTITY__ISSUER", " https://a.example/r ", &["surrounding whitespace", "write \"https://a.example/r\""]),
    (
        "POS__IDENTITY__ISSUER",
        "https://a.example/r/.well-known/openid-configuration",
        &["discovery document", "write \"https://a.example/r\""],
    ),
    (
        "POS__IDENTITY__ISSUER",
        "https://u:p@a.example/r",
        &["a user name or a password", "write \"https://a.example/r\""],
    ),
    ("POS__IDENTITY__ISSUER", "https://A.example/r", &["write \"https://a.example/r\""]),
    ("POS__IDENTITY__ISSUER", "HTTPS://a.example/r", &["write \"https://a.example/r\""]),
    ("POS__IDENTITY__AUDIENCE", " pos-activation ", &["surrounding whitespace", "write \"pos-activation\""]),
    ("POS__IDENTITY__AUDIENCE", "a,b", &["more than one name", "write \"a\""]),
    ("POS__IDENTITY__AUDIENCE", "a b", &["more than one name", "write \"a\""]),
    ("POS__IDENTITY__AUDIENCE", " ", &["is blank", "write one name"]),
    ("POS__IDENTITY__MERCHANT_CLAIM", " merchant_id", &["write \"merchant_id\""]),
    ("POS__IDENTITY__MERCHANT_CLAIM", "merchant_id.", &["joined by dots", "write \"merchant_id\""]),
    ("POS__IDENTITY__MERCHANT_CLAIM", ".", &["write \"merchant_id\""]),
    ("POS__IDENTITY__RESELLER_CLAIM", "org. reseller", &["write \"org.reseller\""]),
    ("POS__IDENTITY__RESELLER_CLAIM", "a,b", &["more than one name", "write \"a\""]),
    ("POS__IDENTITY__ROLES_CLAIM", "realm_access..roles", &["write \"realm_access.roles\""]),
    ("POS__IDENTITY__LOGOUT_CLIENTS", "portal shop", &["more than one name", "write \"portal\""]),
    ("POS__SESSION__HOSTS", "https://a.example=portal/web", &["write \"a.example=portal/web\""]),
    ("POS__SESSION__HOSTS", "a.example:443=portal/web", &["write \"a.example=portal/web\""]),
    ("POS__SESSION__HOSTS", "a.example.=portal/web", &["write \"a.example=portal/web\""]),
    ("POS__SESSION__HOSTS", "a..example=portal/web", &["not a host"]),
    ("POS__SESSION__HOSTS", "a.example=portal/web,A.example=other/web", &["names \"a.example\" more than once"]),
    ("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://u:p@a.example", &["********@a.example", "write https://a.example"]),
    ("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://A.example:443", &["write https://a.example"]),
    ("POS__HTTP__TRUSTED_PROXIES", "0.0.0.0/0", &["trusts every client", "like 10.0.0.0/8"]),
    ("POS__HTTP__TRUSTED_PROXIES", "::/0", &["trusts every client"]),
    ("POS__HTTP__TRUSTED_PROXIES", "::ffff:10.0.0.1", &["write 10.0.0.1/32"]),
    ("POS__IDENTITY__HTTP_TIMEOUT_MS", "0", &["from 1 to 60000"]),
    ("POS__IDENTITY__REFRESH_COOLDOWN_SECS", "-5", &["from 0 to 3600"]),
    ("POS__IDENTITY__KEYS_MAX_AGE_SECS", "0", &["from 1 to 86400"]),
    ("POS__IDENTITY__TOKEN_CACHE_CAPACITY", "-1", &["from 0 to 10000000"]),
    ("POS__PAIRING__CODE_TTL_SECS", "0", &["from 1 to 3600"]),
    ("POS__PAIRING__CODE_TTL_SECS", "3601", &["from 1 to 3600"]),
    ("POS__TERMINAL__MIN_SUPPORTED_VERSION", "latest", &["\"latest\"", "like 1.3.5"]),
    ("POS__CLAIM__MAX_FAILURES", "0", &["from 1 to 1000000"]),
    ("POS__CLAIM__FAILURE_WINDOW_SECS", "0", &["from 1 to 604800"]),
    ("POS__IDEMPOTENCY__KEEP_SECS", "59", &["from 60 to 2592000"]),
    ("POS__IMPORT__MAX_ROWS", "0", &["from 1 to 10000000"]),
    ("POS__IMPORT__TIMEOUT_SECS", "3601", &["from 1 to 3600"]),
    ("POS__IMPORT__STALL_TIMEOUT_SECS", "0", &["from 1 to 600"]),
    ("POS__RETENTION__EVERY_SECS", "86401", &["from 0 to 86400"]),
    ("POS__RETENTION__BATCH", "0", &["from 1 to 10000"]),
    ("POS__RETENTION__PAST_CODES_KEEP_SECS", "3599", &["from 3600 to 315360000"]),
    ("POS__RETENTION__FAILURES_KEEP_SECS", "299", &["from 300 to 31536000"]),
    ("POS__RETENTION__SESSIONS_KEEP_SECS", "0", &["from 300 to 31536000"]),
    ("POS__RETENTION__EVENTS_KEEP_DAYS", "-1", &["from 0 to 36500"]),
    ("POS__RETENTION__EVENTS_KEEP_DAYS", "394", &["too short", "395 or more", "0 to keep it for ever"]),
    ("POS__IMPORT__MAX_CONCURRENT", "0", &["from 1 to 10000"]),
    ("POS__LOG__FORMAT", "xml", &["\"xml\"", "json or pretty"]),
    ("POS__LOG__LEVEL", "inof", &["log.level", "\"inof\""]),
    ("POS__SHUTDOWN__GRACE_SECS", "3601", &["from 0 to 3600"]),
    ("POS__SHUTDOWN__READINESS_DELAY_SECS", "601", &["from 0 to 600"]),
    ("POS__METRICS__ENABLED", "1", &["true or false"]),
    ("POS__HTTP__BIDN", "x", &["http.bidn", "did you mean POS__HTTP__BIND?"]),
    ("POS__DATABASE__URL_FIEL", "x", &["did you mean POS__DATABASE__URL_FILE?"]),
    ("POS__HTTP__bind", "x", &["did you mean POS__HTTP__BIND?"]),
    ("POS__HTTP_BIND", "x", &["did you mean POS__HTTP__BIND?"]),
    ("POS__SOMETHING__ELSE_ENTIRELY", "x", &["is not a known setting", "remove it"]),
    ("POS__LOG__LEVEL_FILE", "x", &["is not a known setting"]),
];

#[test]
fn every_bad_variable_is_one_fault_that_names_it_and_a_remedy() {
    for (name, value, parts) in VARIABLES {
        let faults = faults(None, &[(name, value)]);
        assert_eq!(faults.len(), 1, "{name}={value}: {faults:?}");
        assert!(faults[0].contains(&format!("(from {name})")), "{}", faults[0]);
        for part in *parts {
            assert!(faults[0].contains(part), "{name}={value}: {} should contain {part}", faults[0]);
        }
    }
}

#[test]
fn a_request_queues_for_at_most_half_of_its_timeout() {
    let wait = |env: &[_]| load(None, env).unwrap().http.queue_timeout.as_millis();
    assert_eq!(wait(&[]), 1_000);
    assert_eq!(wait(&[("POS__HTTP__REQUEST_TIMEOUT_SECS", "1")]), 500);
    assert_eq!(wait(&[("POS__HTTP__QUEUE_TIMEOUT_MS", "10000")]), 7_500);
}

#[test]
fn the_limits_of_a_range_are_allowed() {
    let cases = [
        ("POS__PAIRING__CODE_TTL_SECS", ["1", "3600"]),
        ("POS__CLAIM__MAX_FAILURES", ["1", "1000000"]),
        ("POS__SHUTDOWN__GRACE_SECS", ["0", "3600"]),
        ("POS__IDEMPOTENCY__KEEP_SECS", ["60", "2592000"]),
        ("POS__IMPORT__MAX_ROWS", ["1", "10000000"]),
        ("POS__IMPORT__TIMEOUT_SECS", ["1", "3600"]),
        ("POS__RETENTION__EVERY_SECS", ["0", "86400"]),
        ("POS__RETENTION__PAST_CODES_KEEP_SECS", ["3600", "315360000"]),
        ("POS__RETENTION__EVENTS_KEEP_DAYS", ["395", "36500"]),
    ];
    for (name, values) in cases {
        for value in values {
            load(None, &[(name, value)]).unwrap();
        }
    }
}

#[test]
fn every_bad_file_is_one_fault_that_names_it() {
    let cases = [
        ("[http]\nworkers = \"4\"", &["http.workers", "a whole number, not text in quotes", "http.workers = 0"][..]),
        ("[http]\nworkers = 1.5", &["not a fraction"]),
        ("[http]\nbind = 8080", &["http.bind", "text in quotes, not a whole number"]),
        ("[http]\nbind = { port = 1 }", &["not a table"]),
        ("[http]\ncors_allowed_origins = \"https://a.example\"", &["a list of texts"]),
        ("[http]\ncors_allowed_origins = [1]", &["a list of texts, not a mixed list"]),
        ("[metrics]\nenabled = 2025-01-01", &["true or false, not a date"]),
        ("[http]\nbidn = \"x\"", &["http.bidn", "did you mean http.bind?"]),
        ("[htpp]\nbind = \"x\"", &["htpp.bind", "did you mean http.bind?"]),
        ("[http.tls]\ncert = \"x\"", &["http.tls", "is not a known setting"]),
        ("bind = \"x\"", &["bind is not a known setting", "did you mean http.bind?"]),
        ("[http", &["--config", "is not TOML: line 1"]),
        ("[http]\n\nbind = ", &["is not TOML: line 3"]),
    ];
    for (content, parts) in cases {
        let (_directory, path) = file("bad.toml", content);
        let faults = faults(Some(&path), &[]);
        assert_eq!(faults.len(), 1, "{content}: {faults:?}");
        assert!(faults[0].contains(&format!("(from {})", path.display())), "{}", faults[0]);
        for part in parts {
            assert!(faults[0].contains(part), "{content}: {} should contain {part}", faults[0]);
        }
    }
}

#[test]
fn a_missing_file_is_a_fault() {
    let faults = faults(Some(Path::new("/no/such/file.toml")), &[]);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("--config cannot be read") && faults[0].contains("/no/such/file.toml"), "{faults:?}");
}

#[test]
fn all_faults_of_all_layers_are_reported_together() {
    let (_directory, path) = file("bad.toml", "[http]\nworkers = \"4\"\nbidn = \"x\"\n[log]\nformat = \"xml\"\n");
    let env = [
        ("POS__PAIRING__CODE_TTL_SECS", "0"),
        ("POS__HTTP__BIND", "nowhere"),
        ("POS__METRICS__ENABLED", "maybe"),
        ("POS__TERMINAL__MIN_SUPPORTED_VERSION", "?"),
        ("POS__NO__SUCH", "x"),
    ];
    let error = load(Some(&path), &env).unwrap_err();
    let mut keys: Vec<_> = error.0.iter().map(|fault| fault.key.as_str()).collect();
    keys.sort_unstable();
    let expected = [
        "http.bidn",
        "http.bind",
        "http.workers",
        "log.format",
        "metrics.enabled",
        "no.such",
        "pairing.code_ttl_secs",
        "terminal.min_supported_version",
    ];
    assert_eq!(keys, expected);
    let text = error.to_string();
    assert!(text.starts_with("8 settings are invalid:\n  - "), "{text}");
    assert_eq!(text.lines().count(), 9);
}

#[test]
fn a_valid_override_replaces_an_invalid_value() {
    let (_directory, path) = file("bad.toml", "[log]\nformat = \"xml\"\n");
    load(Some(&path), &[("POS__LOG__FORMAT", "json")]).unwrap();
}

#[test]
fn an_insecure_issuer_can_be_allowed() {
    let allowed = [("POS__IDENTITY__ISSUER", "http://127.0.0.1:9/r"), ("POS__IDENTITY__ALLOW_INSECURE_ISSUER", "true")];
    assert_eq!(load(None, &allowed).unwrap().identity.issuer, "http://127.0.0.1:9/r");
}

#[test]
fn a_retention_shorter_than_what_depends_on_it_is_rejected() {
    let cases = [
        (
            [("POS__RETENTION__FAILURES_KEEP_SECS", "3600"), ("POS__CLAIM__FAILURE_WINDOW_SECS", "3601")],
            ["retention.failures_keep_secs is 3600, less than claim.failure_window_secs (3601)", "write 3601 or more"],
        ),
        (
            [("POS__RETENTION__FAILURES_KEEP_SECS", "3600"), ("POS__CLIENT__FAILURE_WINDOW_SECS", "7200")],
            ["less than client.failure_window_secs (7200)", "write 7200 or more"],
        ),
        (
            [("POS__RETENTION__EVENTS_KEEP_DAYS", "395"), ("POS__RETENTION__PAST_CODES_KEEP_SECS", "34128001")],
            [
                "retention.events_keep_days is 395, less than retention.past_codes_keep_secs (396 days)",
                "write 396 or more",
            ],
        ),
    ];
    for (variables, parts) in cases {
        let faults = faults(None, &variables);
        assert_eq!(faults.len(), 1, "{faults:?}");
        for part in parts {
            assert!(faults[0].contains(part), "{} should contain {part}", faults[0]);
        }
    }
    load(None, &[("POS__RETENTION__FAILURES_KEEP_SECS", "300"), ("POS__CLAIM__FAILURE_WINDOW_SECS", "300")]).unwrap();
    load(None, &[("POS__RETENTION__EVENTS_KEEP_DAYS", "395"), ("POS__RETENTION__PAST_CODES_KEEP_SECS", "34128000")])
        .unwrap();
}
