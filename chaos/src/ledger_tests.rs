//! What is excused, and what is not.

use super::*;

fn api(http_status: u16, code: &str, retry_after: Option<Duration>) -> CallError {
    CallError::Api(Box::new(ApiError {
        http_status,
        code: code.to_owned(),
        message: "told".to_owned(),
        details: None,
        trace_id: "96e5958842d29572a16b1a5c77ea7480".to_owned(),
        retry_after,
    }))
}

fn violations(error: CallError, disturbed: bool, server_was_down: bool) -> u64 {
    on_a_machine(|| 0.5, error, disturbed, server_was_down).totals().3
}

fn on_a_machine(load: fn() -> f64, error: CallError, disturbed: bool, server_was_down: bool) -> Ledger {
    let ledger = Ledger { load, ..Ledger::new("test", now()) };
    if disturbed {
        ledger.excuse(Excused::Everybody);
    }
    ledger.failed(underway("one", server_was_down), error);
    ledger
}

fn underway(server: &str, server_was_down: bool) -> Underway<'_> {
    Underway { call: "look", about: "POS-1", server, device: Some("POS-1"), sent: now(), server_was_down }
}

#[test]
fn a_fault_of_one_server_or_device_excuses_nobody_else() {
    let wait = Some(Duration::from_secs(2));
    let ledger = |whose: Excused| {
        let ledger = Ledger { load: || 0.5, ..Ledger::new("test", now()) };
        ledger.excuse(whose);
        ledger
    };
    for (whose, excused) in [
        (Excused::Server("one".to_owned()), true),
        (Excused::Server("two".to_owned()), false),
        (Excused::Device("POS-1".to_owned()), true),
        (Excused::Device("POS-2".to_owned()), false),
    ] {
        let ledger = ledger(whose.clone());
        ledger.failed(underway("one", false), api(503, "5003", wait));
        assert_eq!(ledger.totals().3 == 0, excused, "{whose:?}");
    }
}

#[test]
fn only_calls_to_a_server_that_is_paused_may_lose_their_connection() {
    let unreachable = || CallError::Unreachable { trace_id: "t".to_owned(), source: "reset".into() };
    for (whose, excused) in [
        (Excused::Server("one".to_owned()), true),
        (Excused::Server("two".to_owned()), false),
        (Excused::Device("POS-1".to_owned()), false),
        (Excused::Everybody, false),
    ] {
        let ledger = Ledger { load: || 0.5, ..Ledger::new("test", now()) };
        ledger.excuse(whose.clone());
        ledger.failed(underway("one", false), unreachable());
        assert_eq!(ledger.totals().3 == 0, excused, "{whose:?}");
    }
}

#[test]
fn a_change_of_another_device_than_the_held_one_must_not_take_long() {
    let ledger = Ledger { load: || 0.5, ..Ledger::new("test", now()) };
    let long_ago = now() - 60 * SECOND;
    ledger.changed("POS-2", long_ago);
    ledger.watch_changes(Some(("POS-1".to_owned(), Duration::from_secs(2))));
    ledger.changed("POS-1", long_ago);
    ledger.changed("POS-2", now());
    assert_eq!(ledger.totals().3, 0);
    ledger.changed("POS-2", long_ago);
    assert_eq!(ledger.totals().3, 1);
    ledger.watch_changes(None);
    ledger.changed("POS-2", long_ago);
    assert_eq!(ledger.totals().3, 1);
}

#[test]
fn a_busy_machine_excuses_a_503_and_is_told_and_does_not_excuse_many() {
    let wait = Some(Duration::from_secs(2));
    let ledger = on_a_machine(|| 3.5, api(503, "5003", wait), false, false);
    assert_eq!(ledger.totals().3, 0);
    ledger.judge_the_machine();
    assert_eq!(ledger.totals().3, 1, "all of the calls are more than one in a hundred");
    assert!(ledger.book().notes.iter().any(|note| note.starts_with("LEFT OUT: 1 calls")));
    let quiet = on_a_machine(|| 0.5, api(503, "5003", wait), true, false);
    quiet.judge_the_machine();
    assert_eq!((quiet.totals().3, quiet.book().notes.len()), (0, 0));
}

#[test]
fn only_a_503_with_its_wait_is_a_failure_that_a_fault_excuses() {
    let wait = Some(Duration::from_secs(2));
    assert_eq!(violations(api(503, "5003", wait), true, false), 0);
    assert_eq!(violations(api(503, "5003", wait), false, false), 1, "nothing was wrong");
    assert_eq!(violations(api(503, "5003", None), true, false), 1, "when to come back?");
    assert_eq!(violations(api(500, "5000", wait), true, false), 1);
    assert_eq!(violations(api(429, "4290", wait), true, false), 1);
    assert_eq!(violations(api(400, "4220", None), false, false), 0, "for the caller to judge");
}

#[test]
fn a_connection_may_fail_while_its_server_is_down() {
    let lost = || CallError::TimedOut { trace_id: String::new() };
    assert_eq!(violations(lost(), true, true), 0);
    assert_eq!(violations(lost(), true, false), 1);
}
