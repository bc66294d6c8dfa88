//! What a device may answer.
//!
//! A [`Checker`] follows one device. It is told of every call before it is sent and of every answer after it came, and
//! keeps all the ways in which the calls so far can have happened one after the other: each call at one instant between
//! its sending and its answer (this is a check for linearizability, by the method of Lowe, "Testing for
//! linearizability"). An answer that fits none of these ways is a violation. A call without an answer stays open: it
//! happened, or will happen, or never does, until [`FORGET_AFTER`].

mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};

pub(crate) use rules::{Call, Outcome, Standing, State};

use rules::{Moment, Window};

/// A call, by its number among the calls about its device. A code goes by the number of the call that asked for it.
pub(crate) type CallId = u32;

/// An instant: microseconds since 1970 by this machine's clock.
pub(crate) type Instant = i64;

/// One second of [`Instant`].
pub(crate) const SECOND: Instant = 1_000_000;

/// How long after its loss a call may still happen: the server ends a request after 15 s, and a statement may have lain
/// in a frozen database for as long as the longest fault lasts.
pub(crate) const FORGET_AFTER: Instant = 60 * SECOND;

/// More ways than this are not followed: the device is left alone, and the report counts it.
const MOST_WAYS: usize = 20_000;

/// How far apart two readings of one clock by two processes may be.
const SLACK: Instant = SECOND / 20;

/// By how much the clock of whoever answers may be off, at the least and at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skew {
    pub(crate) least: Instant,
    pub(crate) most: Instant,
}

impl Skew {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { least: 0, most: 0 };
}

/// One of the ways in which things can have happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way {
    state: State,
    /// Open calls that have happened, with what they will be answered if they are.
    done: BTreeMap<CallId, Outcome>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    call: Call,
    sent: Instant,
    skew: Skew,
    lost: Option<Instant>,
}

/// An answer that no way explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    pub(crate) answer: String,
    pub(crate) history: Vec<String>,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It fits.
    Consistent,
    /// It does not.
    Contradicts(Box<Contradiction>),
    /// Nobody looked: the device was given up before.
    NotChecked,
}

/// All that can be true of one device.
#[derive(Debug)]
pub(crate) struct Checker {
    ways: HashSet<Way>,
    open: BTreeMap<CallId, Open>,
    codes: BTreeMap<CallId, Window>,
    ttl: Instant,
    next: CallId,
    given_up: Option<&'static str>,
    history: VecDeque<String>,
}

impl Checker {
    /// A device that was just made known, whose codes are good for `ttl`.
    pub(crate) fn new(ttl: Instant) -> Self {
        let fresh = Way { state: State::fresh(), done: BTreeMap::new() };
        Self {
            ways: HashSet::from([fresh]),
            open: BTreeMap::new(),
            codes: BTreeMap::new(),
            ttl,
            next: 0,
            given_up: None,
            history: VecDeque::new(),
        }
    }

    /// A call is about to be sent.
    pub(crate) fn sent(&mut self, call: Call, skew: Skew, now: Instant) -> CallId {
        let id = self.next;
        self.next += 1;
        self.forget(now);
        self.open.insert(id, Open { call, sent: now, skew, lost: None });
        if call == Call::Issue {
            let earliest = now + skew.least + self.ttl - SLACK;
            self.codes.insert(id, Window { earliest, latest: Instant::MAX });
        }
        self.note(now, || format!("#{id} {call:?} sent, skew {} to {} s", skew.least / SECOND, skew.most / SECOND));
        id
    }

