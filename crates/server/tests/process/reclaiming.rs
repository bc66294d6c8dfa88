//! `reclaim`: one round at the command line.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};

use crate::{MERCHANT, add_merchant, program, run, text};

/// A claim window, an ended code and three events of a device, all of them from 1970.
fn old_rows(folder: &std::path::Path) {
    add_merchant(folder);
    let added = run(folder, &["device", "add", "--merchant", MERCHANT, "--device-id", "POS-8F3A2C91"]);
    assert!(added.status.success(), "{added:?}");
    let mut hand = SqliteConnection::establish(folder.join("pos.db").to_str().unwrap()).unwrap();
    hand.batch_execute(
        "PRAGMA foreign_keys = ON;
         INSERT INTO claim_failures VALUES ('user', 'ann', 1, 3);
         UPDATE devices SET version = 3, chain_start = NULL, chain_head = NULL;
         UPDATE device_events SET at = 1, hash = NULL;
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind)
             SELECT device_id, 2, merchant_id, 2, 'terminal', 'pairing_code_issued' FROM device_events;
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind)
             SELECT device_id, 3, merchant_id, 3, 'terminal', 'pairing_code_issued' FROM device_events LIMIT 1;
         INSERT INTO ended_pairing_codes VALUES ('POS-8F3A2C91', 3, 'K7M3NP', 'retired', 3);",
    )
    .unwrap();
}

#[test]
fn a_round_says_what_it_did_and_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    old_rows(folder);
    let preview = run(folder, &["reclaim", "--dry-run"]);
    let (counts, said) = (text(&preview.stdout), text(&preview.stderr));
    assert!(preview.status.success() && counts.contains("ended_codes 1\nclaim_failures 1\n"), "{preview:?}");
    assert!(!counts.contains("events") && said.contains("kept for ever") && said.contains("next: pos-server reclaim"));

    let round = run(folder, &["reclaim"]);
    assert!(round.status.success(), "{round:?}");
    assert!(text(&round.stdout).contains("ended_codes 1\n"), "{round:?}");
    let said = text(&round.stderr);
    assert!(said.contains("2 rows removed") && said.contains("every 600 s"), "{said}");
    assert!(!said.contains("K7M3NP"), "a code is never told: {said}");

    let again = program(folder).arg("reclaim").env("POS__RECLAIM__EVERY_SECS", "0").output().unwrap();
    assert!(text(&again.stderr).contains("0 rows removed; servers with these settings never do this"), "{again:?}");
}

#[test]
fn old_events_go_only_when_a_retention_is_set_and_the_trail_still_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    old_rows(folder);
    let kept = || program(folder).arg("reclaim").env("POS__RECLAIM__EVENTS_KEEP_DAYS", "395").output().unwrap();
    let round = kept();
    assert!(text(&round.stdout).contains("device_events 2\n"), "{round:?}");
    let verified = run(folder, &["audit", "verify"]);
    assert_eq!(text(&verified.stdout), "nothing is wrong in 1 devices with 3 events\n", "{verified:?}");
    assert!(text(&verified.stderr).contains("2 of the events were reclaimed"), "{verified:?}");
    let trail = text(&run(folder, &["audit", "export"]).stdout);
    assert!(trail.contains("\"event\":\"events_reclaimed\"") && trail.contains("\"count\":\"2\""), "{trail}");
}
