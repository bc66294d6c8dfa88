//! Tests of the checker: which orders of calls and responses are consistent.

use super::*;

const TTL: Instant = 20 * SECOND;
const AHEAD: Skew = Skew { least: 90 * SECOND, most: 90 * SECOND };

/// A checker, and a clock that advances with each call.
struct TestDevice {
    checker: Checker,
    now: Instant,
}

impl TestDevice {
    fn new() -> Self {
        Self { checker: Checker::new(TTL), now: 1_000 * SECOND }
    }

    fn send(&mut self, call: Call) -> CallId {
        self.send_to(call, Skew::NONE)
    }

    fn send_to(&mut self, call: Call, skew: Skew) -> CallId {
        self.now += SECOND / 10;
        self.checker.sent(call, skew, self.now)
    }

    fn answer(&mut self, id: CallId, outcome: Outcome) -> bool {
        self.now += SECOND / 10;
        match self.checker.answered(id, outcome, self.now) {
            Verdict::Consistent => true,
            Verdict::Contradicts(_) => false,
            Verdict::NotChecked => panic!("the device was abandoned"),
        }
    }

    fn lose(&mut self, id: CallId) {
        self.now += SECOND / 10;
        self.checker.lost(id, self.now);
    }

    fn call(&mut self, call: Call, outcome: Outcome) -> bool {
        let id = self.send(call);
        self.answer(id, outcome)
    }

    fn code(&mut self) -> CallId {
        let id = self.send(Call::Issue);
        assert!(self.answer(id, Outcome::Issued));
        id
    }

    fn claimed(&mut self) -> CallId {
        let code = self.code();
        assert!(self.call(Call::Claim { code, owner: true }, Outcome::Claimed));
        code
    }
}

#[test]
fn a_lifecycle_without_faults_is_consistent() {
    let mut device = TestDevice::new();
    assert!(device.call(Call::Poll, Outcome::Blank));
    let first = device.code();
    assert!(device.call(Call::Poll, Outcome::Pending));
    let code = device.code();
    assert!(device.call(Call::Claim { code: first, owner: true }, Outcome::CodeExpired), "it was superseded");
    assert!(device.call(Call::Claim { code, owner: false }, Outcome::NotOwner));
    assert!(device.call(Call::Claim { code, owner: true }, Outcome::Claimed));
    assert!(device.call(Call::Claim { code, owner: true }, Outcome::CodeUsed));
    assert!(device.call(Call::Poll, Outcome::IsClaimed));
    assert!(device.call(Call::Issue, Outcome::AlreadyClaimed));
    assert!(device.call(Call::Release, Outcome::Released));
    assert!(device.call(Call::Claim { code, owner: true }, Outcome::CodeUsed), "it stays used after the release");
    assert!(device.call(Call::Release, Outcome::NotClaimed));
    assert!(device.call(Call::Decommission, Outcome::Decommissioned));
    assert!(device.call(Call::Poll, Outcome::Unknown));
}

#[test]
fn a_code_that_is_accepted_twice_is_a_contradiction() {
    let mut device = TestDevice::new();
    let code = device.code();
    let (one, other) = (device.send(Call::Claim { code, owner: true }), device.send(Call::Claim { code, owner: true }));
    assert!(device.answer(one, Outcome::Claimed));
    assert!(!device.answer(other, Outcome::Claimed));
}

#[test]
fn a_code_that_is_accepted_again_after_a_release_is_a_contradiction() {
    let mut device = TestDevice::new();
    let code = device.claimed();
    assert!(device.call(Call::Release, Outcome::Released));
    assert!(!device.call(Call::Claim { code, owner: true }, Outcome::Claimed));
}

#[test]
fn a_lost_update_is_a_contradiction() {
    let mut device = TestDevice::new();
    device.claimed();
    assert!(!device.call(Call::Poll, Outcome::Pending), "the acknowledged claim was lost");
    let mut device = TestDevice::new();
    device.code();
    assert!(!device.call(Call::Poll, Outcome::Blank), "the acknowledged code was lost");
}

