//! Answers on their way out. What the connections of a worker have to say is sent together, once each of them that was
//! ready had its turn: the callers are woken at one time, instead of one here and one there between which the system turns
//! to whom it just woke. There is no timer; an answer that is alone leaves at once.

mod burst;
mod line;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use futures_util::future::poll_fn;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use self::burst::Burst;
use self::line::Line;

/// The connections of one worker that have something to say.
pub(super) struct Outbox {
    full: RefCell<Vec<Rc<Line>>>,
    burst: RefCell<Option<Burst>>,
    idle: Cell<Option<Waker>>,
}

/// So many connections do not wait for more.
const MOST: usize = 64;

/// So many bytes on one connection do not wait, and no more are taken while its other end takes none.
const LARGE: usize = 4 * 1024;

impl Outbox {
    /// An empty one, emptied by a task of the worker that calls.
    pub(super) fn open() -> Rc<Self> {
        Self::with(Burst::open(MOST))
    }

    fn with(burst: Option<Burst>) -> Rc<Self> {
        let outbox = Rc::new(Self { full: RefCell::default(), burst: RefCell::new(burst), idle: Cell::default() });
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
        let (mut full, mut burst) = (self.full.borrow_mut(), self.burst.borrow_mut());
        match burst.as_mut() {
            Some(ring) if full.len() > 1 => {
                if let Err(error) = ring.send(full.drain(..)) {
                    tracing::error!(%error, "io_uring failed: answers are sent one by one from now on");
                    *burst = None;
                }
            }
            _ => full.drain(..).for_each(|line| line.send()),
        }
    }
}

/// A connection that writes by way of its worker's outbox.
pub(super) struct PostedStream {
    reader: OwnedReadHalf,
    line: Rc<Line>,
    outbox: Rc<Outbox>,
}

impl PostedStream {
    pub(super) fn new(stream: TcpStream, outbox: Rc<Outbox>) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, line: Rc::new(Line::new(writer)), outbox }
    }

    /// Writes without the outbox, after what was posted: for the last words of a connection, which nobody sees to once
    /// they count as written.
    pub(super) fn poll_write_now(&self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.line.poll_send(context))?;
        self.line.poll_write(context, buffer)
    }
}

impl AsyncWrite for PostedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let line = &self.line;
        let waiting = line.unsent.borrow().len();
        if line.is_stuck() || waiting + buffer.len() > LARGE {
            return self.poll_write_now(context, buffer);
        }
        line.unsent.borrow_mut().extend_from_slice(buffer);
        if waiting == 0 && !buffer.is_empty() {
            line.belongs_to(context.waker());
            self.outbox.add(line);
        }
        Poll::Ready(Ok(buffer.len()))
    }

    /// What was posted counts as sent: it leaves without anybody's doing. Only what is stuck is waited for.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_stuck() { self.line.poll_send(context) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.line.poll_send(context))?;
        Poll::Ready(match SockRef::from(self.line.stream()).shutdown(Shutdown::Write) {
            // The other end was first.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            told => told,
        })
    }
}

impl AsyncRead for PostedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests;
