//! The one connection that writes. Writes that come while it is at work wait together and are committed together:
//! what a commit costs is waiting for the disk, and that is then waited for once.
//!
//! Nobody is in charge. Each caller waits for its answer and for the connection; whoever gets the connection first takes
//! all that wait, its own write mostly among them, to a thread that may block.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool::managed::{Object, Pool, PoolError, Status};
use diesel::SqliteConnection;
use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use pos_port_storage::StorageError;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::LONGEST;
use super::connection::{ConnectError, Limits, SqliteManager, run};
use crate::storage::failure::{Failure, TooSlow, shared};

/// How many writes are committed together at most.
const BATCH: usize = 64;
/// How many may wait. More are refused at once: the disk is not keeping up.
const QUEUE: usize = 4_096;

pub(super) struct Writer {
    pool: Pool<SqliteManager>,
    limits: Limits,
    queue: Mutex<VecDeque<Box<dyn Write>>>,
}

#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{QUEUE} writes are waiting already")]
    Full,
    #[error("the write was not ended")]
    Ended,
}

impl Writer {
    pub(super) fn new(pool: Pool<SqliteManager>, limits: Limits) -> Self {
        Self { pool, limits, queue: Mutex::default() }
    }

    pub(super) fn status(&self) -> Status {
        self.pool.status()
    }

