//! How soon a terminal should ask again.

use pos_domain::PollWindow;
use time::Duration;

use crate::{START, TTL, activated, claimed, inactive, pending};

#[test]
fn a_terminal_polls_in_the_documented_rhythm_while_its_code_is_pending() {
    let last = START + TTL - Duration::microseconds(1);
    for now in [START, last] {
        let window = pending().next_poll(now).unwrap();
        assert_eq!((window.earliest, window.earliest + window.spread), (Duration::seconds(3), Duration::seconds(5)));
    }
}

#[test]
fn after_expiry_it_waits_longer_and_longer_up_to_a_minute() {
    let mut before = PollWindow::PENDING;
    for seconds in (0..4_000).step_by(7) {
        let window = pending().next_poll(START + TTL + Duration::seconds(seconds)).unwrap();
        assert!(window.earliest >= before.earliest && window.spread >= before.spread, "{window:?} after {before:?}");
        assert!(window.earliest + window.spread <= PollWindow::LONGEST, "{window:?}");
        before = window;
    }
    assert_eq!(before.earliest + before.spread, PollWindow::LONGEST);
}

#[test]
fn there_is_nothing_to_wait_for_without_a_code_or_once_claimed() {
    for device in [inactive(), claimed(), activated()] {
        assert_eq!(device.next_poll(START + TTL), None);
    }
}
