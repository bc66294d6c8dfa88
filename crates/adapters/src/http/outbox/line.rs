use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, Waker, ready};

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// What one connection has to say, shared with the outbox while that is something.
pub(super) struct Line {
    stream: OwnedWriteHalf,
    pub(super) unsent: RefCell<Vec<u8>>,
    /// The connection's task, to be told when not all could be sent.
    owner: Cell<Option<Waker>>,
    /// Whether it was told, and has to see to the rest itself.
    stuck: Cell<bool>,
    /// Whether nobody knows what was sent.
    broken: Cell<bool>,
}

impl Line {
    pub(super) fn new(stream: OwnedWriteHalf) -> Self {
        let (stuck, broken) = (Cell::default(), Cell::default());
        Self { stream, unsent: RefCell::default(), owner: Cell::default(), stuck, broken }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.stream.as_ref()
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.get()
    }

    /// Who sees to it if this cannot be sent.
    pub(super) fn belongs_to(&self, owner: &Waker) {
        self.owner.set(Some(owner.clone()));
    }

    /// Sends what there is, as far as the system takes it now.
    pub(super) fn send(&self) {
        let bytes = self.unsent.take();
        if bytes.is_empty() {
            return;
        }
        let told = self.stream.try_write(&bytes);
        self.sent(told, bytes);
    }

    /// Of these bytes so many were sent; the rest is the connection's to see to.
    pub(super) fn sent(&self, told: io::Result<usize>, mut bytes: Vec<u8>) {
        // Why nothing was sent the connection finds out for itself.
        bytes.drain(..told.unwrap_or(0).min(bytes.len()));
        let is_stuck = !bytes.is_empty();
        self.unsent.replace(bytes);
        if is_stuck {
            self.leave_to_owner();
        }
    }

    /// What was to be sent is gone, and nobody knows how much of it arrived.
    pub(super) fn lose(&self) {
        self.broken.set(true);
        self.leave_to_owner();
    }

    fn leave_to_owner(&self) {
        self.stuck.set(true);
        if let Some(owner) = self.owner.take() {
            owner.wake();
        }
    }

    /// Ready once nothing is unsent, or with the reason why that will never be.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unsent = self.unsent.borrow_mut();
        if self.broken.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while !unsent.is_empty() {
            match ready!(self.poll_write(context, &unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => unsent.drain(..sent),
            };
        }
        self.stuck.set(false);
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(&self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.try_write(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                told => return Poll::Ready(told),
            }
            ready!(self.stream().poll_write_ready(context))?;
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}