    /// Runs an operation in a transaction that holds the write lock from its start, so that no two writers read first
    /// and then wait for each other; with a savepoint of its own, so that what fails in it is nobody else's. It is
    /// answered once it is committed. It runs to its end if its caller goes away meanwhile, and not at all if its caller
    /// was gone before.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.wait_for(operation, false).await
    }

    /// The same for many rows at once: alone in its transaction, so that no small write has its time limit.
    pub(super) async fn write_many<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.wait_for(operation, true).await
    }

    async fn wait_for<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
        alone: bool,
    ) -> Result<T, Failure> {
        let begun = Arc::new(AtomicBool::new(false));
        let (reply, mut answer) = oneshot::channel();
        self.enqueue(Box::new(Job { alone, begun: begun.clone(), operation: Some(operation), outcome: None, reply }))?;
        let patience = sleep(self.limits.acquire);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                biased;
                outcome = &mut answer => return outcome.unwrap_or_else(|_| Err(Failure::unavailable(NoAnswer::Ended))),
                connection = self.pool.get() => {
                    self.commit_those_who_wait(connection.map_err(|error: PoolError<ConnectError>| Failure::unavailable(error))?);
                }
                () = &mut patience => {
                    if begun.swap(true, Ordering::AcqRel) {
                        break;
                    }
                    let what = "waiting to write to SQLite";
                    return Err(Failure::unavailable(TooSlow { what, limit: self.limits.acquire }));
                }
            }
        }
        let limit = self.limits.statement;
        let outcome = timeout(limit, answer).await;
        let outcome = outcome.map_err(|_| Failure::unavailable(TooSlow { what: "an SQLite operation", limit }))?;
        outcome.unwrap_or_else(|_| Err(Failure::unavailable(NoAnswer::Ended)))
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
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= QUEUE {
            // Nobody takes those out whose callers gave up while another held the connection.
            queue.retain(|write| write.is_wanted());
        }
        if queue.len() >= QUEUE {
            return Err(Failure::unavailable(NoAnswer::Full));
        }
        queue.push_back(write);
        Ok(())
    }

    /// The connection travels with the writes, to their end: nobody finds it in the middle of another's transaction.
    fn commit_those_who_wait(&self, mut connection: Object<SqliteManager>) {
        let batch = next_batch(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        if !batch.is_empty() {
            spawn_blocking(move || {
                match catch_unwind(AssertUnwindSafe(|| commit_together(&mut connection, batch))) {
                    Ok(answers) => answers.into_iter().for_each(|answer| answer()),
                    // Closed, it lets go of the write lock. That they are not answered tells the callers.
                    Err(_) => drop(Object::take(connection)),
                }
            });
        }
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

struct Job<T, O> {
    alone: bool,
    begun: Arc<AtomicBool>,
    operation: Option<O>,
    outcome: Option<Result<T, Failure>>,
    reply: oneshot::Sender<Result<T, Failure>>,
}

impl<T, O> Write for Job<T, O>
where
    T: Send + 'static,
    O: FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
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
            // A caller that is gone needs no answer.
            let _ = self.reply.send(outcome);
        })
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;
    use diesel::prelude::*;
    use diesel::sql_types::BigInt;

    use super::super::connection::Role;
    use super::*;

    type Reply = oneshot::Receiver<Result<(), Failure>>;

    fn job(
        operation: impl FnOnce(&mut SqliteConnection) -> Result<(), Failure> + Send + 'static,
    ) -> (Box<dyn Write>, Reply) {
        let (reply, answer) = oneshot::channel();
        (
            Box::new(Job { alone: false, begun: Arc::default(), operation: Some(operation), outcome: None, reply }),
            answer,
        )
    }

    fn put(sql: &'static str) -> (Box<dyn Write>, Reply) {
        job(move |connection| Ok(connection.batch_execute(sql)?))
    }

    fn store() -> SqliteConnection {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        let tables = "PRAGMA foreign_keys = ON; CREATE TABLE parents (id INTEGER PRIMARY KEY);
            CREATE TABLE notes (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)";
        connection.batch_execute(tables).unwrap();
        connection
    }

    fn notes(connection: &mut SqliteConnection) -> Vec<i64> {
        #[derive(QueryableByName)]
        struct Note {
            #[diesel(sql_type = BigInt)]
            id: i64,
        }
        let rows = diesel::sql_query("SELECT id FROM notes ORDER BY id").load::<Note>(connection).unwrap();
        rows.into_iter().map(|note| note.id).collect()
    }

    /// Commits, and answers what each was told.
    fn told(connection: &mut SqliteConnection, jobs: Vec<(Box<dyn Write>, Reply)>) -> Vec<Result<(), Failure>> {
        let (batch, replies): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        commit_together(connection, batch).into_iter().for_each(|answer| answer());
        replies.into_iter().map(|mut reply| reply.try_recv().unwrap()).collect()
    }

    #[test]
    fn what_fails_is_its_own_callers_and_leaves_nothing() {
        let mut connection = store();
        let half = "INSERT INTO notes (id) VALUES (2); INSERT INTO notes (id) VALUES (1)";
        let jobs = vec![put("INSERT INTO notes (id) VALUES (1)"), put(half), put("INSERT INTO notes (id) VALUES (3)")];
        let told = told(&mut connection, jobs);
        assert!(told[0].is_ok() && told[2].is_ok(), "{told:?}");
        assert!(matches!(&told[1], Err(Failure::Taken { place, .. }) if place == "notes.id"), "{told:?}");
        assert_eq!(notes(&mut connection), [1, 3]);
    }

    #[test]
    fn a_commit_that_fails_is_everybodys() {
        let mut connection = store();
        let orphan = put("INSERT INTO notes (id, parent) VALUES (2, 77)");
        let told = told(&mut connection, vec![put("INSERT INTO notes (id) VALUES (1)"), orphan]);
        assert!(told.iter().all(|told| matches!(told, Err(Failure::Storage(_)))), "{told:?}");
        assert_eq!(notes(&mut connection), Vec::<i64>::new());
    }

    #[test]
    fn a_store_out_of_order_ends_the_batch_and_is_told_as_unavailable() {
        let mut connection = store();
        let broken = job(|connection| {
            connection.batch_execute("INSERT INTO notes (id) VALUES (2)")?;
            Err(Failure::unavailable("disk I/O error"))
        });
        let told = told(&mut connection, vec![put("INSERT INTO notes (id) VALUES (1)"), broken]);
        let unavailable =
            |told: &Result<(), Failure>| matches!(told, Err(Failure::Storage(StorageError::Unavailable(_))));
        assert!(told.iter().all(unavailable), "{told:?}");
        assert_eq!(notes(&mut connection), Vec::<i64>::new());
    }

    #[test]
    fn when_sqlite_rolls_back_by_itself_nothing_of_the_batch_is_kept() {
        let mut connection = store();
        // As after an I/O error: no savepoint is left, and no transaction.
        let broken = job(|connection| {
            connection.batch_execute("INSERT INTO notes (id) VALUES (2); ROLLBACK")?;
            Err(Failure::fault("the disk cannot be read"))
        });
        let jobs = vec![put("INSERT INTO notes (id) VALUES (1)"), broken, put("INSERT INTO notes (id) VALUES (3)")];
        let told = told(&mut connection, jobs);
        let unavailable =
            |told: &Result<(), Failure>| matches!(told, Err(Failure::Storage(StorageError::Unavailable(_))));
        assert!(told.iter().all(unavailable), "{told:?}");
        assert_eq!(notes(&mut connection), Vec::<i64>::new());
    }

    #[test]
    fn what_is_to_be_alone_is() {
        let alone = || {
            let (reply, _) = oneshot::channel::<Result<(), Failure>>();
            let operation = Some(|_: &mut SqliteConnection| Ok(()));
            Box::new(Job { alone: true, begun: Arc::default(), operation, outcome: None, reply }) as Box<dyn Write>
        };
        let small = || put("SELECT 1").0;
        let mut queue = VecDeque::from([small(), small(), alone(), alone(), small()]);
        let sizes: Vec<_> = std::iter::repeat_with(|| next_batch(&mut queue).len()).take(5).collect();
        assert_eq!(sizes, [2, 1, 1, 1, 0]);
    }

    /// Nobody but those who wait takes writes out of the queue.
    #[tokio::test]
    async fn a_queue_of_those_who_gave_up_is_not_full() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { acquire: std::time::Duration::ZERO, statement: std::time::Duration::from_secs(60) };
        let manager =
            SqliteManager { path: folder.path().join("pos.db"), role: Role::Writer, busy_timeout: limits.busy() };
        let writer = Writer::new(Pool::builder(manager).max_size(1).build().unwrap(), limits);
        let held = writer.pool.get().await.unwrap();
        for _ in 0..QUEUE {
            assert!(writer.write(|_| Ok(())).await.is_err());
        }
        drop(held);
        let patient = Writer { limits: Limits { acquire: limits.statement, ..limits }, ..writer };
        assert_eq!(patient.write(|_| Ok(7)).await.unwrap(), 7);
    }

    #[test]
    fn who_is_gone_before_the_turn_writes_nothing() {
        let mut connection = store();
        let (gone, reply) = put("INSERT INTO notes (id) VALUES (1)");
        drop(reply);
        let (there, mut reply) = put("INSERT INTO notes (id) VALUES (2)");
        commit_together(&mut connection, vec![gone, there]).into_iter().for_each(|answer| answer());
        assert!(reply.try_recv().unwrap().is_ok());
        assert_eq!(notes(&mut connection), [2]);
    }
}
