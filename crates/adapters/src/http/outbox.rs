//! Answers on their way out. What the connections of a worker have to say is sent together, once each of them that was
//! ready had its turn: the callers are woken by a handful of writes in a row, instead of one here and one there between
//! which the system turns to whom it just woke. There is no timer; an answer that is alone leaves at once.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use futures_util::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The connections of one worker that have something to say.
pub(super) struct Outbox {
    full: RefCell<Vec<Rc<Line>>>,
    idle: Cell<Option<Waker>>,
}

/// So many connections do not wait for more.
const MOST: usize = 64;

/// So many bytes on one connection do not wait, and no more are taken while its other end takes none.
const LARGE: usize = 4 * 1024;

impl Outbox {
    /// An empty one, emptied by a task of the worker that calls.
    pub(super) fn open() -> Rc<Self> {
        let outbox = Rc::new(Self { full: RefCell::default(), idle: Cell::default() });
        let emptied = Rc::clone(&outbox);
        actix_web::rt::spawn(async move {
            loop {
                poll_fn(|context| emptied.poll_full(context)).await;
                emptied.send();
            }
        });
        outbox
    }

    fn poll_full(&self, context: &Context<'_>) -> Poll<()> {
        if !self.full.borrow().is_empty() {
            return Poll::Ready(());
        }
        self.idle.set(Some(context.waker().clone()));
        Poll::Pending
    }

    fn add(&self, line: &Rc<Line>) {
        let mut full = self.full.borrow_mut();
        full.push(Rc::clone(line));
        if full.len() >= MOST {
            drop(full);
            self.send();
        } else if let Some(idle) = self.idle.take() {
            idle.wake();
        }
    }

    fn send(&self) {
        for line in self.full.borrow_mut().drain(..) {
            line.send();
        }
    }
}

/// One connection, shared with the outbox while it has something to say.
struct Line {
    stream: RefCell<TcpStream>,
    unsent: RefCell<Vec<u8>>,
    /// The connection's task, to be told when not all could be sent.
    owner: Cell<Option<Waker>>,
    /// Whether it was told, and has to see to the rest itself.
    stuck: Cell<bool>,
}

impl Line {
    fn send(&self) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.is_empty() {
            return;
        }
        let sent = self.stream.borrow().try_write(&unsent).unwrap_or(0);
        if sent == unsent.len() {
            unsent.clear();
            return;
        }
        unsent.drain(..sent);
        self.stuck.set(true);
        if let Some(owner) = self.owner.take() {
            owner.wake();
        }
    }

    /// Ready once nothing is unsent, or with the reason why that will never be.
    fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (mut stream, mut unsent) = (self.stream.borrow_mut(), self.unsent.borrow_mut());
        while !unsent.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(context, &unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => unsent.drain(..sent),
            };
        }
        self.stuck.set(false);
        Poll::Ready(Ok(()))
    }
}

/// A connection that writes by way of its worker's outbox.
pub(super) struct PostedStream {
    line: Rc<Line>,
    outbox: Rc<Outbox>,
}

impl PostedStream {
    pub(super) fn new(stream: TcpStream, outbox: Rc<Outbox>) -> Self {
        let line = Line {
            stream: RefCell::new(stream),
            unsent: RefCell::default(),
            owner: Cell::default(),
            stuck: Cell::default(),
        };
        Self { line: Rc::new(line), outbox }
    }

    /// Writes without the outbox, after what was posted: for the last words of a connection, which nobody sees to once
    /// they count as written.
    pub(super) fn poll_write_now(&self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.line.poll_send(context))?;
        Pin::new(&mut *self.line.stream.borrow_mut()).poll_write(context, buffer)
    }
}

impl AsyncWrite for PostedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let line = &self.line;
        let waiting = line.unsent.borrow().len();
        if line.stuck.get() || waiting + buffer.len() > LARGE {
            return self.poll_write_now(context, buffer);
        }
        line.unsent.borrow_mut().extend_from_slice(buffer);
        if waiting == 0 && !buffer.is_empty() {
            line.owner.set(Some(context.waker().clone()));
            self.outbox.add(line);
        }
        Poll::Ready(Ok(buffer.len()))
    }

    /// What was posted counts as sent: it leaves without anybody's doing. Only what is stuck is waited for.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.stuck.get() { self.line.poll_send(context) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.line.poll_send(context))?;
        Pin::new(&mut *self.line.stream.borrow_mut()).poll_shutdown(context)
    }
}

impl AsyncRead for PostedStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.line.stream.borrow_mut()).poll_read(context, buffer)
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
