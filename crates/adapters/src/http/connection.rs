//! State of one connection, shared by its stream (`below_router.rs`) and the middleware of its requests (`door.rs`).
//!
//! The HTTP library does not tell a request where its connection stands, nor the connection what its request waits for. Both
//! are needed: a peer that has shut down its sending side still reads its answer (RFC 9112, section 9.6), and an answer
//! that leaves a part of the request unread ends the connection without a reset that would take the answer away.

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

/// The state of one connection.
#[derive(Default)]
pub(super) struct Connection {
    /// Whether a request is being answered.
    is_answering: Cell<bool>,
    /// Whether the handler of this request waits for more of its body.
    awaits_body: Cell<bool>,
    /// Whether the body was received whole.
    body_is_whole: Cell<bool>,
    /// Whether the peer has shut down its sending side, or closed the connection: they look the same.
    input_ended: Cell<bool>,
    ended: Notify,
    /// The stream's task, while the end of the input is kept from it.
    reader: RefCell<Option<Waker>>,
    /// Whether nothing more is read of the input, so that the connection ends with the answer.
    closes: Cell<bool>,
    /// Whether input is discarded for a while when the connection is closed.
    drains: Cell<bool>,
}

/// A request that is being answered, until this is dropped.
pub(super) struct Answering(Rc<Connection>);

impl Connection {
    /// That of a request; none in unit tests.
    pub(super) fn of(request: &HttpRequest) -> Option<&Rc<Self>> {
        request.conn_data()
    }

    /// A request begins to be answered.
    pub(super) fn begin(self: &Rc<Self>) -> Answering {
        self.is_answering.set(true);
        self.awaits_body.set(false);
        self.body_is_whole.set(false);
        self.drains.set(false);
        Answering(Rc::clone(self))
    }

    /// The next piece of a body. While it is waited for, the end of the input ends the body.
    pub(super) async fn next_piece<S>(this: Option<&Self>, body: &mut S) -> Option<Result<Bytes, PayloadError>>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        poll_fn(|context| {
            let piece = Pin::new(&mut *body).poll_next(context);
            if let Some(this) = this {
                this.awaits_body.set(piece.is_pending());
                this.body_is_whole.set(matches!(piece, Poll::Ready(None)));
                if piece.is_pending() {
                    this.wake_reader();
                }
            }
            piece
        })
        .await
    }

    /// Whether the body of the request was received whole.
    pub(super) fn body_is_whole(&self) -> bool {
        self.body_is_whole.get()
    }

    /// When the connection is closed, discards what the peer still sends, for a while: a reset would take the answer away.
    pub(super) fn drain_on_close(&self) {
        self.drains.set(true);
    }

    /// Ends the connection after the answer, whatever the peer still sends.
    pub(super) async fn close_after_answer(&self) {
        self.drains.set(true);
        self.closes.set(true);
        // The middleware runs in the task of the stream, which is to read on, and so to see the end.
        poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Ready(())
        })
        .await;
    }

    /// Returns once the peer sends no more.
    pub(super) async fn input_ended(&self) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if !self.input_ended.get() {
            ended.await;
        }
    }

    /// Whether nothing more is to be read.
    pub(super) fn closes(&self) -> bool {
        self.closes.get()
    }

    /// Whether input is to be discarded before the socket is closed.
    pub(super) fn drains(&self) -> bool {
        self.drains.get() && !self.input_ended.get()
    }

    /// Whether the peer sends no more.
    pub(super) fn has_ended(&self) -> bool {
        self.input_ended.get()
    }

    /// The peer sends no more.
    pub(super) fn end_input(&self) {
        self.input_ended.set(true);
        self.ended.notify_waiters();
    }

    /// Ready once the HTTP library may learn that the input has ended. It takes the end for that of a body which it has
    /// received and not yet handed on, so it learns only while the handler waits for more, or no request is being answered.
    pub(super) fn poll_end(&self, context: &Context<'_>) -> Poll<()> {
        if !self.is_answering.get() || self.awaits_body.get() {
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

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_answering.set(false);
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
    fn the_end_of_the_input_is_seen_between_requests_and_by_who_waits_for_a_body() {
        let connection = Rc::new(Connection::default());
        let seen = |connection: &Connection| connection.poll_end(&Context::from_waker(Waker::noop())).is_ready();
        assert!(seen(&connection), "no request is being answered");
        let answering = connection.begin();
        assert!(!seen(&connection), "the answer comes first");
        let mut body = stream::pending();
        assert!(Connection::next_piece(Some(&connection), &mut body).now_or_never().is_none());
        assert!(seen(&connection), "the body will not come");
        drop(answering);
        assert!(seen(&connection));
    }

    #[test]
    fn a_body_is_whole_once_its_end_was_read() {
        let connection = Rc::new(Connection::default());
        let _answering = connection.begin();
        let mut body = stream::iter([Ok(Bytes::from_static(b"{}"))]);
        let next = |body: &mut _| Connection::next_piece(Some(&connection), body).now_or_never().unwrap();
        assert!(next(&mut body).is_some() && !connection.body_is_whole());
        assert!(next(&mut body).is_none() && connection.body_is_whole());
        let _next = connection.begin();
        assert!(!connection.body_is_whole());
    }

    #[test]
    fn who_waits_hears_that_the_input_has_ended() {
        let connection = Connection::default();
        let mut waiting = Box::pin(connection.input_ended());
        assert!((&mut waiting).now_or_never().is_none());
        connection.end_input();
        assert!(waiting.now_or_never().is_some() && connection.input_ended().now_or_never().is_some());
    }
}
