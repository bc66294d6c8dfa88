//! The thread that writes. Writes that come while it is at work wait together and are committed together: what a commit
//! costs is waiting for the disk, and that is then waited for once.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use deadpool::managed::{Object, Pool, Status};
use diesel::SqliteConnection;
use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use pos_port_storage::StorageError;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::LONGEST;
use super::connection::{Limits, SqliteManager, run};
use crate::storage::failure::{Failure, TooSlow, shared};
use crate::storage::pool_share::PoolShare;

/// How many writes are committed together at most.
pub(super) const BATCH: usize = 64;
/// How many may wait. More are refused at once: the disk is not keeping up.
const QUEUE: usize = 4_096;

pub(super) struct Writer {
    pool: Pool<SqliteManager>,
    limits: Limits,
    queue: mpsc::Sender<Box<dyn Write>>,
    /// One write of many rows is in the queue at a time, so those of few rows never wait for several of them.
    bulk: PoolShare,
}

#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{QUEUE} writes are waiting already")]
    Full,
    #[error("the write was not ended")]
    Ended,
}

impl Writer {
    /// Starts the thread, which ends when this is dropped and everything that waits is written.
    ///
    /// # Errors
    /// When there can be no such thread.
    pub(super) fn new(pool: Pool<SqliteManager>, limits: Limits) -> io::Result<Self> {
        let (queue, writes) = mpsc::channel(QUEUE);
        let runtime = runtime::Builder::new_current_thread().build()?;
        let connections = pool.clone();
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || runtime.block_on(commit_all(&connections, writes)))?;
        Ok(Self { pool, limits, queue, bulk: PoolShare::of(1) })
    }

    pub(super) fn status(&self) -> Status {
        let status = self.pool.status();
        Status { waiting: status.waiting + self.queue.max_capacity() - self.queue.capacity(), ..status }
    }

    /// Runs an operation in a transaction that holds the write lock from its start, so that no two writers read first
    /// and then wait for each other; with a savepoint of its own, so that what fails in it is nobody else's. It is
    /// answered once it is committed. It runs to its end if its caller goes away meanwhile, and not at all if its caller
    /// was gone before.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.wait_for(operation, false, |_| {}).await
    }

    /// The same, and calls `after` with the outcome before the caller is answered, also when the caller is gone by then.
    pub(super) async fn write_then<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
        after: impl FnOnce(&Result<T, Failure>) + Send + 'static,
    ) -> Result<T, Failure> {
        self.wait_for(operation, false, after).await
    }

    /// The same for many rows at once: alone in its transaction, so that no small write has its time limit. It waits in
    /// the queue only when no other of its kind does.
    pub(super) async fn write_many<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let _permit = self.bulk.acquire().await?;
        self.wait_for(operation, true, |_| {}).await
    }

    async fn wait_for<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
        alone: bool,
        after: impl FnOnce(&Result<T, Failure>) + Send + 'static,
    ) -> Result<T, Failure> {
        let begun = Arc::new(AtomicBool::new(false));
        let (reply, mut answer) = oneshot::channel();
        let (begun_here, operation) = (begun.clone(), Some(operation));
        self.enqueue(Box::new(Job { alone, begun: begun_here, operation, outcome: None, after, reply }))?;
        let ended = |_| Err(Failure::unavailable(NoAnswer::Ended));
        if let Ok(outcome) = timeout(self.limits.acquire, &mut answer).await {
            return outcome.unwrap_or_else(ended);
        }
        if !begun.swap(true, Ordering::AcqRel) {
            let what = "waiting to write to SQLite";
            return Err(Failure::unavailable(TooSlow { what, limit: self.limits.acquire }));
        }
        let limit = self.limits.statement;
        let outcome = timeout(limit, answer).await;
        let outcome = outcome.map_err(|_| Failure::unavailable(TooSlow { what: "an SQLite operation", limit }))?;
        outcome.unwrap_or_else(ended)
    }

    /// Alone, where it may take long and the caller has a time limit of its own. All others wait for it, each as long as
    /// its own limits allow.
    pub(super) async fn write_long<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        run(&self.pool, Limits { acquire: LONGEST, statement: LONGEST }, operation).await
    }

    fn enqueue(&self, write: Box<dyn Write>) -> Result<(), Failure> {
        self.queue.try_send(write).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Failure::unavailable(NoAnswer::Full),
            mpsc::error::TrySendError::Closed(_) => Failure::unavailable(NoAnswer::Ended),
        })
    }
}

/// The thread's work: waits for writes and for the connection, and commits all that have come by then.
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
                        Some(write) = writes.recv() => wait(&mut waiting, write),
                    }
                }
            };
            while let Ok(write) = writes.try_recv() {
                wait(&mut waiting, write);
            }
            let batch = next_batch(&mut waiting);
            match connection {
                Ok(connection) => commit(connection, batch),
                Err(error) => refuse(batch, StorageError::Unavailable(error.into())),
            }
        }
    }
}

