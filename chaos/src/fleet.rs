//! The devices, what is known of each, and how an answer about one is judged.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::ledger::Ledger;
use crate::model::{Call, CallId, Checker, Instant, Outcome, Verdict};
use crate::replica::Replica;
use crate::time::now;

/// A code that a terminal shows or showed.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) call: CallId,
    pub(crate) symbols: String,
}

/// One device.
pub(crate) struct Device {
    pub(crate) id: String,
    checker: Mutex<Checker>,
    screen: Mutex<Screen>,
}

#[derive(Default)]
struct Screen {
    shown: Option<Shown>,
    /// Codes of before, the latest last.
    before: VecDeque<Shown>,
    claimed_since: Option<Instant>,
}

/// What was answered with success, to be looked for in the database afterwards.
#[derive(Default)]
pub(crate) struct Promises {
    /// Each code, and whose.
    pub(crate) codes: HashMap<String, Vec<String>>,
    /// Device, kind of event, trace id.
    pub(crate) changes: Vec<(String, &'static str, String)>,
    /// Labels of creating calls, with the id that was answered.
    pub(crate) created: HashMap<String, Option<String>>,
    /// Ids of imported rows.
    pub(crate) imported: Vec<String>,
}

/// Where a merchant's terminal stands. When a device is taken out of use, another takes its place.
pub(crate) struct Slot {
    pub(crate) merchant: usize,
    device: RwLock<Arc<Device>>,
}

/// All of them.
pub(crate) struct Fleet {
    pub(crate) slots: Vec<Slot>,
    ttl: Instant,
    retired: Mutex<Vec<Arc<Device>>>,
    promises: Mutex<Promises>,
}

/// A call that was sent and not yet answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    call: Call,
    pub(crate) id: CallId,
    pub(crate) at: Instant,
}

impl Device {
    fn new(id: String, ttl: Instant) -> Arc<Self> {
        Arc::new(Self { id, checker: Mutex::new(Checker::new(ttl)), screen: Mutex::default() })
    }

    /// About to send.
    pub(crate) fn send(&self, call: Call, to: &Replica) -> Sent {
        let at = now();
        Sent { call, id: self.checker().sent(call, to.skew(at), at), at }
    }

    /// No answer that says what happened.
    pub(crate) fn lose(&self, sent: Sent, to: &Replica) {
        let mut checker = self.checker();
        checker.widen(sent.id, to.skew(sent.at));
        checker.lost(sent.id, now());
    }

    /// It was kept out before it came to the device.
    pub(crate) fn withdraw(&self, sent: Sent) {
        self.checker().withdrawn(sent.id, now());
    }

    /// An answer: it is judged, and a contradiction is entered.
    pub(crate) fn hear(&self, sent: Sent, outcome: Outcome, from: &Replica, ledger: &Ledger) {
        // Looks may be held back, on purpose.
        if sent.call != Call::Look {
            ledger.changed(&self.id, sent.at);
        }
        let verdict = {
            let mut checker = self.checker();
            checker.widen(sent.id, from.skew(sent.at));
            checker.answered(sent.id, outcome, now())
        };
        match verdict {
            Verdict::Consistent => {}
            Verdict::NotChecked => ledger.count("answers of given-up devices", "not checked"),
            Verdict::Contradicts(found) => ledger.contradiction(&format!("{} by {}", self.id, from.name), *found),
        }
    }

    pub(crate) fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a code, or none; the one before is one of before.
    pub(crate) fn show(&self, next: Option<Shown>) {
        const KEPT: usize = 4;
        let mut screen = self.screen();
        if let Some(last) = std::mem::replace(&mut screen.shown, next) {
            screen.before.push_back(last);
            if screen.before.len() > KEPT {
                screen.before.pop_front();
            }
        }
    }

    pub(crate) fn shown(&self) -> Option<Shown> {
        self.screen().shown.clone()
    }

    pub(crate) fn shown_before(&self) -> Option<Shown> {
        self.screen().before.back().cloned()
    }

    pub(crate) fn see_claimed(&self, claimed: bool) {
        let since = &mut self.screen().claimed_since;
        *since = if claimed { Some(since.unwrap_or_else(now)) } else { None };
    }

    pub(crate) fn claimed_since(&self) -> Option<Instant> {
        self.screen().claimed_since
    }

    /// Whether so many calls are unsettled that it had better be left alone for a while.
    pub(crate) fn is_unsettled(&self) -> bool {
        const MANY: usize = 5;
        self.checker().unsettled() >= MANY
    }
}

impl Slot {
    pub(crate) fn device(&self) -> Arc<Device> {
        self.device.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Fleet {
    pub(crate) fn new(ids: Vec<Vec<String>>, ttl: Instant) -> Self {
        let slot = |merchant, id| Slot { merchant, device: RwLock::new(Device::new(id, ttl)) };
        let of = |(merchant, ids): (usize, Vec<String>)| ids.into_iter().map(move |id| (merchant, id));
        let slots = ids.into_iter().enumerate().flat_map(of).map(|(merchant, id)| slot(merchant, id)).collect();
        Self { slots, ttl, retired: Mutex::default(), promises: Mutex::default() }
    }

    /// Puts a new device where an old one stood.
    pub(crate) fn replace(&self, slot: &Slot, id: String) {
        let new = Device::new(id, self.ttl);
        let old = std::mem::replace(&mut *slot.device.write().unwrap_or_else(PoisonError::into_inner), new);
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(old);
    }

    /// Every device there ever was.
    pub(crate) fn everything(&self) -> Vec<Arc<Device>> {
        let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        self.slots.iter().map(Slot::device).chain(retired.iter().cloned()).collect()
    }

    pub(crate) fn promises(&self) -> MutexGuard<'_, Promises> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A code was given out. True when no other device ever had it, as is nearly always so.
    pub(crate) fn given_out(&self, code: &str, device: &str) -> bool {
        let mut promises = self.promises();
        let holders = promises.codes.entry(code.to_owned()).or_default();
        holders.push(device.to_owned());
        holders.len() == 1
    }

    /// Whether a code was given out more than once.
    pub(crate) fn is_shared(&self, code: &str) -> bool {
        self.promises().codes.get(code).is_some_and(|holders| holders.len() > 1)
    }
}
