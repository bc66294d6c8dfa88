//! Tests of the layers, the defaults and the effective settings.

use std::collections::BTreeSet;
use std::time::Duration;

use pos_adapters::http::Rate;
use secrecy::ExposeSecret;

use super::{file, load, source_of};
use crate::settings::layers::Layers;
use crate::settings::reader::Reader;
use crate::settings::{LogFormat, Settings};

#[test]
fn the_defaults_are_the_documented_ones() {
    let settings = load(None, &[]).unwrap();
    assert_eq!(settings.http.bind.to_string(), "127.0.0.1:8080");
    assert_eq!((settings.http.workers, settings.http.max_connections), (0, 25_000));
    assert_eq!(settings.http.request_timeout, Duration::from_secs(15));
    assert_eq!(settings.http.cors_allowed_origins, Vec::<String>::new());
    assert!(settings.http.trusted_proxies.is_empty());
    assert_eq!(settings.database.url.expose_secret(), "sqlite://pos-activation.db");
    assert_eq!(settings.database.acquire_timeout, Duration::from_millis(2000));
    assert!(settings.database.migrate_on_start);
    assert_eq!(settings.pairing.code_ttl, Duration::from_secs(300));
    assert_eq!(settings.terminal.min_supported_version.as_str(), "1.3.5");
    assert_eq!(
        (settings.terminal.max_wait, settings.terminal.max_held_status_requests),
        (Duration::from_secs(25), 10_000)
    );
    assert_eq!(settings.limits.rates.per_device, Rate { per_minute: 60, burst: 20 });
    assert_eq!(settings.limits.rates.per_address, Rate { per_minute: 60_000, burst: 10_000 });
    assert_eq!((settings.claim.max_failures, settings.claim.failure_window), (10, Duration::from_secs(300)));
    assert_eq!((settings.log.format, settings.log.level.as_str()), (LogFormat::Json, "info"));
    assert_eq!(settings.shutdown.grace, Duration::from_secs(25));
    assert!(settings.metrics.enabled);
    assert_eq!(settings.session.max_lifetime, Duration::from_secs(36_000));
    let hosts: Vec<_> = settings.session.hosts.iter().map(|(host, app)| (&**host, app.application.as_str())).collect();
    assert_eq!(hosts, [("merchant.viopay.io", "merchant-portal"), ("reseller.viopay.io", "reseller-portal")]);
    assert_eq!((settings.import.max_rows, settings.import.timeout), (1_000_000, Duration::from_secs(600)));
    assert_eq!(settings.idempotency.keep, Duration::from_secs(86_400));
    assert_eq!((settings.client.max_failures, settings.client.failure_window), (10, Duration::from_secs(300)));
}

#[test]
fn a_host_has_an_application_and_a_channel() {
    let settings =
        load(None, &[("POS__SESSION__HOSTS", "Portal.Example.com = shop/web, 127.0.0.1=shop/test")]).unwrap();
    let hosts: Vec<_> = settings.session.hosts.iter().map(|(host, app)| (&**host, app.channel.as_str())).collect();
    assert_eq!(hosts, [("portal.example.com", "web"), ("127.0.0.1", "test")]);
    for bad in ["portal", "portal=shop", "=shop/web", "a b=shop/web", "portal=Shop/web", "https://portal=shop/web"] {
        let faults = load(None, &[("POS__SESSION__HOSTS", bad)]).unwrap_err().to_string();
        assert!(faults.contains("session.hosts") && faults.contains("host=application/channel"), "{bad}: {faults}");
    }
}

#[test]
fn every_key_of_the_default_file_is_read_and_has_a_comment() {
    let (entries, faults) = Layers::defaults().finish();
    let mut reader = Reader::new(&entries, faults);
    Settings::read(&mut reader).unwrap();
    let read: BTreeSet<&str> = reader.read.iter().copied().collect();
    let defined: BTreeSet<&str> = entries.keys().map(String::as_str).collect();
    assert_eq!(read, defined, "read on the left, in config/default.toml on the right");

    let text = include_str!("../../../../../config/default.toml");
    let lines: Vec<_> = text.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#')) {
        assert!(pair[0].starts_with("# "), "no comment above {}", pair[1]);
    }
}

