//! Connection state, shared by the stream (`below_router.rs`) and the request middleware (`request_middleware.rs`).
//!
//! The HTTP library passes no connection state to a request, and no request state to the connection. Both are needed: a peer
//! that has shut down its sending side still reads its response (RFC 9112, section 9.6), and a response that leaves a part of
//! the request unread must end the connection without a reset, which could discard the response.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::Stream;
use futures_util::future::poll_fn;
use tokio::sync::Notify;

/// State of one connection.
#[derive(Default)]
pub(crate) struct Connection {
    /// Whether a request is in progress.
    in_request: Cell<bool>,
    /// Whether the handler waits for more of the body.
    awaits_body: Cell<bool>,
    /// Whether the body was received completely.
    body_is_whole: Cell<bool>,
    /// Whether the peer has shut down its sending side or closed the connection, which cannot be distinguished.
    input_ended: Cell<bool>,
    ended: Notify,
    /// Waker of the stream's task, while the end of the input is withheld from it.
    reader: RefCell<Option<Waker>>,
    /// Whether reading has stopped, so that the connection ends with the response.
    closes: Cell<bool>,
    /// Whether input is discarded for a limited time before the socket is closed.
    drains: Cell<bool>,
}

/// Guard of a request in progress.
pub(crate) struct RequestGuard(Rc<Connection>);

impl Connection {
    /// Returns the connection of a request; `None` in unit tests.
    pub(crate) fn of(request: &HttpRequest) -> Option<&Rc<Self>> {
        request.conn_data()
    }

    /// Marks the start of a request.
    pub(crate) fn begin(self: &Rc<Self>) -> RequestGuard {
        self.in_request.set(true);
        self.awaits_body.set(false);
        self.body_is_whole.set(false);
        self.drains.set(false);
        RequestGuard(Rc::clone(self))
    }

    /// Returns the next chunk of a body. While the handler waits for it, the end of the input ends the body.
    pub(crate) async fn next_chunk<S>(this: Option<&Self>, body: &mut S) -> Option<Result<Bytes, PayloadError>>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        poll_fn(|context| {
            let chunk = Pin::new(&mut *body).poll_next(context);
            if let Some(this) = this {
                this.awaits_body.set(chunk.is_pending());
                this.body_is_whole.set(matches!(chunk, Poll::Ready(None)));
                if chunk.is_pending() {
                    this.wake_reader();
                }
            }
            chunk
        })
        .await
    }

    /// Whether the body of the request was received completely.
    pub(crate) fn body_is_whole(&self) -> bool {
        self.body_is_whole.get()
    }

    /// Discards further input for a limited time before the socket is closed: a reset could discard the response.
    pub(crate) fn drain_on_close(&self) {
        self.drains.set(true);
    }

    /// Ends the connection after the response, even if the peer sends more.
    pub(crate) async fn close_after_answer(&self) {
        self.drains.set(true);
        self.closes.set(true);
        // The middleware runs in the task of the stream. Waking it makes it read again and see the end.
        poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Ready(())
        })
        .await;
    }

    /// Returns when the input has ended.
    pub(crate) async fn input_ended(&self) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if !self.input_ended.get() {
            ended.await;
        }
    }

    /// Whether reading has stopped.
    pub(crate) fn closes(&self) -> bool {
        self.closes.get()
    }

    /// Whether input must be discarded before the socket is closed.
    pub(crate) fn drains(&self) -> bool {
        self.drains.get() && !self.input_ended.get()
    }

    /// Whether the input has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.input_ended.get()
    }

    /// Marks the end of the input.
    pub(crate) fn end_input(&self) {
        self.input_ended.set(true);
        self.ended.notify_waiters();
    }

    /// Ready when the end of the input may be reported to the HTTP library. The library treats it as the end of a body that it
    /// has received and not yet passed on. So it is reported only while the handler waits for more or no request is in
    /// progress.
    pub(crate) fn poll_end(&self, context: &Context<'_>) -> Poll<()> {
        if !self.in_request.get() || self.awaits_body.get() {
            return Poll::Ready(());
        }
        self.reader.replace(Some(context.waker().clone()));
        Poll::Pending
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.in_request.set(false);
        self.0.awaits_body.set(false);
        self.0.wake_reader();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::stream;

    use super::*;

    #[test]
    fn the_end_of_the_input_is_reported_between_requests_and_while_a_body_is_awaited() {
        let connection = Rc::new(Connection::default());
        let reported = |connection: &Connection| connection.poll_end(&Context::from_waker(Waker::noop())).is_ready();
        assert!(reported(&connection), "no request is in progress");
        let request = connection.begin();
        assert!(!reported(&connection), "the response comes first");
        let mut body = stream::pending();
        assert!(Connection::next_chunk(Some(&connection), &mut body).now_or_never().is_none());
        assert!(reported(&connection), "the body cannot arrive");
        drop(request);
        assert!(reported(&connection));
    }

    #[test]
    fn a_body_is_complete_when_its_end_was_read() {
        let connection = Rc::new(Connection::default());
        let _request = connection.begin();
        let mut body = stream::iter([Ok(Bytes::from_static(b"{}"))]);
        let next = |body: &mut _| Connection::next_chunk(Some(&connection), body).now_or_never().unwrap();
        assert!(next(&mut body).is_some() && !connection.body_is_whole());
        assert!(next(&mut body).is_none() && connection.body_is_whole());
        let _next = connection.begin();
        assert!(!connection.body_is_whole());
    }

    #[test]
    fn a_waiter_is_notified_of_the_end_of_the_input() {
        let connection = Connection::default();
        let mut waiting = Box::pin(connection.input_ended());
        assert!((&mut waiting).now_or_never().is_none());
        connection.end_input();
        assert!(waiting.now_or_never().is_some() && connection.input_ended().now_or_never().is_some());
    }
}
