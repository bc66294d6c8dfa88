//! Tests of the limit on failed attempts.

use pos_domain::shared::{AttemptCounts, AttemptLimit, FailureWindow, TooManyFailures};
use time::{Duration, OffsetDateTime};

use crate::START;

const LIMIT: AttemptLimit = AttemptLimit { max_failures: 3, window: Duration::seconds(60) };

fn failed(times: u32) -> Option<FailureWindow> {
    (0..times).fold(None, |window, _| Some(LIMIT.count(window, START)))
}

fn after(seconds: i64) -> OffsetDateTime {
    START + Duration::seconds(seconds)
}

#[test]
fn only_failures_within_the_limit_return_their_own_error() {
    for (times, admitted, reported) in [(0, true, true), (2, true, true), (3, false, true), (4, false, false)] {
        for counts in [
            AttemptCounts { merchant: failed(times), user: None },
            AttemptCounts { merchant: None, user: failed(times) },
        ] {
            assert_eq!(LIMIT.admit(&counts, START).is_ok(), admitted, "after {times}");
            assert_eq!(LIMIT.admit_counted(&counts, START).is_ok(), reported, "the failure number {times}");
        }
    }
}

#[test]
fn a_window_ends_exactly_after_its_length() {
    let counts = AttemptCounts { merchant: failed(3), user: failed(1) };
    let refused = LIMIT.admit(&counts, after(59));
    assert_eq!(refused, Err(TooManyFailures { retry_after: Duration::seconds(1) }));
    assert_eq!(LIMIT.admit(&counts, after(60)), Ok(()));
}

#[test]
fn the_longer_wait_is_returned() {
    let merchant = Some(FailureWindow { started_at: START, failures: 3 });
    let user = Some(FailureWindow { started_at: after(10), failures: 3 });
    let refused = LIMIT.admit(&AttemptCounts { merchant, user }, after(20));
    assert_eq!(refused, Err(TooManyFailures { retry_after: Duration::seconds(50) }));
}

#[test]
fn failures_in_a_window_count_up_and_one_after_it_starts_another() {
    let window = LIMIT.count(failed(2), after(59));
    assert_eq!(window, FailureWindow { started_at: START, failures: 3 });
    assert_eq!(LIMIT.count(Some(window), after(60)), FailureWindow { started_at: after(60), failures: 1 });
}

#[test]
fn a_window_started_by_a_fast_clock_is_ignored() {
    let skew = AttemptLimit::MAX_CLOCK_SKEW;
    for (ahead, open) in [(skew, true), (skew + Duration::microseconds(1), false), (Duration::days(300), false)] {
        let window = FailureWindow { started_at: START + ahead, failures: 3 };
        assert_eq!(LIMIT.is_open(window.started_at, START), open, "{ahead}");
        assert_eq!(LIMIT.is_just_full(&window, START), open, "{ahead}");
        for counts in
            [AttemptCounts { merchant: Some(window), user: None }, AttemptCounts { merchant: None, user: Some(window) }]
        {
            assert_eq!(LIMIT.admit(&counts, START).is_err(), open, "{ahead}");
        }
        let counted = LIMIT.count(Some(window), START);
        let new_window = FailureWindow { started_at: START, failures: 1 };
        assert_eq!(counted, if open { FailureWindow { failures: 4, ..window } } else { new_window }, "{ahead}");
    }
    let longest = AttemptLimit { max_failures: 3, window: Duration::days(7) };
    let refused = longest.admit(&AttemptCounts { merchant: failed(3), user: None }, START);
    assert!(refused.is_err(), "a long window started by our own clock still counts");
}
