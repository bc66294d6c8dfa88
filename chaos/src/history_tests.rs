//! Tests of which failures a fault excuses.

use super::*;

fn api(http_status: u16, code: &str, retry_after: Option<Duration>) -> CallError {
    CallError::Api(Box::new(ApiError {
        http_status,
        code: code.to_owned(),
        message: "test error".to_owned(),
        details: None,
        trace_id: "96e5958842d29572a16b1a5c77ea7480".to_owned(),
        retry_after,
    }))
}

fn violations(error: CallError, excused: bool, server_was_down: bool) -> u64 {
    history_with_failure(|| 0.5, error, excused, server_was_down).totals().3
}

fn history_with_failure(load: fn() -> f64, error: CallError, excused: bool, server_was_down: bool) -> ScenarioHistory {
    let history = ScenarioHistory { load, ..ScenarioHistory::new("test", now()) };
    if excused {
        history.begin_excuse(FailureScope::All);
    }
    history.failed(call_to("one", server_was_down), error);
    history
}

fn call_to(server: &str, server_was_down: bool) -> CallInfo<'_> {
    CallInfo { call: "status", about: "POS-1", server, device: Some("POS-1"), sent: now(), server_was_down }
}

#[test]
fn a_fault_of_one_server_or_device_excuses_no_other_calls() {
    let wait = Some(Duration::from_secs(2));
    let history = |scope: FailureScope| {
        let history = ScenarioHistory { load: || 0.5, ..ScenarioHistory::new("test", now()) };
        history.begin_excuse(scope);
        history
    };
    for (scope, excused) in [
        (FailureScope::Server("one".to_owned()), true),
        (FailureScope::Server("two".to_owned()), false),
        (FailureScope::Device("POS-1".to_owned()), true),
        (FailureScope::Device("POS-2".to_owned()), false),
    ] {
        let history = history(scope.clone());
        history.failed(call_to("one", false), api(503, "5003", wait));
        assert_eq!(history.totals().3 == 0, excused, "{scope:?}");
    }
}

#[test]
fn only_calls_to_a_paused_server_may_lose_their_connection() {
    let unreachable = || CallError::Unreachable { trace_id: "t".to_owned(), source: "reset".into() };
    for (scope, excused) in [
        (FailureScope::Server("one".to_owned()), true),
        (FailureScope::Server("two".to_owned()), false),
        (FailureScope::Device("POS-1".to_owned()), false),
        (FailureScope::All, false),
    ] {
        let history = ScenarioHistory { load: || 0.5, ..ScenarioHistory::new("test", now()) };
        history.begin_excuse(scope.clone());
        history.failed(call_to("one", false), unreachable());
        assert_eq!(history.totals().3 == 0, excused, "{scope:?}");
    }
}

#[test]
fn while_a_row_is_locked_changes_of_other_devices_must_not_take_long() {
    let history = ScenarioHistory { load: || 0.5, ..ScenarioHistory::new("test", now()) };
    let long_ago = now() - 60 * SECOND;
    history.check_change("POS-2", long_ago);
    history.limit_changes(Some(("POS-1".to_owned(), Duration::from_secs(2))));
    history.check_change("POS-1", long_ago);
    history.check_change("POS-2", now());
    assert_eq!(history.totals().3, 0);
    history.check_change("POS-2", long_ago);
    assert_eq!(history.totals().3, 1);
    history.limit_changes(None);
    history.check_change("POS-2", long_ago);
    assert_eq!(history.totals().3, 1);
}

#[test]
fn load_excuses_a_503_which_is_reported_and_too_many_are_a_violation() {
    let wait = Some(Duration::from_secs(2));
    let history = history_with_failure(|| 3.5, api(503, "5003", wait), false, false);
    assert_eq!(history.totals().3, 0);
    history.check_load_excuses();
    assert_eq!(history.totals().3, 1, "all of the calls are more than one in a hundred");
    assert!(history.records().notes.iter().any(|note| note.starts_with("LEFT OUT: 1 calls")));
    let quiet = history_with_failure(|| 0.5, api(503, "5003", wait), true, false);
    quiet.check_load_excuses();
    assert_eq!((quiet.totals().3, quiet.records().notes.len()), (0, 0));
}

#[test]
fn a_fault_excuses_only_a_503_with_retry_after() {
    let wait = Some(Duration::from_secs(2));
    assert_eq!(violations(api(503, "5003", wait), true, false), 0);
    assert_eq!(violations(api(503, "5003", wait), false, false), 1, "there was no fault");
    assert_eq!(violations(api(503, "5003", None), true, false), 1, "Retry-After is missing");
    assert_eq!(violations(api(500, "5000", wait), true, false), 1);
    assert_eq!(violations(api(429, "4290", wait), true, false), 1);
    assert_eq!(violations(api(400, "4220", None), false, false), 0, "the caller checks 4xx");
}

#[test]
fn a_connection_may_fail_while_its_server_is_down() {
    let lost = || CallError::TimedOut { trace_id: String::new() };
    assert_eq!(violations(lost(), true, true), 0);
    assert_eq!(violations(lost(), true, false), 1);
}
