use super::*;

const TTL: Instant = 20 * SECOND;
const AHEAD: Skew = Skew { least: 90 * SECOND, most: 90 * SECOND };

/// A device, and a clock that each call moves on.
struct Told {
    checker: Checker,
    now: Instant,
}

impl Told {
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
            Verdict::NotChecked => panic!("nobody looked"),
        }
    }

    fn lose(&mut self, id: CallId) {
        self.now += SECOND / 10;
        self.checker.lost(id, self.now);
    }

    fn all(&mut self, call: Call, outcome: Outcome) -> bool {
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
        assert!(self.all(Call::Claim { code, owner: true }, Outcome::Claimed));
        code
    }
}

#[test]
fn a_life_without_faults_is_consistent() {
    let mut told = Told::new();
    assert!(told.all(Call::Look, Outcome::Blank));
    let first = told.code();
    assert!(told.all(Call::Look, Outcome::Pending));
    let code = told.code();
    assert!(told.all(Call::Claim { code: first, owner: true }, Outcome::CodeExpired), "another took its place");
    assert!(told.all(Call::Claim { code, owner: false }, Outcome::NotOwner));
    assert!(told.all(Call::Claim { code, owner: true }, Outcome::Claimed));
    assert!(told.all(Call::Claim { code, owner: true }, Outcome::CodeUsed));
    assert!(told.all(Call::Look, Outcome::IsClaimed));
    assert!(told.all(Call::Issue, Outcome::AlreadyClaimed));
    assert!(told.all(Call::Release, Outcome::Released));
    assert!(told.all(Call::Claim { code, owner: true }, Outcome::CodeUsed), "it stays used after the release");
    assert!(told.all(Call::Release, Outcome::NotClaimed));
    assert!(told.all(Call::Decommission, Outcome::Decommissioned));
    assert!(told.all(Call::Look, Outcome::Unknown));
}

#[test]
fn one_code_accepted_twice_is_seen() {
    let mut told = Told::new();
    let code = told.code();
    let (one, other) = (told.send(Call::Claim { code, owner: true }), told.send(Call::Claim { code, owner: true }));
    assert!(told.answer(one, Outcome::Claimed));
    assert!(!told.answer(other, Outcome::Claimed));
}

#[test]
fn one_code_accepted_again_after_a_release_is_seen() {
    let mut told = Told::new();
    let code = told.claimed();
    assert!(told.all(Call::Release, Outcome::Released));
    assert!(!told.all(Call::Claim { code, owner: true }, Outcome::Claimed));
}

#[test]
fn a_lost_success_is_seen() {
    let mut told = Told::new();
    told.claimed();
    assert!(!told.all(Call::Look, Outcome::Pending), "the claim was answered, and is gone");
    let mut told = Told::new();
    told.code();
    assert!(!told.all(Call::Look, Outcome::Blank), "the code was answered, and is gone");
}

#[test]
fn a_retired_code_that_is_accepted_is_seen() {
    let mut told = Told::new();
    let retired = told.code();
    told.code();
    assert!(!told.all(Call::Claim { code: retired, owner: true }, Outcome::Claimed));
}

#[test]
fn another_merchants_success_is_seen() {
    let mut told = Told::new();
    let code = told.code();
    assert!(!told.all(Call::Claim { code, owner: false }, Outcome::Claimed));
}

#[test]
fn an_old_answer_after_a_newer_one_is_seen() {
    let mut told = Told::new();
    let code = told.code();
    let claim = told.send(Call::Claim { code, owner: true });
    let look = told.send(Call::Look);
    assert!(told.answer(look, Outcome::IsClaimed), "the claim is under way");
    assert!(!told.all(Call::Look, Outcome::Pending), "it was seen before, and cannot be undone");
    assert_eq!(told.checker.answered(claim, Outcome::Claimed, told.now), Verdict::NotChecked);
}

#[test]
fn a_lost_call_may_have_happened_or_not_and_the_next_answer_settles_it() {
    for (seen, then) in [(Outcome::IsClaimed, Outcome::Pending), (Outcome::Pending, Outcome::IsClaimed)] {
        let mut told = Told::new();
        let code = told.code();
        let claim = told.send(Call::Claim { code, owner: true });
        told.lose(claim);
        assert!(told.all(Call::Look, seen));
        let late = told.all(Call::Look, then);
        assert_eq!(late, then == Outcome::IsClaimed, "it may still happen, and cannot be undone");
    }
}

#[test]
fn a_call_that_was_lost_long_ago_happens_no_more() {
    let mut told = Told::new();
    told.claimed();
    let release = told.send(Call::Release);
    told.lose(release);
    told.now += FORGET_AFTER + SECOND;
    assert!(told.all(Call::Look, Outcome::IsClaimed));
    assert!(!told.all(Call::Look, Outcome::Blank));
}

#[test]
fn a_lost_request_for_a_code_may_retire_the_one_before() {
    for outcome in [Outcome::CodeExpired, Outcome::Claimed] {
        let mut told = Told::new();
        let code = told.code();
        let lost = told.send(Call::Issue);
        told.lose(lost);
        assert!(told.all(Call::Claim { code, owner: true }, outcome));
    }
}

#[test]
fn a_code_expires_in_time_and_not_before() {
    let mut told = Told::new();
    told.code();
    assert!(!told.all(Call::Look, Outcome::Expired), "too early");
    let mut told = Told::new();
    told.code();
    told.now += TTL + SECOND;
    assert!(told.all(Call::Look, Outcome::Expired));
    assert!(!told.all(Call::Look, Outcome::Pending), "too late");
}

#[test]
fn a_replica_ahead_of_time_may_call_a_code_expired_and_nothing_more() {
    let mut told = Told::new();
    let code = told.code();
    let look = told.send_to(Call::Look, AHEAD);
    assert!(told.answer(look, Outcome::Expired));
    assert!(told.all(Call::Look, Outcome::Pending), "the other replica is right");
    let claim = told.send_to(Call::Claim { code, owner: true }, AHEAD);
    assert!(!told.answer(claim, Outcome::Claimed), "for that replica it is over");
}

#[test]
fn an_end_that_cannot_be_is_seen() {
    let mut told = Told::new();
    let code = told.claimed();
    let is = |state: &State, standing| state.now == standing;
    assert!(told.checker.may_be(|state| is(state, rules::Standing::Claimed(code)), told.now));
    assert!(!told.checker.may_be(|state| is(state, rules::Standing::Inactive(None)), told.now));
}
