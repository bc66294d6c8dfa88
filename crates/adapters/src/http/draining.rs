//! Word that the server stops, for the connections of one worker.
//!
//! Every connection asks for it each time it does something. All of one server asking at one place, under a few locks, would
//! wait for each other; so a task of each worker hears of it and passes it on.

use std::cell::Cell;
use std::rc::Rc;

use actix_server::GracefulShutdownSignal;
use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Draining {
    has_begun: Cell<bool>,
    begun: Notify,
}

impl Draining {
    /// Hears of it by a task of the worker that calls.
    pub(super) fn hear(signal: GracefulShutdownSignal) -> Rc<Self> {
        let draining = Rc::<Self>::default();
        let told = Rc::clone(&draining);
        actix_web::rt::spawn(async move {
            signal.notified().await;
            told.begin();
        });
        draining
    }

    fn begin(&self) {
        self.has_begun.set(true);
        self.begun.notify_waiters();
    }

    /// Returns once the server stops; at once for a connection that comes later.
    pub(super) async fn begun(&self) {
        if !self.has_begun.get() {
            self.begun.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn connections_hear_of_it_whether_they_wait_or_come_later() {
        let draining = Draining::default();
        let (mut one, mut other) = (Box::pin(draining.begun()), Box::pin(draining.begun()));
        assert!((&mut one).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        draining.begin();
        assert!(one.now_or_never().is_some() && other.now_or_never().is_some());
        assert!(draining.begun().now_or_never().is_some());
    }
}
