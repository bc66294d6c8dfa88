//! Tests of `device import`.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::finish::Finish as _;
use crate::{MERCHANT, add_merchant, program, run, text};

#[test]
fn an_imported_file_is_reported_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lines: String = (0..2_500).map(|number| format!("POS-{number:08X},{MERCHANT},Till {number}\n")).collect();
    add_merchant(folder);
    fs::write(folder.join("fleet.csv"), format!("device_id,merchant_id,label\n{lines}")).unwrap();
    let done = run(folder, &["device", "import", "fleet.csv", "--idempotency-key", "monday"]);
    assert_eq!((done.status.code(), text(&done.stdout).as_str()), (Some(0), ""), "{done:?}");
    let stderr = text(&done.stderr);
    assert!(stderr.contains("2500 rows: 2500 provisioned, 0 refused") && stderr.contains("next:"), "{stderr}");
    let shown = text(&run(folder, &["device", "show", "POS-000009C3"]).stdout);
    assert!(shown.contains("provisioned") && shown.contains("operator"), "{shown}");
    let again = run(folder, &["device", "import", "fleet.csv", "--idempotency-key", "monday", "--json"]);
    let totals: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(totals, json!({"rows": 2500, "provisioned": 2500, "refused": 0}));
    assert!(again.status.success() && text(&again.stderr).contains("earlier run"), "{again:?}");
    let verified = run(folder, &["audit", "verify"]);
    assert_eq!(text(&verified.stdout), "no faults in 2500 devices with 2500 events\n");
}

#[test]
fn refused_rows_are_printed_with_exit_status_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |id: &str| json!({"device_id": id, "merchant_id": MERCHANT}).to_string();
    let file = [row("POS-00000001"), row("POS-1"), row("POS-00000001"), "{".to_owned()].join("\n");
    fs::write(folder.join("fleet.jsonl"), &file).unwrap();
    add_merchant(folder);
    let all = run(folder, &["device", "import", "fleet.jsonl"]);
    let stdout = text(&all.stdout);
    assert_eq!((all.status.code(), stdout.lines().count()), (Some(1), 4), "{all:?}");
    assert!(stdout.contains("row 1") && stdout.contains("not_imported"), "{stdout}");
    assert!(text(&all.stderr).contains("0 provisioned, 4 refused"), "{all:?}");

    let arguments = ["device", "import", "-", "--format", "jsonl", "--mode", "best_effort", "--json"];
    let mut command = program(folder);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
    let each = child.wait_with_output().unwrap();
    let lines: Vec<Value> = text(&each.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<_> = lines.iter().map(|line| line["reason"].as_str().unwrap_or("-")).collect();
    assert_eq!((each.status.code(), reasons), (Some(1), vec!["invalid_device_id", "duplicate", "malformed", "-"]));
    assert_eq!(lines[3], json!({"rows": 4, "provisioned": 1, "refused": 3}));
    assert!(run(folder, &["device", "show", "POS-00000001"]).status.success());
}

#[test]
fn every_line_is_imported_refused_or_empty() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_merchant(folder);
    let row = |number: u32, label: &str| format!("POS-{number:08X},{MERCHANT},{label}\n");
    let file = format!("device_id,merchant_id,label\n{},,\n{},,\n,,\n", row(1, "ok"), row(2, "ok"));
    fs::write(folder.join("fleet.csv"), file).unwrap();
    let all = run(folder, &["device", "import", "fleet.csv"]);
    assert!(all.status.success() && text(&all.stderr).contains("2 rows: 2 provisioned, 0 refused"), "{all:?}");

    let rows = [row(3, "ok"), row(4, "\"Till"), row(5, "x"), row(6, "x")].concat();
    fs::write(folder.join("open.csv"), format!("device_id,merchant_id,label\n{rows}")).unwrap();
    let each = run(folder, &["device", "import", "open.csv", "--mode", "best_effort"]);
    assert!(text(&each.stderr).contains("4 rows: 3 provisioned, 1 refused"), "{each:?}");
    let stdout = text(&each.stdout);
    assert!(stdout.starts_with("row 2 ") && stdout.contains("a quote is not closed"), "{stdout}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
}

#[test]
fn an_import_that_fails_reports_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("fleet.csv"), "device_id,merchant_id,serial\n").unwrap();
    fs::write(folder.join("fleet.txt"), "").unwrap();
    for (arguments, part) in [
        (&["fleet.csv"][..], "\"serial\""),
        (&["fleet.txt"], "--format"),
        (&["nowhere.csv"], "nowhere.csv"),
        (&["fleet.csv", "--format", "xml"], "csv or jsonl"),
        (&["fleet.csv", "--mode", "some"], "best_effort"),
        (&["fleet.csv", "--idempotency-key", "two words"], "visible ASCII"),
    ] {
        let refused = run(folder, &[&["device", "import"], arguments].concat());
        assert!(!refused.status.success() && text(&refused.stderr).contains(part), "{arguments:?}: {refused:?}");
    }
    fs::write(folder.join("long.csv"), format!("device_id,merchant_id\n{}", "x\n".repeat(11))).unwrap();
    let long = program(folder).args(["device", "import", "long.csv"]).env("POS__IMPORT__MAX_ROWS", "10").finish();
    assert!(!long.status.success() && text(&long.stderr).contains("at most 10 rows"), "{long:?}");
}