/// Has a write wait, unless too many do.
fn wait(waiting: &mut VecDeque<Box<dyn Write>>, write: Box<dyn Write>) {
    if waiting.len() >= QUEUE {
        // Callers may have given up while another held the connection.
        waiting.retain(|write| write.is_wanted());
    }
    if waiting.len() >= QUEUE {
        refuse(vec![write], StorageError::Unavailable(NoAnswer::Full.into()));
    } else {
        waiting.push_back(write);
    }
}

fn refuse(batch: Vec<Box<dyn Write>>, error: StorageError) {
    batch.into_iter().zip(shared(error)).for_each(|(write, error)| write.end(Some(error))());
}

fn commit(mut connection: Object<SqliteManager>, batch: Vec<Box<dyn Write>>) {
    match catch_unwind(AssertUnwindSafe(|| commit_together(&mut connection, batch))) {
        Ok(answers) => answers.into_iter().for_each(|answer| answer()),
        // Closed, it lets go of the write lock. That they are not answered tells the callers.
        Err(_) => drop(Object::take(connection)),
    }
}

/// Those that are committed together next: as many as wait, or the first of them if it is to be alone.
fn next_batch(queue: &mut VecDeque<Box<dyn Write>>) -> Vec<Box<dyn Write>> {
    let together = queue.iter().take(BATCH).take_while(|write| !write.is_alone()).count();
    let first_alone = usize::from(together == 0 && !queue.is_empty());
    queue.drain(..together + first_alone).collect()
}

type Answer = Box<dyn FnOnce() + Send>;

/// All or, if the commit fails or the store is out of order, none.
fn commit_together(connection: &mut SqliteConnection, mut batch: Vec<Box<dyn Write>>) -> Vec<Answer> {
    batch.retain(|write| write.begin());
    if batch.is_empty() {
        return Vec::new();
    }
    let mut out_of_order = None;
    let committed = connection.immediate_transaction(|connection| {
        let mut writes = batch.iter_mut();
        writes.try_for_each(|write| write.run(connection)).map_err(|error| {
            out_of_order = Some(error);
            Failure::unavailable(NoAnswer::Ended)
        })
    });
    // That there is nothing left to roll back, as may be, is not what went wrong.
    match committed.map_err(|failure| out_of_order.unwrap_or_else(|| failure.into())) {
        Ok(()) => batch.into_iter().map(|write| write.end(None)).collect(),
        Err(error) => batch.into_iter().zip(shared(error)).map(|(write, error)| write.end(Some(error))).collect(),
    }
}

/// One caller's write, whatever it answers.
trait Write: Send {
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool;

    /// Whether it is not to be committed together with others.
    fn is_alone(&self) -> bool;

    /// Whether it is still wanted. From here on it is under way.
    fn begin(&self) -> bool;

    /// Runs it in the transaction that is open.
    ///
    /// # Errors
    /// The store is out of order: SQLite may have rolled everything back by itself.
    fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), StorageError>;

    /// What tells its caller: its own outcome, or why there was no commit.
    fn end(self: Box<Self>, no_commit: Option<StorageError>) -> Answer;
}

struct Job<T, O, A> {
    alone: bool,
    begun: Arc<AtomicBool>,
    operation: Option<O>,
    outcome: Option<Result<T, Failure>>,
    after: A,
    reply: oneshot::Sender<Result<T, Failure>>,
}

impl<T, O, A> Write for Job<T, O, A>
where
    T: Send + 'static,
    O: FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    A: FnOnce(&Result<T, Failure>) + Send + 'static,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed() && !self.begun.load(Ordering::Acquire)
    }

    fn is_alone(&self) -> bool {
        self.alone
    }

    fn begin(&self) -> bool {
        !self.reply.is_closed() && !self.begun.swap(true, Ordering::AcqRel)
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
            (Err(Failure::Storage(error @ StorageError::Unavailable(_))), _) => Err(error),
            // A savepoint that is gone says that SQLite rolled the whole transaction back.
            (Err(failure), Err(_)) => Err(StorageError::Unavailable(StorageError::from(failure).into())),
            (Ok(_), Err(error)) => Err(unavailable(error)),
            (outcome, Ok(())) => {
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }

    fn end(self: Box<Self>, no_commit: Option<StorageError>) -> Answer {
        Box::new(move || {
            let outcome = match no_commit {
                Some(error) => Err(Failure::Storage(error)),
                None => self.outcome.unwrap_or_else(|| Err(Failure::fault(NoAnswer::Ended))),
            };
            (self.after)(&outcome);
            // A caller that is gone needs no answer.
            let _ = self.reply.send(outcome);
        })
    }
}

#[cfg(test)]
mod tests;
