//! Shutdown notification for the connections of one worker.
//!
//! Every connection polls the notification each time its task runs. If all connections of a server polled one shared signal,
//! they would contend for its locks. So one task per worker waits for the signal and notifies the worker's connections.

use std::cell::Cell;
use std::rc::Rc;

use actix_server::GracefulShutdownSignal;
use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Draining {
    has_started: Cell<bool>,
    notify: Notify,
}

impl Draining {
    /// Spawns a task on the calling worker that waits for the signal.
    pub(crate) fn watch(signal: GracefulShutdownSignal) -> Rc<Self> {
        let draining = Rc::<Self>::default();
        let notifier = Rc::clone(&draining);
        actix_web::rt::spawn(async move {
            signal.notified().await;
            notifier.start();
        });
        draining
    }

    fn start(&self) {
        self.has_started.set(true);
        self.notify.notify_waiters();
    }

    /// Returns when the shutdown starts; immediately if it has started.
    pub(crate) async fn started(&self) {
        if !self.has_started.get() {
            self.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn connections_are_notified_whether_they_wait_or_subscribe_later() {
        let draining = Draining::default();
        let (mut one, mut other) = (Box::pin(draining.started()), Box::pin(draining.started()));
        assert!((&mut one).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        draining.start();
        assert!(one.now_or_never().is_some() && other.now_or_never().is_some());
        assert!(draining.started().now_or_never().is_some());
    }
}
