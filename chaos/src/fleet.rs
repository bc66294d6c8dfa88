//! Simulated fleet: the devices with their model checkers, their screens, and the changes that the server acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::history::ScenarioHistory;
use crate::model::{Call, CallId, Checker, Instant, Outcome, Verdict};
use crate::replica::Replica;
use crate::time::now;

/// A code on a terminal's screen, now or earlier.
#[derive(Clone)]
pub(crate) struct DisplayedCode {
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
    displayed: Option<DisplayedCode>,
    /// Earlier codes, the latest last.
    earlier: VecDeque<DisplayedCode>,
    claimed_since: Option<Instant>,
}

/// Changes that the server acknowledged, to be checked in the database afterwards.
#[derive(Default)]
pub(crate) struct Acknowledged {
    /// Each issued code, with the devices that got it.
    pub(crate) codes: HashMap<String, Vec<String>>,
    /// Device, kind of event, trace id.
    pub(crate) changes: Vec<(String, &'static str, String)>,
    /// Labels of creation requests, with the device id of the response.
    pub(crate) created: HashMap<String, Option<String>>,
    /// Ids of imported rows.
    pub(crate) imported: Vec<String>,
}

/// One terminal of a merchant. When its device is decommissioned, a new device replaces it.
pub(crate) struct Slot {
    pub(crate) merchant: usize,
    device: RwLock<Arc<Device>>,
}

/// All devices of a scenario.
pub(crate) struct Fleet {
    pub(crate) slots: Vec<Slot>,
    ttl: Instant,
    replaced: Mutex<Vec<Arc<Device>>>,
    acknowledged: Mutex<Acknowledged>,
}

/// A call that was sent and has no response yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentCall {
    call: Call,
    pub(crate) id: CallId,
    pub(crate) at: Instant,
}

impl Device {
    fn new(id: String, ttl: Instant) -> Arc<Self> {
        Arc::new(Self { id, checker: Mutex::new(Checker::new(ttl)), screen: Mutex::default() })
    }

    /// Registers a call that is about to be sent.
    pub(crate) fn begin(&self, call: Call, to: &Replica) -> SentCall {
        let at = now();
        SentCall { call, id: self.checker().sent(call, to.skew(at), at), at }
    }

    /// Records that no response says whether the call was processed.
    pub(crate) fn mark_lost(&self, sent: SentCall, to: &Replica) {
        let mut checker = self.checker();
        checker.widen(sent.id, to.skew(sent.at));
        checker.lost(sent.id, now());
    }

    /// Records that the call was rejected before it could affect the device.
    pub(crate) fn withdraw(&self, sent: SentCall) {
        self.checker().withdrawn(sent.id, now());
    }

    /// Checks a response against the model, and records a contradiction.
    pub(crate) fn check_response(&self, sent: SentCall, outcome: Outcome, from: &Replica, history: &ScenarioHistory) {
        // Polls may be long, on purpose.
        if sent.call != Call::Poll {
            history.check_change(&self.id, sent.at);
        }
        let verdict = {
            let mut checker = self.checker();
            checker.widen(sent.id, from.skew(sent.at));
            checker.answered(sent.id, outcome, now())
        };
        match verdict {
            Verdict::Consistent => {}
            Verdict::NotChecked => history.count("responses of abandoned devices", "not checked"),
            Verdict::Contradicts(contradiction) => {
                history.contradiction(&format!("{} by {}", self.id, from.name), *contradiction);
            }
        }
    }

    pub(crate) fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Displays a code, or none.
    pub(crate) fn display(&self, next: Option<DisplayedCode>) {
        const MAX_EARLIER: usize = 4;
        let mut screen = self.screen();
        if let Some(last) = std::mem::replace(&mut screen.displayed, next) {
            screen.earlier.push_back(last);
            if screen.earlier.len() > MAX_EARLIER {
                screen.earlier.pop_front();
            }
        }
    }

    pub(crate) fn displayed_code(&self) -> Option<DisplayedCode> {
        self.screen().displayed.clone()
    }

    pub(crate) fn earlier_code(&self) -> Option<DisplayedCode> {
        self.screen().earlier.back().cloned()
    }

    pub(crate) fn set_claimed(&self, claimed: bool) {
        let since = &mut self.screen().claimed_since;
        *since = if claimed { Some(since.unwrap_or_else(now)) } else { None };
    }

    pub(crate) fn claimed_since(&self) -> Option<Instant> {
        self.screen().claimed_since
    }

    /// Whether too many calls are unresolved, so that the device should not be called for a while.
    pub(crate) fn is_unresolved(&self) -> bool {
        const MANY: usize = 5;
        self.checker().unresolved_calls() >= MANY
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
        Self { slots, ttl, replaced: Mutex::default(), acknowledged: Mutex::default() }
    }

    /// Replaces the device of a slot.
    pub(crate) fn replace(&self, slot: &Slot, id: String) {
        let new = Device::new(id, self.ttl);
        let old = std::mem::replace(&mut *slot.device.write().unwrap_or_else(PoisonError::into_inner), new);
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).push(old);
    }

    /// All current and replaced devices.
    pub(crate) fn all_devices(&self) -> Vec<Arc<Device>> {
        let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        self.slots.iter().map(Slot::device).chain(replaced.iter().cloned()).collect()
    }

    pub(crate) fn acknowledged(&self) -> MutexGuard<'_, Acknowledged> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an issued code. True if no other device ever had it, which is nearly always the case.
    pub(crate) fn record_code(&self, code: &str, device: &str) -> bool {
        let mut acknowledged = self.acknowledged();
        let devices = acknowledged.codes.entry(code.to_owned()).or_default();
        devices.push(device.to_owned());
        devices.len() == 1
    }

    /// Whether a code was issued more than once.
    pub(crate) fn is_shared(&self, code: &str) -> bool {
        self.acknowledged().codes.get(code).is_some_and(|devices| devices.len() > 1)
    }
}
