//! The bound on guessing.

use pos_domain::{ClaimLimit, ClaimStanding, FailureWindow, TooManyFailures};
use time::{Duration, OffsetDateTime};

use crate::START;

const LIMIT: ClaimLimit = ClaimLimit { max_failures: 3, window: Duration::seconds(60) };

fn failed(times: u32) -> Option<FailureWindow> {
    (0..times).fold(None, |window, _| Some(LIMIT.count(window, START)))
}

fn after(seconds: i64) -> OffsetDateTime {
    START + Duration::seconds(seconds)
}

#[test]
fn so_many_failures_are_told_and_no_more() {
    for (times, admitted, told) in [(0, true, true), (2, true, true), (3, false, true), (4, false, false)] {
        for standing in [
            ClaimStanding { merchant: failed(times), user: None },
            ClaimStanding { merchant: None, user: failed(times) },
        ] {
            assert_eq!(LIMIT.admit(&standing, START).is_ok(), admitted, "after {times}");
            assert_eq!(LIMIT.admit_counted(&standing, START).is_ok(), told, "the failure number {times}");
        }
    }
}

#[test]
fn the_window_passes_at_its_very_end() {
    let standing = ClaimStanding { merchant: failed(3), user: failed(1) };
    let refused = LIMIT.admit(&standing, after(59));
    assert_eq!(refused, Err(TooManyFailures { retry_after: Duration::seconds(1) }));
    assert_eq!(LIMIT.admit(&standing, after(60)), Ok(()));
}

#[test]
fn the_longer_wait_is_told() {
    let merchant = Some(FailureWindow { started_at: START, failures: 3 });
    let user = Some(FailureWindow { started_at: after(10), failures: 3 });
    let refused = LIMIT.admit(&ClaimStanding { merchant, user }, after(20));
    assert_eq!(refused, Err(TooManyFailures { retry_after: Duration::seconds(50) }));
}

#[test]
fn failures_in_a_window_count_up_and_one_after_it_starts_another() {
    let window = LIMIT.count(failed(2), after(59));
    assert_eq!(window, FailureWindow { started_at: START, failures: 3 });
    assert_eq!(LIMIT.count(Some(window), after(60)), FailureWindow { started_at: after(60), failures: 1 });
}

#[test]
fn a_window_that_a_fast_clock_began_is_over() {
    let skew = ClaimLimit::MAX_CLOCK_SKEW;
    for (ahead, open) in [(skew, true), (skew + Duration::microseconds(1), false), (Duration::days(300), false)] {
        let window = FailureWindow { started_at: START + ahead, failures: 3 };
        assert_eq!(LIMIT.is_open(window.started_at, START), open, "{ahead}");
        assert_eq!(LIMIT.is_just_full(&window, START), open, "{ahead}");
        for standing in
            [ClaimStanding { merchant: Some(window), user: None }, ClaimStanding { merchant: None, user: Some(window) }]
        {
            assert_eq!(LIMIT.admit(&standing, START).is_err(), open, "{ahead}");
        }
        let counted = LIMIT.count(Some(window), START);
        let anew = FailureWindow { started_at: START, failures: 1 };
        assert_eq!(counted, if open { FailureWindow { failures: 4, ..window } } else { anew }, "{ahead}");
    }
    let longest = ClaimLimit { max_failures: 3, window: Duration::days(7) };
    let refused = longest.admit(&ClaimStanding { merchant: failed(3), user: None }, START);
    assert!(refused.is_err(), "a long window of our own clock is none of these");
}
