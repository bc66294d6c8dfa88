//! How many calls one HTTP worker has under way, and what happens to one more.
//!
//! Without a bound every call is taken in and waits: for the database, for a connection, for the others. Once more
//! arrive than are answered, each waits longer than the one before, until all are answered too late to be of use. With
//! one, a call waits at most as long as those that fit before it take.
//!
//! One more stands in line, for a moment: a burst is served that is larger than the room, and above all whoever must be
//! told to come back later is told so later. A caller that is sent away at once asks again at once, and on a server that
//! answers all of these nothing is left for the calls it could serve.
//!
//! Callers of different kinds have rooms of their own: merchants who wait for a slow identity provider leave the terminals'
//! places alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pos_domain::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::metrics::{LineMetrics, Metrics};
use super::throttled_log::ThrottledLog;

/// How many calls of each kind one worker has under way at most; one that gets no place in time is answered 503/5003.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Of terminals. One whose status is held back (`Prefer: wait`) takes none while it waits.
    pub terminals: usize,
    /// Of portals and machines; as many of those who say in the body who they are; and as many logout notices.
    pub portals: usize,
    /// Files that are imported, and as many that are about to be, whose callers are authenticated.
    pub imports: usize,
    /// Bodies of which a part is still to come. Such a request holds no permit.
    pub pending_bodies: usize,
    /// How long a call stands in line for a place.
    pub patience: Duration,
}

/// Whose calls share a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Terminals,
    Portals,
    /// Routes that carry credentials in the body.
    Strangers,
    /// The identity provider, which tells of logouts: neither its own log-ins nor anybody else's are to delay these.
    LogoutNotices,
    Imports,
    /// Never turned away: an overloaded server must still say how it is.
    Operators,
}

/// The rooms of one worker.
pub(super) struct Rooms {
    terminals: Rc<Room>,
    portals: Rc<Room>,
    strangers: Rc<Room>,
    logout_notices: Rc<Room>,
    import_logins: Rc<Room>,
    imports: Rc<Room>,
}

impl Rooms {
    pub(super) fn new(places: Places, metrics: &Metrics) -> Self {
        let room = |name, most| Rc::new(Room::new(name, most, places.patience, metrics.line(name)));
        Self {
            terminals: room("terminals", places.terminals),
            portals: room("portals", places.portals),
            strangers: room("strangers", places.portals),
            logout_notices: room("logout_notices", places.portals),
            import_logins: room("import_logins", places.imports),
            imports: room("imports", places.imports),
        }
    }

    pub(super) fn of(&self, party: Party) -> Option<Rc<Room>> {
        match party {
            Party::Terminals => Some(Rc::clone(&self.terminals)),
            Party::Portals => Some(Rc::clone(&self.portals)),
            Party::Strangers => Some(Rc::clone(&self.strangers)),
            Party::LogoutNotices => Some(Rc::clone(&self.logout_notices)),
            Party::Imports => Some(Rc::clone(&self.import_logins)),
            Party::Operators => None,
        }
    }

    /// Where the uploads of these callers take their permits, once the callers are authenticated.
    pub(super) fn uploads_of(&self, party: Party) -> Option<Rc<Room>> {
        (party == Party::Imports).then(|| Rc::clone(&self.imports))
    }
}

/// Places for one kind of caller, and the line for them: first come, first served.
pub(super) struct Room {
    name: &'static str,
    most: usize,
    places: Arc<Semaphore>,
    patience: Duration,
    line: LineMetrics,
    /// Those of the accounts that have requests under way: each may hold three quarters of the places.
    shares: RefCell<HashMap<UserId, Arc<Semaphore>>>,
    log: ThrottledLog,
}

/// One call's place. It is free again when this is dropped, however the call ends.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// One of the places that an account may hold, until this is dropped.
pub(super) struct Share {
    room: Rc<Room>,
    account: UserId,
    of_account: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.permit.take();
        // This one's and the room's.
        if Arc::strong_count(&self.of_account) == 2 {
            self.room.shares.borrow_mut().remove(&self.account);
        }
    }
}

impl Room {
    fn new(name: &'static str, most: usize, patience: Duration, line: LineMetrics) -> Self {
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let (shares, log) = (RefCell::default(), ThrottledLog::default());
        Self { name, most, places, patience, line, shares, log }
    }

