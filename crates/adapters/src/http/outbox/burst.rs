use std::io;
use std::rc::Rc;
use std::time::Duration;

use compio_buf::{BufResult, IntoInner as _};
use compio_driver::op::{OpCodeFlag, Send, SendFlags};
use compio_driver::{Key, Proactor, PushEntry};

use super::line::Line;

/// Sends on many connections by one call into the system, by its ring of operations (io_uring). With a call for each, the first
/// already wakes its caller, and where that shares the processor the system turns to it before the second is made.
pub(super) struct Burst {
    ring: Proactor,
    under_way: Vec<(Rc<Line>, Key<Sending>)>,
}

type Sending = Send<Vec<u8>, Rc<Line>>;

/// How often the system is asked again that has no room for a burst at this moment.
const TRIES: usize = 1_000;

/// Hands over what was pushed. What is sent without waiting is done, or refused, by the time the call is back.
fn submit(ring: &mut Proactor) -> io::Result<()> {
    match ring.poll(Some(Duration::ZERO)) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::TimedOut) => Err(error),
        _ => Ok(()),
    }
}

impl Burst {
    /// Nothing where the system has no ring, or not for us.
    pub(super) fn open(most: usize) -> Option<Self> {
        // And one for the ring's own.
        let capacity = u32::try_from(most + 1).ok()?;
        let ring = Proactor::builder().capacity(capacity).detect_opcode_support(OpCodeFlag::Send).build();
        // A system that is too old for how it is asked says so with the first call.
        let tried = ring.and_then(|mut ring| submit(&mut ring).map(|()| ring));
        match tried {
            Ok(ring) => Some(Self { ring, under_way: Vec::with_capacity(most) }),
            Err(error) => {
                tracing::debug!(%error, "no io_uring: answers are sent one by one");
                None
            }
        }
    }

    /// Sends what each has to say, as far as the system takes it now.
    ///
    /// # Errors
    /// When the ring is of no use any more. Lines of which nobody knows what was sent have been told.
    pub(super) fn send(&mut self, lines: impl Iterator<Item = Rc<Line>>) -> io::Result<()> {
        for line in lines {
            let bytes = line.unsent.take();
            // It may stand here twice, or have been sent already.
            if bytes.is_empty() {
                continue;
            }
            let sending = Send::new(Rc::clone(&line), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            match self.ring.push(sending) {
                PushEntry::Pending(key) => self.under_way.push((line, key)),
                PushEntry::Ready(BufResult(told, sending)) => line.sent(told, sending.into_inner()),
            }
        }
        let mut tries = TRIES;
        while !self.under_way.is_empty() {
            tries -= 1;
            let told = if tries == 0 { Err(io::ErrorKind::TimedOut.into()) } else { submit(&mut self.ring) };
            if let Err(error) = told {
                self.under_way.drain(..).for_each(|(line, _)| line.lose());
                return Err(error);
            }
            for (line, key) in std::mem::take(&mut self.under_way) {
                match self.ring.pop(key) {
                    PushEntry::Pending(key) => self.under_way.push((line, key)),
                    PushEntry::Ready(BufResult(told, sending)) => line.sent(told, sending.into_inner()),
                }
            }
        }
        Ok(())
    }
}
