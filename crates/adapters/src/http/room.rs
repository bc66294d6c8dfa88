//! How many calls one HTTP worker has under way, and what happens to one more.
//!
//! Without a bound every call is taken in and waits: for the database, for a connection, for the others. Once more
//! arrive than are answered, each waits longer than the one before, until all are answered too late to be of use. With
//! one, a call waits at most as long as those that fit before it take, and the rest are told at once to come back later.
//!
//! A worker is one thread, so a room is counted in a cell, without a lock and without an atomic. Callers of different
//! kinds have rooms of their own: merchants who wait for a slow identity provider leave the terminals' places alone.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use prometheus::IntCounter;

use super::metrics::Metrics;
use crate::clock::Stopwatch;

/// How many calls of each kind one worker has under way at most; further ones are answered 503/5003 at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Of terminals. One whose status is held back (`Prefer: wait`) takes none while it waits.
    pub terminals: usize,
    /// Of portals and machines; and as many of those who have not said yet who they are.
    pub portals: usize,
    /// Files that are imported.
    pub imports: usize,
}

/// Whose calls share a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Terminals,
    Portals,
    /// Who says in the body who is calling: whoever never sends one keeps only the likes of itself out.
    Strangers,
    Imports,
    /// Never turned away: an overloaded server must still say how it is.
    Operators,
}

/// The rooms of one worker.
pub(super) struct Rooms {
    terminals: Rc<Room>,
    portals: Rc<Room>,
    strangers: Rc<Room>,
    imports: Rc<Room>,
}

impl Rooms {
    pub(super) fn new(places: Places, metrics: &Metrics) -> Self {
        let room = |name, most| Rc::new(Room::new(name, most, metrics.turned_away(name)));
        Self {
            terminals: room("terminals", places.terminals),
            portals: room("portals", places.portals),
            strangers: room("strangers", places.portals),
            imports: room("imports", places.imports),
        }
    }

    pub(super) fn of(&self, party: Party) -> Option<Rc<Room>> {
        match party {
            Party::Terminals => Some(Rc::clone(&self.terminals)),
            Party::Portals => Some(Rc::clone(&self.portals)),
            Party::Strangers => Some(Rc::clone(&self.strangers)),
            Party::Imports => Some(Rc::clone(&self.imports)),
            Party::Operators => None,
        }
    }
}

/// Places for one kind of caller.
pub(super) struct Room {
    name: &'static str,
    most: usize,
    taken: Cell<usize>,
    turned_away: IntCounter,
    unsaid: Cell<u64>,
    last_said: Cell<Option<Stopwatch>>,
}

/// How long the log is silent after a line on calls that were turned away. A line for each would be work that the
/// server has no time for.
const SILENCE: Duration = Duration::from_secs(1);

impl Room {
    fn new(name: &'static str, most: usize, turned_away: IntCounter) -> Self {
        let (taken, unsaid, last_said) = (Cell::default(), Cell::default(), Cell::default());
        Self { name, most, taken, turned_away, unsaid, last_said }
    }

    /// A place, if one is free.
    pub(super) fn enter(self: &Rc<Self>) -> Option<Place> {
        let taken = self.taken.get();
        if taken >= self.most {
            self.say();
            return None;
        }
        self.taken.set(taken + 1);
        Some(Place(Rc::clone(self)))
    }

    fn say(&self) {
        self.turned_away.inc();
        self.unsaid.set(self.unsaid.get() + 1);
        if self.last_said.get().is_none_or(|said| said.elapsed() >= SILENCE) {
            self.last_said.set(Some(Stopwatch::start()));
            let calls = self.unsaid.replace(0);
            tracing::warn!(of = self.name, calls, most = self.most, "too many calls at once; turned away");
        }
    }
}

/// One call's place. It is free again when this is dropped, however the call ends.
pub(super) struct Place(Rc<Room>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_so_many_places_and_each_is_given_back_once() {
        let metrics = Metrics::new().unwrap();
        let rooms = Rooms::new(Places { terminals: 2, portals: 1, imports: 1 }, &metrics);
        let room = rooms.of(Party::Terminals).unwrap();
        let (one, _two) = (room.enter().unwrap(), room.enter().unwrap());
        assert!(room.enter().is_none() && room.enter().is_none());
        assert!(rooms.of(Party::Portals).unwrap().enter().is_some(), "others have places of their own");
        drop(one);
        let _again = room.enter().unwrap();
        assert!(room.enter().is_none());
        assert_eq!((room.turned_away.get(), rooms.of(Party::Operators).is_none()), (3, true));
    }
}
