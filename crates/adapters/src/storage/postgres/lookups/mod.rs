//! Look-ups by id, gathered: while one statement is with the database, those that arrive meanwhile wait together, and
//! go as one statement the moment it is back. There is no timer, so a lone look-up waits for nothing; under load one
//! round trip serves many.
//!
//! Every HTTP worker has a lane of its own, with its own connection, on its own thread: a look-up crosses no thread.
//! Callers on a runtime of many threads share one lane. A lane is opened by its first look-up and ends with its
//! runtime; the next look-up opens another.

mod lane;

use std::sync::{Arc, Mutex, PoisonError};

use pos_domain::{Device, DeviceId};
use pos_port_storage::StorageError;
use thread_local::ThreadLocal;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use self::lane::Wanted;
use super::connection::PgManager;

/// How many look-ups may wait in one lane. More are refused at once: the database is not keeping up, and a caller is
/// better told so than kept.
const QUEUE: usize = 4_096;

/// The lanes of one store.
pub(super) struct Lookups {
    opener: Arc<PgManager>,
    of_threads: ThreadLocal<Slot>,
    shared: Slot,
}

type Slot = Mutex<Option<mpsc::Sender<Wanted>>>;

#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{QUEUE} look-ups are waiting already")]
    Full,
    #[error("the lane ended")]
    Ended,
}

impl Lookups {
    pub(super) fn new(opener: Arc<PgManager>) -> Self {
        Self { opener, of_threads: ThreadLocal::new(), shared: Slot::default() }
    }

    /// The device of this id. Answered within the time limits of one connect and two statements, whatever happens.
    pub(super) async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.send(Wanted { id: id.clone(), reply })?;
        answer.await.unwrap_or_else(|_| Err(unavailable(NoAnswer::Ended)))
    }

    fn send(&self, wanted: Wanted) -> Result<(), StorageError> {
        let here = Handle::current();
        let (slot, runtime) = match here.runtime_flavor() {
            RuntimeFlavor::CurrentThread => (self.of_threads.get_or_default(), &here),
            _ => (&self.shared, &self.opener.runtime),
        };
        let mut lane = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match &*lane {
            Some(open) => match open.try_send(wanted) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(unavailable(NoAnswer::Full)),
                Err(TrySendError::Closed(wanted)) => wanted,
            },
            None => wanted,
        };
        let (sender, queue) = mpsc::channel(QUEUE);
        let sent = sender.try_send(first).map_err(|_| unavailable(NoAnswer::Ended));
        runtime.spawn(lane::run(queue, Arc::clone(&self.opener)));
        *lane = Some(sender);
        sent
    }
}

fn unavailable(cause: NoAnswer) -> StorageError {
    StorageError::Unavailable(cause.into())
}
