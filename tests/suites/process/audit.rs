//! Tests of `audit verify` and `audit export`.

use std::io::Read as _;
use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use serde_json::{Value, json};

use crate::process::Serving;
use crate::{MERCHANT, add_merchant, run, text};

fn add(folder: &Path, more: &[&str]) -> String {
    let added = run(folder, &[&["device", "add", "--merchant", MERCHANT][..], more].concat());
    assert!(added.status.success(), "{added:?}");
    text(&added.stdout)
}

fn exported(folder: &Path, more: &[&str]) -> Vec<Value> {
    let exported = run(folder, &[&["audit", "export"][..], more].concat());
    assert!(exported.status.success(), "{exported:?}");
    text(&exported.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_tampered_event_is_reported_with_exit_status_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_merchant(folder);
    add(folder, &["--device-id", "POS-8F3A2C91"]);
    add(folder, &["--yes", "--count", "2499"]);
    let fine = run(folder, &["audit", "verify"]);
    assert_eq!(fine.status.code(), Some(0), "{fine:?}");
    assert_eq!(text(&fine.stdout), "no faults in 2500 devices with 2500 events\n");
    assert!(text(&fine.stderr).contains("2000 devices verified"), "progress: {}", text(&fine.stderr));

    let mut database = SqliteConnection::establish(folder.join("pos.db").to_str().unwrap()).unwrap();
    database.batch_execute("UPDATE device_events SET at = at + 1 WHERE device_id = 'POS-8F3A2C91'").unwrap();
    let fault = "POS-8F3A2C91 1: the event was changed or reordered\n";
    for which in [&["audit", "verify"][..], &["audit", "verify", "--device", "POS-8F3A2C91", "--allow-unchained"]] {
        let found = run(folder, which);
        assert_eq!((found.status.code(), text(&found.stdout).as_str()), (Some(1), fault), "{found:?}");
    }
    let unknown = run(folder, &["audit", "verify", "--device", "POS-UNKNOWN"]);
    assert!(unknown.status.code() == Some(1) && text(&unknown.stderr).contains("not found"), "{unknown:?}");
}

#[test]
fn tampering_with_administrative_events_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let shop = done(folder, &["merchant", "add", "--name", "Corner Shop"]);
    done(folder, &["member", "add", "--merchant", &shop, "--user", "ann", "--role", "viewer"]);
    let fine = run(folder, &["audit", "verify"]);
    assert_eq!((fine.status.code(), text(&fine.stdout).as_str()), (Some(0), "no faults in 0 devices with 0 events\n"));
    let stderr = text(&fine.stderr);
    assert!(
        stderr.contains("2 administrative events and 2 audited rows") && !stderr.contains("checkpoint"),
        "{stderr}"
    );

    let mut database = SqliteConnection::establish(folder.join("pos.db").to_str().unwrap()).unwrap();
    for (statement, undo, fault) in [
        (
            "UPDATE memberships SET role = 'admin'",
            "UPDATE memberships SET role = 'viewer'",
            format!("memberships user:ann at merchant:{shop}: role is admin, but the audit trail says viewer\n"),
        ),
        (
            "UPDATE audit_events SET actor = 'user:eve' WHERE number = 2",
            "UPDATE audit_events SET actor = 'operator'",
            "audit_events 2: the event was changed\n".to_owned(),
        ),
    ] {
        database.batch_execute(statement).unwrap();
        let found = run(folder, &["audit", "verify"]);
        assert_eq!((found.status.code(), text(&found.stdout)), (Some(1), fault), "{found:?}");
        database.batch_execute(undo).unwrap();
    }
    // `verify` only reads: an event that an older server or a person adds stays reported, and is counted.
    let add = "INSERT INTO audit_events (at, actor, kind) SELECT at, actor, 'claim_refused' FROM audit_events LIMIT 1";
    database.batch_execute(add).unwrap();
    for _ in 0..2 {
        let found = run(folder, &["audit", "verify"]);
        assert!(text(&found.stdout).starts_with("audit_events 3: the event has no digest"), "{found:?}");
        assert!(
            found.status.code() == Some(1) && text(&found.stderr).contains("1 of these events have no checkpoint yet")
        );
    }
    assert!(run(folder, &["audit", "verify", "--allow-unchained"]).status.success());
    database.batch_execute("DELETE FROM audit_events WHERE number < 3").unwrap();
    let found = text(&run(folder, &["audit", "verify", "--allow-unchained"]).stdout);
    for fault in ["audit_events 1: the event is missing", "audit_events 2: the event is missing", "event created it"] {
        assert!(found.contains(fault), "{found}");
    }
}

#[test]
fn events_outside_the_chain_can_be_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_merchant(folder);
    add(folder, &["--device-id", "POS-8F3A2C91"]);
    let mut database = SqliteConnection::establish(folder.join("pos.db").to_str().unwrap()).unwrap();
    database.batch_execute(
        "UPDATE devices SET version = 2; INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind) \
         SELECT device_id, 2, merchant_id, at, 'terminal', 'pairing_code_issued' FROM device_events",
    )
    .unwrap();
    let reported = run(folder, &["audit", "verify"]);
    assert!(
        reported.status.code() == Some(1) && text(&reported.stdout).contains("POS-8F3A2C91 2: the event is not part")
    );
    let allowed = run(folder, &["audit", "verify", "--allow-unchained"]);
    assert!(allowed.status.success() && text(&allowed.stderr).contains("1 of the events"), "{allowed:?}");
}

