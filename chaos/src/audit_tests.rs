use super::*;

const ID: &str = "POS-0000C4A0";

fn event(sequence: i64, kind: &str) -> Event {
    Event { sequence, kind: kind.to_owned(), trace_id: Some(format!("trace-{sequence}")) }
}

fn device(status: &str, version: i64, code: Option<&str>, label: Option<&str>) -> Row {
    Row { status: status.to_owned(), version, code: code.map(str::to_owned), label: label.map(str::to_owned) }
}

fn database(kinds: &[&str], row: Row, ended: &[(&str, &str)]) -> Found {
    let events = (1..).zip(kinds).map(|(sequence, kind)| event(sequence, kind)).collect();
    let ended = ended.iter().map(|(code, how)| (ID.to_owned(), (*code).to_owned(), (*how).to_owned())).collect();
    Found { devices: BTreeMap::from([(ID.to_owned(), row)]), events: BTreeMap::from([(ID.to_owned(), events)]), ended }
}

/// Provisioned, claimed with the second code, released, claimed again.
fn good() -> Found {
    let issued = "pairing_code_issued";
    let kinds = ["provisioned", issued, issued, "claimed", "released", issued, "claimed"];
    let row = device("claimed", 7, Some("CCCCCC"), Some("till"));
    database(&kinds, row, &[("AAAAAA", "retired"), ("BBBBBB", "used")])
}

fn promised() -> Promises {
    let codes = ["AAAAAA", "BBBBBB", "CCCCCC"].map(|code| (code.to_owned(), vec![ID.to_owned()]));
    let change = |kind, sequence| (ID.to_owned(), kind, format!("trace-{sequence}"));
    Promises {
        codes: HashMap::from(codes),
        changes: vec![change("claimed", 4), change("released", 5), change("claimed", 7)],
        created: HashMap::from([("till".to_owned(), Some(ID.to_owned()))]),
        imported: vec![ID.to_owned()],
    }
}

/// Spoils a good database, and tells what is found in it.
fn spoilt(spoil: impl FnOnce(&mut Found)) -> String {
    let mut found = good();
    spoil(&mut found);
    [history(&found), kept(&found, &promised())].concat().join("; ")
}

fn row(found: &mut Found) -> &mut Row {
    found.devices.get_mut(ID).unwrap()
}

fn events(found: &mut Found) -> &mut Vec<Event> {
    found.events.get_mut(ID).unwrap()
}

#[test]
fn a_database_that_holds_what_was_promised_is_good() {
    assert_eq!(spoilt(|_| {}), "");
}

type Spoil = fn(&mut Found);

#[test]
fn every_kind_of_loss_is_seen() {
    let cases: [(Spoil, &str); 11] = [
        (|found| drop(events(found).remove(4)), "event 5 is missing"),
        (|found| drop(events(found).pop()), "version 7 after 6 events"),
        (|found| events(found)[4].kind = "claimed".to_owned(), "claimed while claimed"),
        (|found| row(found).status = "inactive".to_owned(), "inactive in the end, and claimed by its events"),
        (|found| events(found)[3].trace_id = None, "answered as claimed (trace trace-4), and 0 events say so"),
        (|found| drop(found.ended.remove(0)), "a code that was given out is not in the database"),
        (|found| drop(found.ended.remove(0)), "3 codes issued, and 2 known"),
        (|found| found.ended[1].2 = "retired".to_owned(), "2 claims, and 1 codes accepted"),
        (|found| row(found).code = Some("BBBBBB".to_owned()), "one code accepted twice, the second time in force"),
        (|found| found.ended[0] = found.ended[1].clone(), "one code accepted twice"),
        (|found| drop(found.devices.remove(ID)), "was imported, and is not in the database"),
    ];
    for (spoil, expected) in cases {
        let told = spoilt(spoil);
        assert!(told.contains(expected), "{expected:?}: {told}");
    }
}

#[test]
fn what_one_call_created_twice_is_seen_and_what_it_did_not_create_too() {
    let twice = spoilt(|found| {
        let mut copy = good();
        let other = "POS-0000C4A1".to_owned();
        found.devices.insert(other.clone(), row(&mut copy).clone());
        found.events.insert(other, events(&mut copy).clone());
    });
    assert!(twice.contains("one creating call"), "{twice}");
    let never = spoilt(|found| row(found).label = None);
    assert!(never.contains("one creating call"), "{never}");
}