    /// The clock of whoever got a call may also have been another one: it was restarted meanwhile.
    pub(crate) fn widen(&mut self, id: CallId, skew: Skew) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.skew = Skew { least: open.skew.least.min(skew.least), most: open.skew.most.max(skew.most) };
        let (earliest, call) = (open.sent + open.skew.least + self.ttl - SLACK, open.call);
        if call == Call::Issue {
            self.codes.insert(id, Window { earliest, latest: Instant::MAX });
        }
    }

    /// No answer came, or one that does not say whether it happened.
    pub(crate) fn lost(&mut self, id: CallId, now: Instant) {
        self.note(now, || format!("#{id} lost"));
        let Some(open) = self.open.get_mut(&id) else { return };
        open.lost = Some(now);
        if open.call == Call::Look {
            self.close(id);
        }
    }

    /// The call never happened, and never will.
    pub(crate) fn withdrawn(&mut self, id: CallId, now: Instant) {
        self.note(now, || format!("#{id} was not let in"));
        self.ways.retain(|way| !way.done.contains_key(&id));
        self.close(id);
    }

    /// An answer came.
    pub(crate) fn answered(&mut self, id: CallId, outcome: Outcome, now: Instant) -> Verdict {
        self.note(now, || format!("#{id} {outcome:?}"));
        let Some(open) = self.open.get(&id).copied() else { return Verdict::NotChecked };
        if outcome == Outcome::Issued
            && let Some(window) = self.codes.get_mut(&id)
        {
            window.latest = now + open.skew.most + self.ttl + SLACK;
        }
        if self.given_up.is_some() {
            self.close(id);
            return Verdict::NotChecked;
        }
        self.forget(now);
        if !self.close_over(now) {
            self.give_up("too many ways");
            return Verdict::NotChecked;
        }
        self.ways.retain(|way| way.done.get(&id) == Some(&outcome));
        self.close(id);
        if self.ways.is_empty() {
            self.give_up("contradicted");
            let answer = format!("#{id} {:?} was answered {outcome:?}", open.call);
            let history = self.history.iter().cloned().collect();
            return Verdict::Contradicts(Box::new(Contradiction { answer, history }));
        }
        Verdict::Consistent
    }

    /// Whether a device that was found in the end as `found` fits, with nothing under way any more.
    pub(crate) fn may_be(&mut self, found: impl Fn(&State) -> bool, now: Instant) -> bool {
        if self.given_up.is_some() {
            return true;
        }
        !self.close_over(now) || self.ways.iter().any(|way| found(&way.state))
    }

    /// How many calls may or may not have happened.
    pub(crate) fn unsettled(&self) -> usize {
        self.open.values().filter(|open| open.lost.is_some()).count()
    }

    /// Why the device is not checked any more.
    pub(crate) fn given_up(&self) -> Option<&'static str> {
        self.given_up
    }

    /// What was sent and answered last.
    pub(crate) fn history(&self) -> Vec<String> {
        self.history.iter().cloned().collect()
    }

    fn give_up(&mut self, why: &'static str) {
        self.given_up = Some(why);
        self.ways.clear();
        self.open.clear();
    }

    /// Lets open calls happen in every order there is; false when there are too many.
    fn close_over(&mut self, now: Instant) -> bool {
        let mut todo: Vec<Way> = self.ways.iter().cloned().collect();
        while let Some(way) = todo.pop() {
            for (id, open) in &self.open {
                if way.done.contains_key(id) {
                    continue;
                }
                let moment =
                    Moment { earliest: open.sent + open.skew.least - SLACK, latest: now + open.skew.most + SLACK };
                for (outcome, state) in way.state.after(*id, open.call, moment, &self.codes) {
                    let mut next = Way { state, done: way.done.clone() };
                    next.done.insert(*id, outcome);
                    if self.ways.insert(next.clone()) {
                        todo.push(next);
                    }
                }
            }
            if self.ways.len() > MOST_WAYS {
                return false;
            }
        }
        true
    }

    /// Calls that were lost long ago have happened by now, or never will.
    fn forget(&mut self, now: Instant) {
        let old = |open: &Open| open.lost.is_some_and(|lost| now - lost > FORGET_AFTER);
        let gone: Vec<_> = self.open.iter().filter(|(_, open)| old(open)).map(|(id, _)| *id).collect();
        for id in gone {
            if self.close_over(now) {
                self.close(id);
            } else {
                self.give_up("too many ways");
            }
        }
    }

    fn close(&mut self, id: CallId) {
        self.open.remove(&id);
        self.ways = self
            .ways
            .drain()
            .map(|mut way| {
                way.done.remove(&id);
                way
            })
            .collect();
    }

    fn note(&mut self, now: Instant, what: impl FnOnce() -> String) {
        const KEPT: usize = 24;
        if self.history.len() == KEPT {
            self.history.pop_front();
        }
        self.history.push_back(format!("{}.{:03} {}", now / SECOND % 100_000, now % SECOND / 1_000, what()));
    }
}
