//! Tests of the commands that end by themselves.

use serde_json::Value;

use crate::finish::Finish as _;
use crate::{MERCHANT, add_merchant, program, run, text};

#[test]
fn migrate_prints_what_it_did_and_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), &["migrate"]);
    let stdout = text(&first.stdout);
    assert!(first.status.success() && stdout.contains("applied") && stdout.contains("next:"), "{first:?}");
    let second = run(folder.path(), &["migrate"]);
    assert!(second.status.success() && text(&second.stdout).contains("nothing to do"), "{second:?}");
}

#[test]
fn devices_are_added_listed_and_shown_and_an_unclaimed_one_cannot_be_released() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for more in [&[][..], &["--device-id", "POS-8F3A2C91"]] {
        let refused = run(folder, &[&["device", "add", "--merchant", MERCHANT], more].concat());
        let stderr = text(&refused.stderr);
        assert!(
            !refused.status.success() && stderr.contains(&format!("merchant add --name NAME --id {MERCHANT}")),
            "{stderr}"
        );
    }
    add_merchant(folder);
    let named = run(folder, &["device", "add", "--merchant", MERCHANT, "--device-id", "POS-8F3A2C91"]);
    assert_eq!(text(&named.stdout), "POS-8F3A2C91\n", "{named:?}");
    let twice = run(folder, &["device", "add", "--merchant", MERCHANT, "--device-id", "POS-8F3A2C91"]);
    assert!(!twice.status.success() && text(&twice.stderr).contains("exists already"), "{twice:?}");
    let many = run(folder, &["device", "add", "--merchant", MERCHANT, "--count", "2500", "--yes"]);
    assert_eq!(text(&many.stdout).lines().count(), 2_500);
    assert!(text(&many.stderr).contains("2500 of 2500 provisioned"), "{}", text(&many.stderr));

    let page = run(folder, &["device", "list", "--limit", "10"]);
    assert_eq!(text(&page.stdout).lines().count(), 11);
    let last = text(&page.stdout).lines().last().unwrap().split(' ').next().unwrap().to_owned();
    assert!(text(&page.stderr).contains(&format!("--after {last}")), "{page:?}");
    let next = run(folder, &["device", "list", "--limit", "1", "--after", &last, "--json"]);
    let next: Value = serde_json::from_slice(&next.stdout).unwrap();
    assert!(next["device_id"].as_str().unwrap() > last.as_str(), "{next}");

    let shown = run(folder, &["device", "show", "POS-8F3A2C91", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((shown["status"].as_str(), shown["merchant_id"].as_str()), (Some("inactive"), Some(MERCHANT)));
    assert_eq!(shown["events"][0]["event"], "provisioned");
    let plain = text(&run(folder, &["device", "show", "POS-8F3A2C91"]).stdout);
    assert!(plain.contains("provisioned") && plain.contains("operator"), "{plain}");

    let released = run(folder, &["device", "release", "POS-8F3A2C91"]);
    assert!(!released.status.success() && text(&released.stderr).contains("has not been claimed"), "{released:?}");
    let unknown = run(folder, &["device", "show", "POS-00000000"]);
    assert!(!unknown.status.success() && text(&unknown.stderr).contains("device list"), "{unknown:?}");
}

#[test]
fn many_devices_need_a_confirmation_and_the_count_has_a_maximum() {
    let folder = tempfile::tempdir().unwrap();
    add_merchant(folder.path());
    let add = |more: &[&str]| run(folder.path(), &[&["device", "add", "--merchant", MERCHANT], more].concat());
    let unconfirmed = add(&["--count", "1001"]);
    assert!(!unconfirmed.status.success() && text(&unconfirmed.stderr).contains("--yes"), "{unconfirmed:?}");
    for (count, range) in [("0", "1..=100000"), ("100001", "1..=100000")] {
        let refused = add(&["--count", count, "--yes"]);
        assert!(refused.status.code() == Some(2) && text(&refused.stderr).contains(range), "{refused:?}");
    }
    assert_eq!(text(&run(folder.path(), &["device", "list", "--json"]).stdout), "", "nothing was provisioned");
    let confirmed = add(&["--count", "1001", "--yes"]);
    assert_eq!(text(&confirmed.stdout).lines().count(), 1_001, "{confirmed:?}");
    assert_eq!(text(&add(&["--count", "1000"]).stdout).lines().count(), 1_000, "1000 need no confirmation");
}

#[test]
fn invalid_arguments_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (&["device", "add", "--merchant", "nobody"][..], "--merchant"),
        (&["device", "add", "--merchant", MERCHANT, "--device-id", "POS-8f3a2c91"], "POS-8f3a2c91"),
        (&["device", "add", "--merchant", MERCHANT, "--device-id", "POS-8F3A2C91", "--count", "2"], "--count"),
        (&["device", "show", "8F3A2C91"], "8F3A2C91"),
        (&["device", "list", "--limit", "0"], "--limit"),
        (&["fly"], "fly"),
    ] {
        let refused = run(folder.path(), arguments);
        assert!(!refused.status.success() && text(&refused.stderr).contains(part), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn check_config_reports_every_fault_at_once_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let invalid = program(folder.path())
        .arg("check-config")
        .env("POS__PAIRING__CODE_TTL_SECS", "soon")
        .env("POS__CLAIM__MAX_FAILURES", "0")
        .env("POS__HTPP__BIND", "127.0.0.1:0")
        .env("POS__DATABASE__URL", "postgres://pos:hunter2@localhost/pos")
        .finish();
    let stderr = text(&invalid.stderr);
    for key in ["pairing.code_ttl_secs", "claim.max_failures", "POS__HTPP__BIND"] {
        assert!(stderr.contains(key), "{key}: {stderr}");
    }
    assert!(!invalid.status.success() && !stderr.contains("hunter2"), "{stderr}");

    let valid = program(folder.path())
        .arg("check-config")
        .env("POS__DATABASE__URL", "postgres://pos:hunter2@localhost/pos")
        .env("POS__IDENTITY__ISSUER", "https://login.example.com/realms/viopay")
        .env("POS__IDENTITY__AUDIENCE", "pos-activation")
        .finish();
    let stdout = text(&valid.stdout);
    assert!(valid.status.success() && stdout.contains("next: pos-server serve"), "{valid:?}");
    assert!(!stdout.contains("hunter2"), "{stdout}");
    let incomplete = run(folder.path(), &["check-config"]);
    assert!(
        !incomplete.status.success() && text(&incomplete.stderr).contains("POS__IDENTITY__ISSUER"),
        "{incomplete:?}"
    );
}

#[test]
fn the_demo_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let demo = run(folder.path(), &["demo", "--once", "--bind", "127.0.0.1:0"]);
    let stdout = text(&demo.stdout);
    assert!(demo.status.success() && stdout.contains("Done: the terminal is claimed."), "{demo:?}");
    assert!(
        stdout.contains("\"pairing_code_status\":\"pending\"") && stdout.contains("\"is_claimed\":true"),
        "{stdout}"
    );
}
