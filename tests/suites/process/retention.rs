//! Tests of `purge`: one run from the command line.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};

use crate::finish::Finish as _;
use crate::{MERCHANT, add_merchant, program, run, text};

/// Adds a failure window, a past code and three events of a device, all of them from 1970.
fn old_rows(folder: &std::path::Path) {
    add_merchant(folder);
    let added = run(folder, &["device", "add", "--merchant", MERCHANT, "--device-id", "POS-8F3A2C91"]);
    assert!(added.status.success(), "{added:?}");
    let mut database = SqliteConnection::establish(folder.join("pos.db").to_str().unwrap()).unwrap();
    database
        .batch_execute(
            "PRAGMA foreign_keys = ON;
         INSERT INTO claim_failures VALUES ('user', 'ann', 1, 3);
         UPDATE devices SET version = 3, chain_start = NULL, chain_tip = NULL;
         UPDATE device_events SET at = 1, hash = NULL;
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind)
             SELECT device_id, 2, merchant_id, 2, 'terminal', 'pairing_code_issued' FROM device_events;
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind)
             SELECT device_id, 3, merchant_id, 3, 'terminal', 'pairing_code_issued' FROM device_events LIMIT 1;
         INSERT INTO past_pairing_codes VALUES ('POS-8F3A2C91', 3, 'K7M3NP', 'superseded', 3);",
        )
        .unwrap();
}

#[test]
fn a_run_prints_what_it_deleted_and_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    old_rows(folder);
    let preview = run(folder, &["purge", "--dry-run"]);
    let (counts, stderr) = (text(&preview.stdout), text(&preview.stderr));
    assert!(preview.status.success() && counts.contains("past_codes 1\nclaim_failures 1\n"), "{preview:?}");
    assert!(
        !counts.contains("events") && stderr.contains("kept for ever") && stderr.contains("next: pos-server purge")
    );

    let purged = run(folder, &["purge"]);
    assert!(purged.status.success(), "{purged:?}");
    assert!(text(&purged.stdout).contains("past_codes 1\n"), "{purged:?}");
    let stderr = text(&purged.stderr);
    assert!(stderr.contains("2 rows deleted") && stderr.contains("every 600 s"), "{stderr}");
    assert!(!stderr.contains("K7M3NP"), "codes are never printed: {stderr}");

    let again = program(folder).arg("purge").env("POS__RETENTION__EVERY_SECS", "0").finish();
    assert!(text(&again.stderr).contains("0 rows deleted; servers with these settings never purge"), "{again:?}");
}

#[test]
fn old_events_are_deleted_only_with_a_retention_and_the_trail_still_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    old_rows(folder);
    let purge = || program(folder).arg("purge").env("POS__RETENTION__EVENTS_KEEP_DAYS", "395").finish();
    let purged = purge();
    assert!(text(&purged.stdout).contains("device_events 2\n"), "{purged:?}");
    let verified = run(folder, &["audit", "verify"]);
    assert_eq!(text(&verified.stdout), "no faults in 1 devices with 3 events\n", "{verified:?}");
    assert!(text(&verified.stderr).contains("2 of the events were purged"), "{verified:?}");
    let trail = text(&run(folder, &["audit", "export"]).stdout);
    assert!(trail.contains("\"event\":\"events_purged\"") && trail.contains("\"count\":\"2\""), "{trail}");
}
