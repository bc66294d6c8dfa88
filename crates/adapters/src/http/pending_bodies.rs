//! A bound on request bodies of which a part is still to come, in all and for each caller.
//!
//! Who waits for a body holds no permit, only memory: what has arrived, and the connection. One body more than fit ends the
//! oldest of the same caller, or of the caller who has the most: those who finish what they send are served, however many
//! others never do.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use futures_util::future::{AbortHandle, AbortRegistration};
use pos_domain::UserId;

/// Whose bodies are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    /// A caller whose token was verified.
    Account(UserId),
    /// Anybody else, by the network that the request comes from.
    Network(Option<IpAddr>),
}

/// The bodies that one worker waits for.
pub(super) struct PendingBodies {
    most: usize,
    next: Cell<u64>,
    count: Cell<usize>,
    by_sender: RefCell<HashMap<Sender, BTreeMap<u64, AbortHandle>>>,
}

/// One of them, until this is dropped.
pub(super) struct PendingBody {
    all: Rc<PendingBodies>,
    sender: Sender,
    number: u64,
}

impl PendingBodies {
    pub(super) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self { most, next: Cell::default(), count: Cell::default(), by_sender: RefCell::default() })
    }

    /// One more. Whoever waits for it is to be aborted by the registration.
    pub(super) fn begin(self: &Rc<Self>, sender: Sender) -> (PendingBody, AbortRegistration) {
        let mut by_sender = self.by_sender.borrow_mut();
        let of_sender = by_sender.get(&sender).map_or(0, BTreeMap::len);
        if of_sender >= self.most.div_ceil(2) {
            self.end_oldest(by_sender.get_mut(&sender));
        } else if self.count.get() >= self.most {
            self.end_oldest(by_sender.values_mut().max_by_key(|bodies| bodies.len()));
        }
        let (handle, registration) = AbortHandle::new_pair();
        let number = self.next.get();
        self.next.set(number + 1);
        self.count.set(self.count.get() + 1);
        by_sender.entry(sender.clone()).or_default().insert(number, handle);
        (PendingBody { all: Rc::clone(self), sender, number }, registration)
    }

    fn end_oldest(&self, bodies: Option<&mut BTreeMap<u64, AbortHandle>>) {
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

    fn ended(bodies: &[(PendingBody, AbortRegistration)]) -> Vec<bool> {
        bodies.iter().map(|(_, registration)| registration.handle().is_aborted()).collect()
    }

    #[test]
    fn one_sender_has_at_most_half_and_loses_its_oldest() {
        let all = PendingBodies::new(4);
        let other = [all.begin(network(2))];
        let bodies: Vec<_> = (0..4).map(|_| all.begin(network(1))).collect();
        assert_eq!(ended(&bodies), [true, true, false, false]);
        assert_eq!((ended(&other), all.count.get()), (vec![false], 3));
        drop((other, bodies));
        assert_eq!((all.count.get(), all.by_sender.borrow().len()), (0, 0));
    }

    #[test]
    fn beyond_all_the_one_with_the_most_loses_its_oldest() {
        let all = PendingBodies::new(4);
        let of_one: Vec<_> = (0..2).map(|_| all.begin(network(1))).collect();
        let others: Vec<_> = (2..5).map(|last| all.begin(network(last))).collect();
        assert_eq!((ended(&of_one), ended(&others)), (vec![true, false], vec![false; 3]));
        drop((of_one, others));
        assert_eq!((all.count.get(), all.by_sender.borrow().len()), (0, 0));
    }
}
