//! Request batching: calls that arrive while a statement runs are queued, and the next statement serves all of them.
//!
//! There is no timer: a single call does not wait, and under load one round trip serves many calls.
//!
//! Every HTTP worker has its own queue and connection on its own thread, so a call crosses no thread. Callers on a
//! multi-threaded runtime share one queue. The first call starts a worker, which ends with its runtime; a later call
//! starts another one.
//!
//! [`Lookups`] finds devices, [`Saves`] stores transitions. Each implements [`BatchedCall`].

mod by_ids;
mod lookups;
mod saves;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pos_port_storage::shared::StorageError;
use thread_local::ThreadLocal;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

pub(crate) use crate::postgres::batching::lookups::Lookups;
pub(crate) use crate::postgres::batching::saves::Saves;
use crate::postgres::pool::{FromClient, PgManager};
use crate::postgres::worker::BatchWorker;

/// Capacity of one queue (backpressure). Further calls are rejected at once: the database is overloaded, and an early error is better
/// than a long wait.
const QUEUE: usize = 4_096;

/// How often a worker yields to other tasks between two batches. In the first yield, callers write their responses and
/// sockets become readable; in the second, new requests are read and join the batch.
const YIELDS_BETWEEN_BATCHES: usize = 2;

/// A kind of call that is batched.
trait BatchedCall: Send + 'static {
    /// The result of one call.
    type Answer: Send;
    /// The connection type of its worker.
    type Connection: FromClient;
    /// Maximum number of calls in one statement.
    const BATCH: usize;

    /// Runs the calls of a batch and sends their results. A call that stays in the batch joins the next one.
    fn run_batch(
        worker: &mut BatchWorker<Self::Connection>,
        batch: &mut Vec<QueuedCall<Self>>,
    ) -> impl Future<Output = ()> + Send
    where
        Self: Sized;
}

/// A queued call and the channel for its result.
struct QueuedCall<G: BatchedCall> {
    call: G,
    reply: oneshot::Sender<G::Answer>,
}

impl<G: BatchedCall> QueuedCall<G> {
    /// Sends the result. A cancelled caller is ignored.
    fn answer(self, answer: G::Answer) {
        let _ = self.reply.send(answer);
    }
}

/// The batch workers of one kind of call.
struct BatchWorkers<G: BatchedCall> {
    opener: Arc<PgManager>,
    /// One queue per thread that owns a current-thread runtime (each HTTP worker). A thread must shut its runtime down
    /// before it starts another.
    per_thread: ThreadLocal<Slot<G>>,
    shared: Slot<G>,
}

type Slot<G> = Mutex<Option<mpsc::Sender<QueuedCall<G>>>>;

#[derive(Debug, thiserror::Error)]
enum QueueError {
    #[error("the queue is full: {QUEUE} calls are waiting")]
    Full,
    #[error("the batch worker ended")]
    Ended,
}

impl<G: BatchedCall> BatchWorkers<G> {
    fn new(opener: Arc<PgManager>) -> Self {
        Self { opener, per_thread: ThreadLocal::new(), shared: Slot::default() }
    }

    /// Queues a call and waits for its result. A batch takes at most one connect and two statements, and more statements
    /// only if calls are retried one by one.
    async fn call(&self, call: G) -> Result<G::Answer, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.send(QueuedCall { call, reply })?;
        answer.await.map_err(|_| unavailable(QueueError::Ended))
    }

    fn send(&self, queued: QueuedCall<G>) -> Result<(), StorageError> {
        // A thread with a slot is known to own a current-thread runtime, so the runtime flavor is not checked again.
        let queued = match self.per_thread.get() {
            Some(slot) => match enqueue(&mut lock(slot), queued)? {
                None => return Ok(()),
                Some(queued) => queued,
            },
            None => queued,
        };
        let current = Handle::current();
        let (slot, runtime) = match current.runtime_flavor() {
            RuntimeFlavor::CurrentThread => (self.per_thread.get_or_default(), &current),
            _ => (&self.shared, &self.opener.runtime),
        };
        let mut sender_slot = lock(slot);
        let Some(first) = enqueue(&mut sender_slot, queued)? else {
            return Ok(());
        };
        let (sender, queue) = mpsc::channel(QUEUE);
        let sent = sender.try_send(first).map_err(|_| unavailable(QueueError::Ended));
        runtime.spawn(run_worker(queue, Arc::clone(&self.opener)));
        *sender_slot = Some(sender);
        sent
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a call into a worker's queue. Returns the call if there is no worker, or if it ended.
fn enqueue<G: BatchedCall>(
    sender: &mut Option<mpsc::Sender<QueuedCall<G>>>,
    queued: QueuedCall<G>,
) -> Result<Option<QueuedCall<G>>, StorageError> {
    let Some(sender) = sender else {
        return Ok(Some(queued));
    };
    match sender.try_send(queued) {
        Ok(()) => Ok(None),
        Err(TrySendError::Full(_)) => Err(unavailable(QueueError::Full)),
        Err(TrySendError::Closed(queued)) => Ok(Some(queued)),
    }
}

/// Runs the batches of a queue until its store is dropped.
async fn run_worker<G: BatchedCall>(mut queue: mpsc::Receiver<QueuedCall<G>>, opener: Arc<PgManager>) {
    let mut worker = BatchWorker::new(opener);
    let mut batch = Vec::with_capacity(G::BATCH);
    loop {
        if batch.is_empty() {
            if queue.recv_many(&mut batch, G::BATCH).await == 0 {
                return;
            }
        } else {
            // A full batch of new calls beside those left over, so that calls which are held do not block new ones.
            let most = batch.len() + G::BATCH;
            while batch.len() < most
                && let Ok(queued) = queue.try_recv()
            {
                batch.push(queued);
            }
        }
        // Cancelled calls are dropped.
        batch.retain(|queued| !queued.reply.is_closed());
        if !batch.is_empty() {
            G::run_batch(&mut worker, &mut batch).await;
            for _ in 0..YIELDS_BETWEEN_BATCHES {
                yield_now().await;
            }
        }
    }
}

fn unavailable(cause: QueueError) -> StorageError {
    StorageError::Unavailable(cause.into())
}
