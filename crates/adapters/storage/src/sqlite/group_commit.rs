//! Writer thread with group commit: writes that arrive during a commit are queued and share the next commit, because the
//! cost of a commit is one flush to disk.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use deadpool::managed::{Object, Pool, Status};
use diesel::SqliteConnection;
use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use pos_port_storage::shared::StorageError;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::engine_error::{EngineError, TooSlow, shared};
use crate::pool_share::PoolShare;
use crate::sqlite::connection::{Limits, SqliteManager, run};

/// Maximum number of writes in one commit.
pub(crate) const BATCH: usize = 64;
/// Capacity of the queue. Further writes are rejected at once: the disk is overloaded.
const QUEUE: usize = 4_096;

/// Timeout of the longest writes.
const LONG_WRITE_TIMEOUT: Duration = Duration::from_secs(3_600);

pub(crate) struct Writer {
    pool: Pool<SqliteManager>,
    limits: Limits,
    queue: mpsc::Sender<Box<dyn Write>>,
    /// At most one bulk write is queued at a time, so a small write never waits for several of them.
    bulk: PoolShare,
}

#[derive(Debug, thiserror::Error)]
enum QueueError {
    #[error("the queue is full: {QUEUE} writes are waiting")]
    Full,
    #[error("the write was not completed")]
    Ended,
}

impl Writer {
    /// Starts the thread. It ends after this value is dropped and all queued writes are committed.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn new(pool: Pool<SqliteManager>, limits: Limits) -> io::Result<Self> {
        let (queue, writes) = mpsc::channel(QUEUE);
        let runtime = runtime::Builder::new_current_thread().build()?;
        let connections = pool.clone();
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || runtime.block_on(commit_all(&connections, writes)))?;
        Ok(Self { pool, limits, queue, bulk: PoolShare::of(1) })
    }

    pub(crate) fn status(&self) -> Status {
        let status = self.pool.status();
        Status { waiting: status.waiting + self.queue.max_capacity() - self.queue.capacity(), ..status }
    }

    /// Runs an operation in a transaction that holds the write lock from its start, so that two writers cannot deadlock.
    /// The operation has its own savepoint, so that its failure does not affect other operations. Returns after the
    /// commit. An operation that has started completes even if its caller is cancelled; one whose caller was cancelled
    /// before does not run.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.run_queued(operation, false, |_| {}).await
    }

    /// Like [`Self::write`], and calls `after` with the outcome before the caller receives it, even if the caller is cancelled.
    pub(crate) async fn write_then<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
        after: impl FnOnce(&Result<T, EngineError>) + Send + 'static,
    ) -> Result<T, EngineError> {
        self.run_queued(operation, false, after).await
    }

    /// Like [`Self::write`], for bulk writes: alone in its commit, so that small writes do not wait for it in one commit. At
    /// most one bulk write is queued.
    pub(crate) async fn write_many<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let _permit = self.bulk.acquire().await?;
        self.run_queued(operation, true, |_| {}).await
    }

    async fn run_queued<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
        alone: bool,
        after: impl FnOnce(&Result<T, EngineError>) + Send + 'static,
    ) -> Result<T, EngineError> {
        let started = Arc::new(AtomicBool::new(false));
        let (reply, mut answer) = oneshot::channel();
        let (job_started, operation) = (started.clone(), Some(operation));
        self.enqueue(Box::new(Job { alone, started: job_started, operation, outcome: None, after, reply }))?;
        let not_completed = |_| Err(EngineError::unavailable(QueueError::Ended));
        if let Ok(outcome) = timeout(self.limits.acquire, &mut answer).await {
            return outcome.unwrap_or_else(not_completed);
        }
        if !started.swap(true, Ordering::AcqRel) {
            let what = "waiting to write to SQLite";
            return Err(EngineError::unavailable(TooSlow { what, limit: self.limits.acquire }));
        }
        let limit = self.limits.statement;
        let outcome = timeout(limit, answer).await;
        let outcome = outcome.map_err(|_| EngineError::unavailable(TooSlow { what: "an SQLite operation", limit }))?;
        outcome.unwrap_or_else(not_completed)
    }

    /// Runs a long operation alone, without the usual time limits; the caller has its own. Other writes wait for it within
    /// their limits.
    pub(crate) async fn write_long<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        run(&self.pool, Limits { acquire: LONG_WRITE_TIMEOUT, statement: LONG_WRITE_TIMEOUT }, operation).await
    }

    fn enqueue(&self, write: Box<dyn Write>) -> Result<(), EngineError> {
        self.queue.try_send(write).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => EngineError::unavailable(QueueError::Full),
            mpsc::error::TrySendError::Closed(_) => EngineError::unavailable(QueueError::Ended),
        })
    }
}

/// The thread's loop: waits for writes and for the connection, and commits all writes that have arrived.
async fn commit_all(pool: &Pool<SqliteManager>, mut writes: mpsc::Receiver<Box<dyn Write>>) {
    while let Some(first) = writes.recv().await {
        let mut waiting = VecDeque::from([first]);
        while !waiting.is_empty() {
            let connection = {
                let mut connection = pin!(pool.get());
                loop {
                    tokio::select! {
                        biased;
                        connection = &mut connection => break connection,
                        Some(write) = writes.recv() => push(&mut waiting, write),
                    }
                }
            };
            while let Ok(write) = writes.try_recv() {
                push(&mut waiting, write);
            }
            let batch = next_batch(&mut waiting);
            match connection {
                Ok(connection) => commit(connection, batch),
                Err(error) => reject(batch, StorageError::Unavailable(error.into())),
            }
        }
    }
}

