//! Tests of the audit with corrupted snapshots.

use super::*;

const ID: &str = "POS-0000C4A0";

fn event(sequence: i64, kind: &str) -> Event {
    Event { sequence, kind: kind.to_owned(), trace_id: Some(format!("trace-{sequence}")) }
}

fn device(status: &str, version: i64, code: Option<&str>, label: Option<&str>) -> Row {
    Row { status: status.to_owned(), version, code: code.map(str::to_owned), label: label.map(str::to_owned) }
}

fn snapshot(kinds: &[&str], row: Row, past_codes: &[(&str, &str)]) -> DbSnapshot {
    let events = (1..).zip(kinds).map(|(sequence, kind)| event(sequence, kind)).collect();
    let past_code = |(code, how): &(&str, &str)| (ID.to_owned(), (*code).to_owned(), (*how).to_owned());
    DbSnapshot {
        devices: BTreeMap::from([(ID.to_owned(), row)]),
        events: BTreeMap::from([(ID.to_owned(), events)]),
        past_codes: past_codes.iter().map(past_code).collect(),
    }
}

/// Provisioned, claimed with the second code, released, claimed again.
fn consistent() -> DbSnapshot {
    let issued = "pairing_code_issued";
    let kinds = ["provisioned", issued, issued, "claimed", "released", issued, "claimed"];
    let row = device("claimed", 7, Some("CCCCCC"), Some("till"));
    snapshot(&kinds, row, &[("AAAAAA", "superseded"), ("BBBBBB", "used")])
}

fn acknowledged() -> Acknowledged {
    let codes = ["AAAAAA", "BBBBBB", "CCCCCC"].map(|code| (code.to_owned(), vec![ID.to_owned()]));
    let change = |kind, sequence| (ID.to_owned(), kind, format!("trace-{sequence}"));
    Acknowledged {
        codes: HashMap::from(codes),
        changes: vec![change("claimed", 4), change("released", 5), change("claimed", 7)],
        created: HashMap::from([("till".to_owned(), Some(ID.to_owned()))]),
        imported: vec![ID.to_owned()],
    }
}

/// Corrupts a consistent snapshot, and returns the errors that the audit finds.
fn errors_after(corrupt: impl FnOnce(&mut DbSnapshot)) -> String {
    let mut snapshot = consistent();
    corrupt(&mut snapshot);
    [check_consistency(&snapshot), check_acknowledged(&snapshot, &acknowledged())].concat().join("; ")
}

fn row(snapshot: &mut DbSnapshot) -> &mut Row {
    snapshot.devices.get_mut(ID).unwrap()
}

fn events(snapshot: &mut DbSnapshot) -> &mut Vec<Event> {
    snapshot.events.get_mut(ID).unwrap()
}

#[test]
fn a_database_with_all_acknowledged_changes_has_no_errors() {
    assert_eq!(errors_after(|_| {}), "");
}

type Corrupt = fn(&mut DbSnapshot);

#[test]
fn every_kind_of_loss_is_detected() {
    let cases: [(Corrupt, &str); 11] = [
        (|snapshot| drop(events(snapshot).remove(4)), "event 5 is missing"),
        (|snapshot| drop(events(snapshot).pop()), "version 7 after 6 events"),
        (|snapshot| events(snapshot)[4].kind = "claimed".to_owned(), "claimed while claimed"),
        (|snapshot| row(snapshot).status = "inactive".to_owned(), "status inactive, but claimed by its events"),
        (
            |snapshot| events(snapshot)[3].trace_id = None,
            "acknowledged as claimed (trace trace-4), but has 0 such events",
        ),
        (|snapshot| drop(snapshot.past_codes.remove(0)), "an issued code is not in the database"),
        (|snapshot| drop(snapshot.past_codes.remove(0)), "3 codes issued, and 2 known"),
        (|snapshot| snapshot.past_codes[1].2 = "superseded".to_owned(), "2 claims, and 1 codes accepted"),
        (|snapshot| row(snapshot).code = Some("BBBBBB".to_owned()), "one code accepted twice, and current again"),
        (|snapshot| snapshot.past_codes[0] = snapshot.past_codes[1].clone(), "one code accepted twice"),
        (|snapshot| drop(snapshot.devices.remove(ID)), "was imported, but is not in the database"),
    ];
    for (corrupt, expected) in cases {
        let errors = errors_after(corrupt);
        assert!(errors.contains(expected), "{expected:?}: {errors}");
    }
}

#[test]
fn a_creation_request_that_created_two_devices_or_none_is_detected() {
    let twice = errors_after(|snapshot| {
        let mut copy = consistent();
        let other = "POS-0000C4A1".to_owned();
        snapshot.devices.insert(other.clone(), row(&mut copy).clone());
        snapshot.events.insert(other, events(&mut copy).clone());
    });
    assert!(twice.contains("one creation request"), "{twice}");
    let never = errors_after(|snapshot| row(snapshot).label = None);
    assert!(never.contains("one creation request"), "{never}");
}
