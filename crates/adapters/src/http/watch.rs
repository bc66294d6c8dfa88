//! An end to calls that take too long.
//!
//! A timer for each call costs a fiftieth of what a poll does, and next to none ever rings. So a worker looks over its calls
//! every so often instead, by one timer; a call that takes too long is ended by so much later.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::poll_fn;
use slab::Slab;

use crate::clock::Stopwatch;

/// How late a call may be ended.
const LATE: Duration = Duration::from_millis(50);

/// The calls of one worker that are waiting for something.
pub(super) struct Watch {
    waiting: RefCell<Slab<Waiting>>,
    idle: Cell<Option<Waker>>,
}

struct Waiting {
    since: Stopwatch,
    limit: Duration,
    is_over: bool,
    caller: Waker,
}

/// The call took too long.
pub(super) struct TooLong;

impl Watch {
    /// One that looks around by a task of the worker that calls.
    pub(super) fn open() -> Rc<Self> {
        let watch = Rc::new(Self { waiting: RefCell::default(), idle: Cell::default() });
        let kept = Rc::clone(&watch);
        actix_web::rt::spawn(async move {
            loop {
                poll_fn(|context| kept.poll_waiting(context)).await;
                tokio::time::sleep(LATE).await;
                kept.look_around();
            }
        });
        watch
    }

    /// What `call` comes to, if that is soon enough after `since`.
    pub(super) async fn within<T>(
        &self,
        since: Stopwatch,
        limit: Duration,
        mut call: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, TooLong> {
        let mut place = Place { watch: self, key: None };
        poll_fn(|context| {
            if let Poll::Ready(told) = call.as_mut().poll(context) {
                return Poll::Ready(Ok(told));
            }
            if place.waits(since, limit, context) { Poll::Pending } else { Poll::Ready(Err(TooLong)) }
        })
        .await
    }

    fn poll_waiting(&self, context: &Context<'_>) -> Poll<()> {
        if !self.waiting.borrow().is_empty() {
            return Poll::Ready(());
        }
        self.idle.set(Some(context.waker().clone()));
        Poll::Pending
    }

    fn look_around(&self) {
        for (_, waiting) in &mut *self.waiting.borrow_mut() {
            if waiting.since.elapsed() >= waiting.limit {
                waiting.is_over = true;
                waiting.caller.wake_by_ref();
            }
        }
    }
}

/// A call among those that wait, until this is dropped.
struct Place<'w> {
    watch: &'w Watch,
    key: Option<usize>,
}

impl Place<'_> {
    /// Whether the call may go on waiting.
    fn waits(&mut self, since: Stopwatch, limit: Duration, context: &Context<'_>) -> bool {
        let mut all = self.watch.waiting.borrow_mut();
        if let Some(waiting) = self.key.and_then(|key| all.get_mut(key)) {
            waiting.caller.clone_from(context.waker());
            return !waiting.is_over;
        }
        self.key = Some(all.insert(Waiting { since, limit, is_over: false, caller: context.waker().clone() }));
        if let Some(idle) = self.watch.idle.take() {
            idle.wake();
        }
        true
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.watch.waiting.borrow_mut().try_remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn a_call_ends_when_it_is_done_or_takes_too_long_and_leaves_no_place_taken() {
        let all = async {
            let watch = Watch::open();
            let hour = Duration::from_secs(3_600);
            let soon = watch.within(Stopwatch::start(), hour, pin!(ready(7))).await;
            assert!(matches!(soon, Ok(7)));
            let mut never = pin!(pending::<()>());
            let mut late = pin!(watch.within(Stopwatch::start(), Duration::ZERO, never.as_mut()));
            assert!(futures_util::poll!(&mut late).is_pending(), "nobody has looked");
            watch.look_around();
            assert!(matches!(futures_util::poll!(&mut late), Poll::Ready(Err(TooLong))));
            let mut endless = pin!(pending::<()>());
            let mut call = Box::pin(watch.within(Stopwatch::start(), hour, endless.as_mut()));
            assert!(futures_util::poll!(&mut call).is_pending());
            watch.look_around();
            assert!(futures_util::poll!(&mut call).is_pending(), "it has an hour");
            let before = watch.waiting.borrow().len();
            drop(call);
            assert_eq!(watch.waiting.borrow().len(), before - 1);
        };
        LocalSet::new().run_until(all).await;
    }
}
