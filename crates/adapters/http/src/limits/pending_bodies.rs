//! Limit of incomplete request bodies, in total and per caller.
//!
//! A request that waits for its body holds no permit, only memory for the received part and its connection. One body over
//! the limit aborts the oldest body of the same caller, or of the caller with the most bodies. Callers that finish their
//! bodies are served, however many others never do.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use futures_util::future::{AbortHandle, AbortRegistration};
use pos_domain::shared::UserId;

/// Caller whose bodies are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    /// A caller whose token was verified.
    Account(UserId),
    /// An unauthenticated caller, by the network of its address.
    Network(Option<IpAddr>),
}

/// Incomplete bodies of one worker.
pub(crate) struct PendingBodies {
    max: usize,
    next: Cell<u64>,
    count: Cell<usize>,
    by_sender: RefCell<HashMap<Sender, BTreeMap<u64, AbortHandle>>>,
}

/// An incomplete body, counted until this is dropped.
pub(crate) struct PendingBody {
    all: Rc<PendingBodies>,
    sender: Sender,
    number: u64,
}

impl PendingBodies {
    pub(crate) fn new(max: usize) -> Rc<Self> {
        Rc::new(Self { max, next: Cell::default(), count: Cell::default(), by_sender: RefCell::default() })
    }

    /// Counts a body. The caller must make its wait abortable with the returned registration.
    pub(crate) fn begin(self: &Rc<Self>, sender: Sender) -> (PendingBody, AbortRegistration) {
        let mut by_sender = self.by_sender.borrow_mut();
        let sender_count = by_sender.get(&sender).map_or(0, BTreeMap::len);
        if sender_count >= self.max.div_ceil(2) {
            self.abort_oldest(by_sender.get_mut(&sender));
        } else if self.count.get() >= self.max {
            self.abort_oldest(by_sender.values_mut().max_by_key(|bodies| bodies.len()));
        }
        let (handle, registration) = AbortHandle::new_pair();
        let number = self.next.get();
        self.next.set(number + 1);
        self.count.set(self.count.get() + 1);
        by_sender.entry(sender.clone()).or_default().insert(number, handle);
        (PendingBody { all: Rc::clone(self), sender, number }, registration)
    }

    fn abort_oldest(&self, bodies: Option<&mut BTreeMap<u64, AbortHandle>>) {
        if let Some((_, oldest)) = bodies.and_then(BTreeMap::pop_first) {
            self.count.set(self.count.get() - 1);
            oldest.abort();
        }
    }
}

impl Drop for PendingBody {
    fn drop(&mut self) {
        let mut by_sender = self.all.by_sender.borrow_mut();
        let Some(bodies) = by_sender.get_mut(&self.sender) else { return };
        if bodies.remove(&self.number).is_some() {
            self.all.count.set(self.all.count.get() - 1);
        }
        if bodies.is_empty() {
            by_sender.remove(&self.sender);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Sender {
        Sender::Network(Some(IpAddr::from([192, 0, 2, last])))
    }

    fn aborted(bodies: &[(PendingBody, AbortRegistration)]) -> Vec<bool> {
        bodies.iter().map(|(_, registration)| registration.handle().is_aborted()).collect()
    }

    #[test]
    fn a_sender_over_half_of_the_limit_loses_its_oldest_body() {
        let all = PendingBodies::new(4);
        let other = [all.begin(network(2))];
        let bodies: Vec<_> = (0..4).map(|_| all.begin(network(1))).collect();
        assert_eq!(aborted(&bodies), [true, true, false, false]);
        assert_eq!((aborted(&other), all.count.get()), (vec![false], 3));
        drop((other, bodies));
        assert_eq!((all.count.get(), all.by_sender.borrow().len()), (0, 0));
    }

    #[test]
    fn over_the_total_limit_the_sender_with_the_most_bodies_loses_its_oldest() {
        let all = PendingBodies::new(4);
        let of_one: Vec<_> = (0..2).map(|_| all.begin(network(1))).collect();
        let others: Vec<_> = (2..5).map(|last| all.begin(network(last))).collect();
        assert_eq!((aborted(&of_one), aborted(&others)), (vec![true, false], vec![false; 3]));
        drop((of_one, others));
        assert_eq!((all.count.get(), all.by_sender.borrow().len()), (0, 0));
    }
}