#[test]
fn a_superseded_code_that_is_accepted_is_a_contradiction() {
    let mut device = TestDevice::new();
    let superseded = device.code();
    device.code();
    assert!(!device.call(Call::Claim { code: superseded, owner: true }, Outcome::Claimed));
}

#[test]
fn a_claim_by_another_merchant_is_a_contradiction() {
    let mut device = TestDevice::new();
    let code = device.code();
    assert!(!device.call(Call::Claim { code, owner: false }, Outcome::Claimed));
}

#[test]
fn a_stale_response_after_a_newer_one_is_a_contradiction() {
    let mut device = TestDevice::new();
    let code = device.code();
    let claim = device.send(Call::Claim { code, owner: true });
    let poll = device.send(Call::Poll);
    assert!(device.answer(poll, Outcome::IsClaimed), "the claim is in progress");
    assert!(!device.call(Call::Poll, Outcome::Pending), "a claim that was observed cannot be undone");
    assert_eq!(device.checker.answered(claim, Outcome::Claimed, device.now), Verdict::NotChecked);
}

#[test]
fn a_lost_call_may_have_taken_effect_and_the_next_response_decides() {
    for (seen, then) in [(Outcome::IsClaimed, Outcome::Pending), (Outcome::Pending, Outcome::IsClaimed)] {
        let mut device = TestDevice::new();
        let code = device.code();
        let claim = device.send(Call::Claim { code, owner: true });
        device.lose(claim);
        assert!(device.call(Call::Poll, seen));
        let late = device.call(Call::Poll, then);
        assert_eq!(late, then == Outcome::IsClaimed, "it may still take effect, and cannot be undone");
    }
}

#[test]
fn a_call_that_was_lost_long_ago_cannot_take_effect() {
    let mut device = TestDevice::new();
    device.claimed();
    let release = device.send(Call::Release);
    device.lose(release);
    device.now += FORGET_AFTER + SECOND;
    assert!(device.call(Call::Poll, Outcome::IsClaimed));
    assert!(!device.call(Call::Poll, Outcome::Blank));
}

#[test]
fn a_lost_code_request_may_supersede_the_code_before() {
    for outcome in [Outcome::CodeExpired, Outcome::Claimed] {
        let mut device = TestDevice::new();
        let code = device.code();
        let lost = device.send(Call::Issue);
        device.lose(lost);
        assert!(device.call(Call::Claim { code, owner: true }, outcome));
    }
}

#[test]
fn a_code_expires_after_its_lifetime_and_not_before() {
    let mut device = TestDevice::new();
    device.code();
    assert!(!device.call(Call::Poll, Outcome::Expired), "too early");
    let mut device = TestDevice::new();
    device.code();
    device.now += TTL + SECOND;
    assert!(device.call(Call::Poll, Outcome::Expired));
    assert!(!device.call(Call::Poll, Outcome::Pending), "too late");
}

#[test]
fn a_replica_whose_clock_is_ahead_may_report_a_code_expired_and_nothing_else() {
    let mut device = TestDevice::new();
    let code = device.code();
    let poll = device.send_to(Call::Poll, AHEAD);
    assert!(device.answer(poll, Outcome::Expired));
    assert!(device.call(Call::Poll, Outcome::Pending), "the other replica's clock is right");
    let claim = device.send_to(Call::Claim { code, owner: true }, AHEAD);
    assert!(!device.answer(claim, Outcome::Claimed), "for that replica the code has expired");
}

#[test]
fn an_impossible_final_state_is_detected() {
    let mut device = TestDevice::new();
    let code = device.claimed();
    let is = |state: &State, status| state.status == status;
    assert!(device.checker.may_end_as(|state| is(state, Status::Claimed(code)), device.now));
    assert!(!device.checker.may_end_as(|state| is(state, Status::Inactive(None)), device.now));
}