/// Adds a write to the queue, or rejects it if the queue is full.
fn push(waiting: &mut VecDeque<Box<dyn Write>>, write: Box<dyn Write>) {
    if waiting.len() >= QUEUE {
        // Callers may have timed out while the connection was in use.
        waiting.retain(|write| write.is_wanted());
    }
    if waiting.len() >= QUEUE {
        reject(vec![write], StorageError::Unavailable(QueueError::Full.into()));
    } else {
        waiting.push_back(write);
    }
}

fn reject(batch: Vec<Box<dyn Write>>, error: StorageError) {
    batch.into_iter().zip(shared(error)).for_each(|(write, error)| write.finish(Some(error))());
}

fn commit(mut connection: Object<SqliteManager>, batch: Vec<Box<dyn Write>>) {
    match catch_unwind(AssertUnwindSafe(|| commit_together(&mut connection, batch))) {
        Ok(answers) => answers.into_iter().for_each(|answer| answer()),
        // Closing the connection releases the write lock. The dropped channels report the failure to the callers.
        Err(_) => drop(Object::take(connection)),
    }
}

/// Takes the next batch: all small writes at the front up to the maximum, or one bulk write.
fn next_batch(queue: &mut VecDeque<Box<dyn Write>>) -> Vec<Box<dyn Write>> {
    let together = queue.iter().take(BATCH).take_while(|write| !write.is_alone()).count();
    let first_alone = usize::from(together == 0 && !queue.is_empty());
    queue.drain(..together + first_alone).collect()
}

type Answer = Box<dyn FnOnce() + Send>;

/// Commits all writes, or none if the commit fails or the database has an error.
fn commit_together(connection: &mut SqliteConnection, mut batch: Vec<Box<dyn Write>>) -> Vec<Answer> {
    batch.retain(|write| write.start());
    if batch.is_empty() {
        return Vec::new();
    }
    let mut database_error = None;
    let committed = connection.immediate_transaction(|connection| {
        let mut writes = batch.iter_mut();
        writes.try_for_each(|write| write.run(connection)).map_err(|error| {
            database_error = Some(error);
            EngineError::unavailable(QueueError::Ended)
        })
    });
    // A failed rollback hides the original error, so the original one is reported.
    match committed.map_err(|failure| database_error.unwrap_or_else(|| failure.into())) {
        Ok(()) => batch.into_iter().map(|write| write.finish(None)).collect(),
        Err(error) => batch.into_iter().zip(shared(error)).map(|(write, error)| write.finish(Some(error))).collect(),
    }
}

/// One caller's write, independent of its result type.
trait Write: Send {
    /// Whether its caller still waits and it has not started.
    fn is_wanted(&self) -> bool;

    /// Whether it is committed alone.
    fn is_alone(&self) -> bool;

    /// Marks it as started. Returns false if its caller no longer waits.
    fn start(&self) -> bool;

    /// Runs it in the open transaction.
    ///
    /// # Errors
    /// If the database has an error: SQLite may have rolled back the whole transaction.
    fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), StorageError>;

    /// Returns a closure that sends its outcome to the caller, or the reason why there was no commit.
    fn finish(self: Box<Self>, no_commit: Option<StorageError>) -> Answer;
}

struct Job<T, O, A> {
    alone: bool,
    started: Arc<AtomicBool>,
    operation: Option<O>,
    outcome: Option<Result<T, EngineError>>,
    after: A,
    reply: oneshot::Sender<Result<T, EngineError>>,
}

impl<T, O, A> Write for Job<T, O, A>
where
    T: Send + 'static,
    O: FnOnce(&mut SqliteConnection) -> Result<T, EngineError> + Send + 'static,
    A: FnOnce(&Result<T, EngineError>) + Send + 'static,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed() && !self.started.load(Ordering::Acquire)
    }

    fn is_alone(&self) -> bool {
        self.alone
    }

    fn start(&self) -> bool {
        !self.reply.is_closed() && !self.started.swap(true, Ordering::AcqRel)
    }

    fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), StorageError> {
        let Some(operation) = self.operation.take() else {
            return Ok(());
        };
        let unavailable = |error: diesel::result::Error| StorageError::Unavailable(error.into());
        AnsiTransactionManager::begin_transaction(connection).map_err(unavailable)?;
        let outcome = operation(connection);
        let ended = if outcome.is_ok() {
            AnsiTransactionManager::commit_transaction(connection)
        } else {
            AnsiTransactionManager::rollback_transaction(connection)
        };
        match (outcome, ended) {
            (Err(EngineError::Storage(error @ StorageError::Unavailable(_))), _) => Err(error),
            // A missing savepoint means that SQLite rolled back the whole transaction.
            (Err(failure), Err(_)) => Err(StorageError::Unavailable(StorageError::from(failure).into())),
            (Ok(_), Err(error)) => Err(unavailable(error)),
            (outcome, Ok(())) => {
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }

    fn finish(self: Box<Self>, no_commit: Option<StorageError>) -> Answer {
        Box::new(move || {
            let outcome = match no_commit {
                Some(error) => Err(EngineError::Storage(error)),
                None => self.outcome.unwrap_or_else(|| Err(EngineError::fault(QueueError::Ended))),
            };
            (self.after)(&outcome);
            // A cancelled caller is ignored.
            let _ = self.reply.send(outcome);
        })
    }
}

#[cfg(test)]
mod tests;
