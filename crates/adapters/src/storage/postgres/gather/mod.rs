//! Calls of one kind, gathered: while one statement is with the database, those that arrive meanwhile wait together, and
//! go as one statement once it is back and its callers had their turn. There is no timer, so a lone call waits for
//! nothing; under load one round trip serves many.
//!
//! Every HTTP worker has a lane of its own, with its own connection, on its own thread: a call crosses no thread.
//! Callers on a runtime of many threads share one lane. A lane is opened by its first call and ends with its runtime;
//! the next call opens another.
//!
//! [`Lookups`] finds devices, [`Saves`] keeps transitions. Each says what becomes of a batch ([`Gather`]).

mod by_ids;
mod lane;
mod lookups;
mod save_many;
mod saves;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pos_port_storage::StorageError;
use thread_local::ThreadLocal;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

pub(super) use self::lane::Lane;
pub(super) use self::lookups::Lookups;
pub(super) use self::saves::Saves;
use super::connection::{Link, PgManager};

/// How many calls may wait in one lane. More are refused at once: the database is not keeping up, and a caller is
/// better told so than kept.
const QUEUE: usize = 4_096;

/// How often the others have their turn after a statement of a lane. In the first, the callers that were just
/// answered write, and what has arrived meanwhile is noticed; in the second it is read, and joins the batch.
const TURNS: usize = 2;

/// A kind of call that is gathered.
trait Gather: Send + 'static {
    /// What a caller is told.
    type Answer: Send;
    /// What its lane speaks to the database through.
    type Link: Link;
    /// How many go to the database in one statement.
    const BATCH: usize;

    /// Answers the calls of a batch. A call that is left in it goes with the next.
    fn serve(lane: &mut Lane<Self::Link>, batch: &mut Vec<Waiting<Self>>) -> impl Future<Output = ()> + Send
    where
        Self: Sized;
}

/// One call, and where its caller waits.
struct Waiting<G: Gather> {
    call: G,
    reply: oneshot::Sender<G::Answer>,
}

impl<G: Gather> Waiting<G> {
    /// A caller that is gone needs no answer.
    fn answer(self, answer: G::Answer) {
        let _ = self.reply.send(answer);
    }
}

/// The lanes of one kind of call.
struct Lanes<G: Gather> {
    opener: Arc<PgManager>,
    /// Of threads that are a whole runtime, as HTTP workers are. Whoever runs one of many threads on such a thread later
    /// must have ended the first.
    of_threads: ThreadLocal<Slot<G>>,
    shared: Slot<G>,
}

type Slot<G> = Mutex<Option<mpsc::Sender<Waiting<G>>>>;

#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{QUEUE} calls are waiting already")]
    Full,
    #[error("the lane ended")]
    Ended,
}

impl<G: Gather> Lanes<G> {
    fn new(opener: Arc<PgManager>) -> Self {
        Self { opener, of_threads: ThreadLocal::new(), shared: Slot::default() }
    }

    /// Answered once those before it in the queue are: each batch takes at most the time of one connect and two
    /// statements, and more than one only where one by one is needed.
    async fn call(&self, call: G) -> Result<G::Answer, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.send(Waiting { call, reply })?;
        answer.await.map_err(|_| unavailable(NoAnswer::Ended))
    }

    fn send(&self, waiting: Waiting<G>) -> Result<(), StorageError> {
        // A thread has a slot once it was seen to be all there is of its runtime: it need not be asked again.
        let waiting = match self.of_threads.get() {
            Some(slot) => match hand_in(&mut lock(slot), waiting)? {
                None => return Ok(()),
                Some(waiting) => waiting,
            },
            None => waiting,
        };
        let here = Handle::current();
        let (slot, runtime) = match here.runtime_flavor() {
            RuntimeFlavor::CurrentThread => (self.of_threads.get_or_default(), &here),
            _ => (&self.shared, &self.opener.runtime),
        };
        let mut lane = lock(slot);
        let Some(first) = hand_in(&mut lane, waiting)? else {
            return Ok(());
        };
        let (sender, queue) = mpsc::channel(QUEUE);
        let sent = sender.try_send(first).map_err(|_| unavailable(NoAnswer::Ended));
        runtime.spawn(run(queue, Arc::clone(&self.opener)));
        *lane = Some(sender);
        sent
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a call into the lane's queue. Gives it back when there is no lane, or no longer.
fn hand_in<G: Gather>(
    lane: &mut Option<mpsc::Sender<Waiting<G>>>,
    waiting: Waiting<G>,
) -> Result<Option<Waiting<G>>, StorageError> {
    let Some(open) = lane else {
        return Ok(Some(waiting));
    };
    match open.try_send(waiting) {
        Ok(()) => Ok(None),
        Err(TrySendError::Full(_)) => Err(unavailable(NoAnswer::Full)),
        Err(TrySendError::Closed(waiting)) => Ok(Some(waiting)),
    }
}

/// Serves a lane until its store is gone.
async fn run<G: Gather>(mut queue: mpsc::Receiver<Waiting<G>>, opener: Arc<PgManager>) {
    let mut lane = Lane::new(opener);
    let mut batch = Vec::with_capacity(G::BATCH);
    loop {
        if batch.is_empty() {
            if queue.recv_many(&mut batch, G::BATCH).await == 0 {
                return;
            }
        } else {
            // Beside those that are left over, so that they keep nobody out.
            let most = batch.len() + G::BATCH;
            while batch.len() < most
                && let Ok(waiting) = queue.try_recv()
            {
                batch.push(waiting);
            }
        }
        // Nobody waits for what callers that went away wanted.
        batch.retain(|waiting| !waiting.reply.is_closed());
        if !batch.is_empty() {
            G::serve(&mut lane, &mut batch).await;
            for _ in 0..TURNS {
                yield_now().await;
            }
        }
    }
}

fn unavailable(cause: NoAnswer) -> StorageError {
    StorageError::Unavailable(cause.into())
}
