//! Linearizability checker for the responses about one device.
//!
//! A [`Checker`] records each call of a device before it is sent and each response after it arrived. It maintains all
//! linearizations of the calls so far, in which each call takes effect at one instant between request and response (the
//! method of Lowe, "Testing for linearizability"). A response that no linearization explains is a violation. A call
//! without a response stays open: it may have taken effect, may still do so, or never will, until [`FORGET_AFTER`].

mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};

pub(crate) use rules::{Call, Outcome, State, Status};

use rules::{ClockRange, ExpiryRange};

/// Number of a call among the calls about its device. A code is identified by the call that requested it.
pub(crate) type CallId = u32;

/// Microseconds since 1970 by the local clock.
pub(crate) type Instant = i64;

/// One second of [`Instant`].
pub(crate) const SECOND: Instant = 1_000_000;

/// How long a lost call may still take effect: the server ends a request after 15 s, and a statement may wait in a frozen
/// database for as long as the longest fault lasts.
pub(crate) const FORGET_AFTER: Instant = 60 * SECOND;

/// Limit for the number of linearizations. A device that exceeds it is abandoned, and counted in the report.
const MAX_LINEARIZATIONS: usize = 20_000;

/// Maximum difference between two readings of the same clock by two processes.
const SLACK: Instant = SECOND / 20;

/// Range of the clock skew of the server that responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skew {
    pub(crate) least: Instant,
    pub(crate) most: Instant,
}

impl Skew {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { least: 0, most: 0 };
}

/// A possible order of the calls so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Linearization {
    state: State,
    /// Open calls that have taken effect, with the response they must get.
    done: BTreeMap<CallId, Outcome>,
}

#[derive(Debug, Clone, Copy)]
struct OpenCall {
    call: Call,
    sent: Instant,
    skew: Skew,
    lost: Option<Instant>,
}

/// A response that no linearization explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    pub(crate) answer: String,
    pub(crate) recent_calls: Vec<String>,
}

/// The result of checking a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A linearization explains it.
    Consistent,
    /// No linearization explains it.
    Contradicts(Box<Contradiction>),
    /// The device was abandoned before.
    NotChecked,
}

/// The possible states of one device.
#[derive(Debug)]
pub(crate) struct Checker {
    linearizations: HashSet<Linearization>,
    open: BTreeMap<CallId, OpenCall>,
    codes: BTreeMap<CallId, ExpiryRange>,
    ttl: Instant,
    next: CallId,
    /// Why the device is no longer checked.
    abandoned: Option<&'static str>,
    recent_calls: VecDeque<String>,
}

impl Checker {
    /// The checker of a newly provisioned device, whose codes expire after `ttl`.
    pub(crate) fn new(ttl: Instant) -> Self {
        let initial = Linearization { state: State::initial(), done: BTreeMap::new() };
        Self {
            linearizations: HashSet::from([initial]),
            open: BTreeMap::new(),
            codes: BTreeMap::new(),
            ttl,
            next: 0,
            abandoned: None,
            recent_calls: VecDeque::new(),
        }
    }

    /// Records a call that is about to be sent.
    pub(crate) fn sent(&mut self, call: Call, skew: Skew, now: Instant) -> CallId {
        let id = self.next;
        self.next += 1;
        self.expire_lost(now);
        self.open.insert(id, OpenCall { call, sent: now, skew, lost: None });
        if call == Call::Issue {
            let earliest = now + skew.least + self.ttl - SLACK;
            self.codes.insert(id, ExpiryRange { earliest, latest: Instant::MAX });
        }
        self.note(now, || format!("#{id} {call:?} sent, skew {} to {} s", skew.least / SECOND, skew.most / SECOND));
        id
    }