#[test]
fn an_export_has_all_events_in_order_and_no_code() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_merchant(folder);
    let device = add(folder, &[]).trim().to_owned();
    let other = add(folder, &[]).trim().to_owned();
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    let serving = Serving::start(folder, &[]);
    let issued = serving.terminal("POST /pos/pairing-code", &device, &traced);
    let code = issued.split('"').nth(3).unwrap().to_owned();
    drop(serving);
    let mut database = SqliteConnection::establish(folder.join("pos.db").to_str().unwrap()).unwrap();
    database.batch_execute(&format!(
        "INSERT INTO audit_events (at, actor, merchant_id, kind, subject, detail) SELECT at, 'user:ann', '{MERCHANT}', \
         'claim_refused', 'device:{device}', '{{\"reason\":\"used\"}}' FROM device_events WHERE sequence = 2"
    ))
    .unwrap();

    let lines = exported(folder, &[]);
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["merchant_added", "provisioned", "provisioned", "pairing_code_issued", "claim_refused"]);
    assert!(lines.iter().all(|line| !line.to_string().contains(&code)));
    let issued = &lines[3];
    assert_eq!((&issued["actor"], &issued["client_ip"]), (&"terminal".into(), &"127.0.0.1".into()));
    assert_eq!((&issued["trace_id"], &issued["device_id"]), (&trace_id.into(), &device.as_str().into()));
    assert_eq!(issued["hash"].as_str().map(str::len), Some(64));
    let refused = &lines[4];
    assert_eq!((&refused["actor"], &refused["detail"]["reason"]), (&"user:ann".into(), &"used".into()));
    assert_eq!(refused["device_id"], device.as_str());

    assert_eq!(exported(folder, &["--device", &device]).len(), 3);
    assert_eq!(exported(folder, &["--device", &other]).len(), 1);
    let at = issued["at"].as_str().unwrap();
    assert_eq!(exported(folder, &["--since", at]), lines[3..]);
    assert_eq!(exported(folder, &["--until", at]), lines[..3]);
    let refused = run(folder, &["audit", "export", "--since", "yesterday"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("--since"), "{refused:?}");

    let shown = run(folder, &["device", "show", &device, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (&shown["events"][1]["client_ip"], &shown["events"][1]["trace_id"]),
        (&"127.0.0.1".into(), &trace_id.into())
    );
    let plain = text(&run(folder, &["device", "show", &device]).stdout);
    assert!(plain.contains(trace_id) && plain.contains("127.0.0.1"), "{plain}");
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout).trim().to_owned()
}

#[test]
fn administrative_events_are_exported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let reseller = done(folder, &["reseller", "add", "--name", "Northern Terminals"]);
    done(folder, &["merchant", "add", "--name", "Corner Shop", "--reseller", &reseller, "--id", MERCHANT]);
    let member = ["--merchant", MERCHANT, "--user", "ann"];
    for role in ["viewer", "viewer", "admin"] {
        done(folder, &[&["member", "add", "--role", role][..], &member].concat());
    }
    done(folder, &[&["member", "remove"][..], &member].concat());
    let id = ["--id", "till"];
    let made = done(folder, &[&["client", "add", "--reseller", &reseller, "--role", "operator"][..], &id].concat());
    let rotated = done(folder, &["client", "rotate", "till"]);
    done(folder, &["client", "revoke", "till"]);
    for refused in [
        &["merchant", "add", "--name", "Again", "--id", MERCHANT][..],
        &["member", "remove", "--merchant", MERCHANT, "--user", "ann"],
        &["client", "rotate", "till"],
        &["client", "revoke", "nobody"],
    ] {
        assert!(!run(folder, refused).status.success(), "{refused:?}");
    }

    let (shop, north) = (format!("merchant:{MERCHANT}"), format!("reseller:{reseller}"));
    let (merchant_id, none) = (Value::from(MERCHANT), Value::Null);
    let expected = [
        ("reseller_added", &none, &*north, json!({})),
        ("merchant_added", &merchant_id, &shop, json!({"reseller": reseller})),
        ("member_added", &merchant_id, "user:ann", json!({"party": shop, "role": "viewer"})),
        ("member_added", &merchant_id, "user:ann", json!({"party": shop, "role": "admin", "role_before": "viewer"})),
        ("member_removed", &merchant_id, "user:ann", json!({"party": shop})),
        ("client_added", &none, "client:till", json!({"party": north, "role": "operator"})),
        ("client_rotated", &none, "client:till", json!({"party": north})),
        ("client_revoked", &none, "client:till", json!({"party": north})),
    ];
    let lines = exported(folder, &[]);
    let events: Vec<_> = lines
        .iter()
        .map(|line| {
            assert_eq!((&line["actor"], &line["client_ip"], &line["trace_id"]), (&"operator".into(), &none, &none));
            let text = |name: &str| line[name].as_str().unwrap();
            (text("event"), &line["merchant_id"], text("subject"), line["detail"].clone())
        })
        .collect();
    assert_eq!(events, expected);
    let export = serde_json::to_string(&lines).unwrap();
    for printed in [made, rotated] {
        let secret = printed.lines().find_map(|line| line.strip_prefix("client_secret=")).unwrap();
        assert!(secret.len() == 64 && !export.contains(secret));
    }
}

#[test]
fn a_closed_output_ends_an_export_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    add_merchant(folder.path());
    add(folder.path(), &["--yes", "--count", "1500"]);
    let mut child = crate::program(folder.path())
        .args(["audit", "export"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    let ended = child.wait_with_output().unwrap();
    assert!(!text(&ended.stderr).contains("panicked"), "{ended:?}");
}