    /// A place, if one gets free in time. Whose connection ends leaves the line.
    pub(super) async fn enter(&self) -> Option<Place> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(Place { _permit: permit });
        }
        // On the heap: hardly any call comes here, and each one's state would have room for it.
        let permit = if self.patience.is_zero() { None } else { Box::pin(self.stand_in_line()).await };
        if permit.is_none() {
            self.say();
        }
        permit.map(|permit| Place { _permit: permit })
    }

    /// An account's right to one more place, if it does not hold three quarters of them.
    pub(super) fn try_share(self: &Rc<Self>, account: &UserId) -> Option<Share> {
        let mut share = self.share_of(account);
        share.permit = Some(Arc::clone(&share.of_account).try_acquire_owned().ok()?);
        Some(share)
    }

    /// The same, if one gets free in time.
    pub(super) async fn share(self: &Rc<Self>, account: &UserId) -> Option<Share> {
        if let Some(share) = self.try_share(account) {
            return Some(share);
        }
        let mut share = self.share_of(account);
        let permit = Box::pin(timeout(self.patience, Arc::clone(&share.of_account).acquire_owned())).await;
        share.permit = Some(permit.ok()?.ok()?);
        Some(share)
    }

    fn share_of(self: &Rc<Self>, account: &UserId) -> Share {
        let mut shares = self.shares.borrow_mut();
        let most = self.most.min(Semaphore::MAX_PERMITS);
        let quarters = || Arc::new(Semaphore::new(most - most / 4));
        let of_account = Arc::clone(shares.entry(account.clone()).or_insert_with(quarters));
        Share { room: Rc::clone(self), account: account.clone(), of_account, permit: None }
    }

    async fn stand_in_line(&self) -> Option<OwnedSemaphorePermit> {
        let _standing = self.line.line_up();
        timeout(self.patience, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()
    }

    fn say(&self) {
        self.line.turned_away.inc();
        if let Some(calls) = self.log.count() {
            tracing::warn!(of = self.name, calls, most = self.most, "too many calls at once; turned away");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(250);

    fn rooms(patience: Duration) -> Rooms {
        Rooms::new(
            Places { terminals: 2, portals: 1, imports: 1, pending_bodies: 2, patience },
            &Metrics::new().unwrap(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_has_so_many_places_and_each_is_given_back_once() {
        let rooms = rooms(Duration::ZERO);
        let room = rooms.of(Party::Terminals).unwrap();
        let (one, _two) = (room.enter().await.unwrap(), room.enter().await.unwrap());
        assert!(room.enter().await.is_none() && room.enter().await.is_none());
        let others = rooms.of(Party::Portals).unwrap();
        assert!(others.enter().await.is_some(), "others have places of their own");
        drop(one);
        let _again = room.enter().await.unwrap();
        assert!(room.enter().await.is_none());
        assert_eq!((room.line.turned_away.get(), rooms.of(Party::Operators).is_none()), (3, true));
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_stands_in_line_and_is_turned_away_when_its_time_is_up() {
        let room = rooms(PATIENCE).of(Party::Portals).unwrap();
        let _taken = room.enter().await.unwrap();
        let mut standing = pin!(room.enter());
        assert!(standing.as_mut().now_or_never().is_none());
        advance(PATIENCE / 2).await;
        assert!(standing.as_mut().now_or_never().is_none());
        advance(PATIENCE).await;
        assert!(standing.now_or_never().expect("its time is up").is_none());
        assert_eq!(room.line.turned_away.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_goes_to_who_has_stood_longest_and_has_not_gone_away() {
        let room = rooms(PATIENCE).of(Party::Portals).unwrap();
        let taken = room.enter().await.unwrap();
        let mut gone = Box::pin(room.enter());
        assert!(gone.as_mut().now_or_never().is_none());
        let mut first = pin!(room.enter());
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = pin!(room.enter());
        assert!(second.as_mut().now_or_never().is_none());
        drop(gone);
        drop(taken);
        let first = first.now_or_never().expect("its turn").unwrap();
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().expect("its turn").is_some());
        assert_eq!(room.line.turned_away.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_holds_three_quarters_of_the_places_and_leaves_nothing_behind() {
        let metrics = Metrics::new().unwrap();
        let room = Rc::new(Room::new("portals", 4, PATIENCE, metrics.line("portals")));
        let (ann, bob) = (UserId::parse("ann").unwrap(), UserId::parse("bob").unwrap());
        let one = room.try_share(&ann).unwrap();
        let rest = [room.try_share(&ann).unwrap(), room.try_share(&ann).unwrap()];
        assert!(room.try_share(&ann).is_none() && room.try_share(&bob).is_some());
        let mut waiting = Box::pin(room.share(&ann));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(one);
        let last = waiting.now_or_never().expect("its turn").unwrap();
        let mut late = Box::pin(room.share(&ann));
        assert!(late.as_mut().now_or_never().is_none());
        advance(PATIENCE * 2).await;
        assert!(late.now_or_never().expect("its time is up").is_none());
        assert_eq!(room.shares.borrow().len(), 1);
        drop((rest, last));
        assert_eq!(room.shares.borrow().len(), 0);
    }

    /// The place is given to it, and it leaves before it hears so.
    #[tokio::test(start_paused = true)]
    async fn a_place_that_was_given_to_one_who_left_goes_to_the_next() {
        let room = rooms(PATIENCE).of(Party::Portals).unwrap();
        let taken = room.enter().await.unwrap();
        let mut leaving = Box::pin(room.enter());
        let mut next = pin!(room.enter());
        assert!(leaving.as_mut().now_or_never().is_none() && next.as_mut().now_or_never().is_none());
        drop(taken);
        drop(leaving);
        assert!(next.now_or_never().expect("its turn").is_some());
    }
}