    /// Widens the skew of a call, because its server was restarted with another clock meanwhile.
    pub(crate) fn widen(&mut self, id: CallId, skew: Skew) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.skew = Skew { least: open.skew.least.min(skew.least), most: open.skew.most.max(skew.most) };
        let (earliest, call) = (open.sent + open.skew.least + self.ttl - SLACK, open.call);
        if call == Call::Issue {
            self.codes.insert(id, ExpiryRange { earliest, latest: Instant::MAX });
        }
    }

    /// Records that no response says whether the call took effect.
    pub(crate) fn lost(&mut self, id: CallId, now: Instant) {
        self.note(now, || format!("#{id} lost"));
        let Some(open) = self.open.get_mut(&id) else { return };
        open.lost = Some(now);
        if open.call == Call::Poll {
            self.close(id);
        }
    }

    /// Records that the call did not take effect and never will.
    pub(crate) fn withdrawn(&mut self, id: CallId, now: Instant) {
        self.note(now, || format!("#{id} was rejected"));
        self.linearizations.retain(|linearization| !linearization.done.contains_key(&id));
        self.close(id);
    }

    /// Checks a response.
    pub(crate) fn answered(&mut self, id: CallId, outcome: Outcome, now: Instant) -> Verdict {
        self.note(now, || format!("#{id} {outcome:?}"));
        let Some(open) = self.open.get(&id).copied() else { return Verdict::NotChecked };
        if outcome == Outcome::Issued
            && let Some(expiry) = self.codes.get_mut(&id)
        {
            expiry.latest = now + open.skew.most + self.ttl + SLACK;
        }
        if self.abandoned.is_some() {
            self.close(id);
            return Verdict::NotChecked;
        }
        self.expire_lost(now);
        if !self.expand(now) {
            self.abandon("too many linearizations");
            return Verdict::NotChecked;
        }
        self.linearizations.retain(|linearization| linearization.done.get(&id) == Some(&outcome));
        self.close(id);
        if self.linearizations.is_empty() {
            self.abandon("contradicted");
            let answer = format!("#{id} {:?} was answered {outcome:?}", open.call);
            let recent_calls = self.recent_calls.iter().cloned().collect();
            return Verdict::Contradicts(Box::new(Contradiction { answer, recent_calls }));
        }
        Verdict::Consistent
    }

    /// Whether a final state that `matches` accepts is possible, after all calls have ended.
    pub(crate) fn may_end_as(&mut self, matches: impl Fn(&State) -> bool, now: Instant) -> bool {
        if self.abandoned.is_some() {
            return true;
        }
        !self.expand(now) || self.linearizations.iter().any(|linearization| matches(&linearization.state))
    }

    /// How many lost calls may or may not have taken effect.
    pub(crate) fn unresolved_calls(&self) -> usize {
        self.open.values().filter(|open| open.lost.is_some()).count()
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.is_some()
    }

    /// The last calls and responses.
    pub(crate) fn recent_calls(&self) -> Vec<String> {
        self.recent_calls.iter().cloned().collect()
    }

    fn abandon(&mut self, why: &'static str) {
        self.abandoned = Some(why);
        self.linearizations.clear();
        self.open.clear();
    }

    /// Adds all linearizations in which open calls have taken effect; false if there are too many.
    fn expand(&mut self, now: Instant) -> bool {
        let mut todo: Vec<Linearization> = self.linearizations.iter().cloned().collect();
        while let Some(linearization) = todo.pop() {
            for (id, open) in &self.open {
                if linearization.done.contains_key(id) {
                    continue;
                }
                let clock =
                    ClockRange { earliest: open.sent + open.skew.least - SLACK, latest: now + open.skew.most + SLACK };
                for (outcome, state) in linearization.state.transitions(*id, open.call, clock, &self.codes) {
                    let mut next = Linearization { state, done: linearization.done.clone() };
                    next.done.insert(*id, outcome);
                    if self.linearizations.insert(next.clone()) {
                        todo.push(next);
                    }
                }
            }
            if self.linearizations.len() > MAX_LINEARIZATIONS {
                return false;
            }
        }
        true
    }

    /// Closes calls that were lost long ago: they have taken effect by now, or never will.
    fn expire_lost(&mut self, now: Instant) {
        let is_old = |open: &OpenCall| open.lost.is_some_and(|lost| now - lost > FORGET_AFTER);
        let expired: Vec<_> = self.open.iter().filter(|(_, open)| is_old(open)).map(|(id, _)| *id).collect();
        for id in expired {
            if self.expand(now) {
                self.close(id);
            } else {
                self.abandon("too many linearizations");
            }
        }
    }

    fn close(&mut self, id: CallId) {
        self.open.remove(&id);
        self.linearizations = self
            .linearizations
            .drain()
            .map(|mut linearization| {
                linearization.done.remove(&id);
                linearization
            })
            .collect();
    }

    fn note(&mut self, now: Instant, what: impl FnOnce() -> String) {
        const MAX_RECENT: usize = 24;
        if self.recent_calls.len() == MAX_RECENT {
            self.recent_calls.pop_front();
        }
        self.recent_calls.push_back(format!("{}.{:03} {}", now / SECOND % 100_000, now % SECOND / 1_000, what()));
    }
}
