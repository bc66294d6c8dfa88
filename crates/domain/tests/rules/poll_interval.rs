//! Tests of the recommended poll interval.

use pos_domain::pairing::PollInterval;
use time::Duration;

use crate::{START, TTL, activated, claimed, inactive, pending};

#[test]
fn the_documented_interval_applies_while_a_code_is_pending() {
    let last = START + TTL - Duration::microseconds(1);
    for now in [START, last] {
        let interval = pending().next_poll(now).unwrap();
        let longest = interval.earliest + interval.spread;
        assert_eq!((interval.earliest, longest), (Duration::seconds(3), Duration::seconds(5)));
    }
}

#[test]
fn after_expiry_the_interval_grows_up_to_a_minute() {
    let mut before = PollInterval::PENDING;
    for seconds in (0..4_000).step_by(7) {
        let interval = pending().next_poll(START + TTL + Duration::seconds(seconds)).unwrap();
        let grown = interval.earliest >= before.earliest && interval.spread >= before.spread;
        assert!(grown, "{interval:?} after {before:?}");
        assert!(interval.earliest + interval.spread <= PollInterval::LONGEST, "{interval:?}");
        before = interval;
    }
    assert_eq!(before.earliest + before.spread, PollInterval::LONGEST);
}

#[test]
fn no_poll_is_recommended_without_a_code_or_once_claimed() {
    for device in [inactive(), claimed(), activated()] {
        assert_eq!(device.next_poll(START + TTL), None);
    }
}