#[test]
fn a_file_overrides_the_defaults_and_a_variable_overrides_the_file() {
    let (_directory, path) =
        file("over.toml", "[http]\nworkers = 3\nkeep_alive_secs = 7\n[log]\nformat = \"pretty\"\n");
    let settings = load(Some(&path), &[("POS__HTTP__WORKERS", "5"), ("HOME", "x"), ("POS_HTTP", "x")]).unwrap();
    assert_eq!((settings.http.workers, settings.http.keep_alive), (5, Duration::from_secs(7)));
    assert_eq!(settings.log.format, LogFormat::Pretty);
    assert_eq!(source_of(&settings, "http.workers"), "POS__HTTP__WORKERS");
    assert_eq!(source_of(&settings, "http.keep_alive_secs"), path.display().to_string());
    assert_eq!(source_of(&settings, "http.bind"), "default");
}

#[test]
fn variables_are_converted_to_the_type_of_their_key() {
    let settings = load(
        None,
        &[
            ("POS__HTTP__BIND", "[::]:0"),
            ("POS__HTTP__MAX_BODY_BYTES", " 2048 "),
            ("POS__METRICS__ENABLED", "false"),
            ("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://a.example, http://localhost:3000,"),
            ("POS__IDENTITY__AUDIENCE", "0123"),
        ],
    )
    .unwrap();
    assert_eq!(settings.http.bind.to_string(), "[::]:0");
    assert_eq!(settings.http.max_body_bytes, 2048);
    assert!(!settings.metrics.enabled);
    assert_eq!(settings.http.cors_allowed_origins, ["https://a.example", "http://localhost:3000"]);
    assert_eq!(settings.identity.audience, "0123", "text stays text, even if it has only digits");
}

#[test]
fn an_empty_variable_is_an_empty_text_or_list() {
    let (_directory, path) = file("over.toml", "[http]\ncors_allowed_origins = [\"https://a.example\"]\n");
    let settings =
        load(Some(&path), &[("POS__HTTP__CORS_ALLOWED_ORIGINS", ""), ("POS__IDENTITY__ISSUER", "")]).unwrap();
    assert_eq!(settings.http.cors_allowed_origins, Vec::<String>::new());
    assert_eq!(source_of(&settings, "identity.issuer"), "POS__IDENTITY__ISSUER");
}

#[test]
fn the_overrides_in_config_are_valid() {
    let config = |name: &str| format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"));
    let development = load(Some(config("development.toml").as_ref()), &[]).unwrap();
    assert_eq!(development.log.format, LogFormat::Pretty);
    assert!(development.identity.allow_insecure_issuer);
    let production = load(Some(config("production.toml").as_ref()), &[]).unwrap();
    assert!(production.http.bind.ip().is_unspecified());
    assert!(!production.database.migrate_on_start);
    assert!(!production.identity.allow_insecure_issuer);
    assert_eq!(production.shutdown.readiness_delay, Duration::from_secs(10));
}

#[test]
fn identity_is_required_only_when_asked_for() {
    let unset = load(None, &[]).unwrap();
    let faults = unset.require_identity().unwrap_err();
    let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["identity.issuer", "identity.audience"]);
    for name in ["POS__IDENTITY__ISSUER", "POS__IDENTITY__AUDIENCE"] {
        assert!(faults.to_string().contains(name), "{faults}");
    }

    let issuer = "https://login.example.com/realms/pos";
    let set = load(None, &[("POS__IDENTITY__ISSUER", issuer), ("POS__IDENTITY__AUDIENCE", "pos")]).unwrap();
    let identity = set.require_identity().unwrap();
    assert_eq!((identity.issuer.as_str(), identity.audience.as_str()), (issuer, "pos"));
    assert_eq!(identity.merchant_claim, "merchant_id");
    assert_eq!((identity.reseller_claim.as_str(), identity.roles_claim.as_str()), ("reseller_id", "roles"));
    assert_eq!(identity.logout_clients, Vec::<String>::new());
    assert_eq!(identity.keys_max_age, Duration::from_secs(600));
}

#[test]
fn the_effective_settings_are_toml_with_their_sources() {
    let settings = load(None, &[("POS__HTTP__WORKERS", "2"), ("POS__LOG__LEVEL", "warn")]).unwrap();
    let text = settings.effective().to_string();
    let line = |of: &str| text.lines().find(|line| line.starts_with(of)).unwrap().to_owned();
    assert!(line("workers = 2 ").ends_with("# POS__HTTP__WORKERS"));
    assert!(line("level = \"warn\" ").ends_with("# POS__LOG__LEVEL"));
    assert!(line("bind = \"127.0.0.1:8080\" ").ends_with("# default"));
    assert_eq!(text.parse::<toml::Table>().unwrap().len(), 15, "a table for each section");
}
