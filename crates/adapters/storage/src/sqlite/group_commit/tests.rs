//! Tests of the writer: batches, commits that fail, queues and panics.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::sqlite::connection::Role;
use crate::sqlite::group_commit::*;

type Reply = oneshot::Receiver<Result<(), EngineError>>;

fn job(
    operation: impl FnOnce(&mut SqliteConnection) -> Result<(), EngineError> + Send + 'static,
) -> (Box<dyn Write>, Reply) {
    let (reply, answer) = oneshot::channel();
    let (operation, after) = (Some(operation), |_: &Result<(), EngineError>| {});
    (Box::new(Job { alone: false, started: Arc::default(), operation, outcome: None, after, reply }), answer)
}

fn write(sql: &'static str) -> (Box<dyn Write>, Reply) {
    job(move |connection| Ok(connection.batch_execute(sql)?))
}

fn test_database() -> SqliteConnection {
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

/// Commits the jobs in one batch and returns their results.
fn commit_jobs(connection: &mut SqliteConnection, jobs: Vec<(Box<dyn Write>, Reply)>) -> Vec<Result<(), EngineError>> {
    let (batch, replies): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
    commit_together(connection, batch).into_iter().for_each(|answer| answer());
    replies.into_iter().map(|mut reply| reply.try_recv().unwrap()).collect()
}

#[test]
fn a_failed_write_affects_only_its_caller_and_stores_nothing() {
    let mut connection = test_database();
    let half = "INSERT INTO notes (id) VALUES (2); INSERT INTO notes (id) VALUES (1)";
    let (first, third) = ("INSERT INTO notes (id) VALUES (1)", "INSERT INTO notes (id) VALUES (3)");
    let jobs = vec![write(first), write(half), write(third)];
    let results = commit_jobs(&mut connection, jobs);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!(
        matches!(&results[1], Err(EngineError::UniqueViolation { constraint, .. }) if constraint == "notes.id"),
        "{results:?}"
    );
    assert_eq!(notes(&mut connection), [1, 3]);
}

#[test]
fn a_failed_commit_fails_every_write() {
    let mut connection = test_database();
    let orphan = write("INSERT INTO notes (id, parent) VALUES (2, 77)");
    let results = commit_jobs(&mut connection, vec![write("INSERT INTO notes (id) VALUES (1)"), orphan]);
    assert!(results.iter().all(|result| matches!(result, Err(EngineError::Storage(_)))), "{results:?}");
    assert_eq!(notes(&mut connection), Vec::<i64>::new());
}

#[test]
fn a_database_error_fails_the_batch_as_unavailable() {
    let mut connection = test_database();
    let broken = job(|connection| {
        connection.batch_execute("INSERT INTO notes (id) VALUES (2)")?;
        Err(EngineError::unavailable("disk I/O error"))
    });
    let results = commit_jobs(&mut connection, vec![write("INSERT INTO notes (id) VALUES (1)"), broken]);
    let unavailable =
        |result: &Result<(), EngineError>| matches!(result, Err(EngineError::Storage(StorageError::Unavailable(_))));
    assert!(results.iter().all(unavailable), "{results:?}");
    assert_eq!(notes(&mut connection), Vec::<i64>::new());
}

#[test]
fn after_a_rollback_by_sqlite_nothing_of_the_batch_is_stored() {
    let mut connection = test_database();
    // As after an I/O error: the savepoint and the transaction no longer exist.
    let broken = job(|connection| {
        connection.batch_execute("INSERT INTO notes (id) VALUES (2); ROLLBACK")?;
        Err(EngineError::fault("the disk cannot be read"))
    });
    let jobs = vec![write("INSERT INTO notes (id) VALUES (1)"), broken, write("INSERT INTO notes (id) VALUES (3)")];
    let results = commit_jobs(&mut connection, jobs);
    let unavailable =
        |result: &Result<(), EngineError>| matches!(result, Err(EngineError::Storage(StorageError::Unavailable(_))));
    assert!(results.iter().all(unavailable), "{results:?}");
    assert_eq!(notes(&mut connection), Vec::<i64>::new());
}

#[test]
fn a_bulk_write_is_alone_in_its_batch() {
    let alone = || {
        let (reply, _) = oneshot::channel::<Result<(), EngineError>>();
        let (operation, after) = (Some(|_: &mut SqliteConnection| Ok(())), |_: &Result<(), EngineError>| {});
        Box::new(Job { alone: true, started: Arc::default(), operation, outcome: None, after, reply }) as Box<dyn Write>
    };
    let small = || write("SELECT 1").0;
    let mut queue = VecDeque::from([small(), small(), alone(), alone(), small()]);
    let sizes: Vec<_> = std::iter::repeat_with(|| next_batch(&mut queue).len()).take(5).collect();
    assert_eq!(sizes, [2, 1, 1, 1, 0]);
}

#[tokio::test]
async fn a_panic_fails_its_batch_and_the_thread_continues() {
    let folder = tempfile::tempdir().unwrap();
    let limit = std::time::Duration::from_secs(60);
    let limits = Limits { acquire: limit, statement: limit };
    let manager = SqliteManager { path: folder.path().join("pos.db"), role: Role::Writer, busy_timeout: limits.busy() };
    let writer = Writer::new(Pool::builder(manager).max_size(1).build().unwrap(), limits).unwrap();
    let refused = writer.write(|_| -> Result<(), EngineError> { panic!("a fault of the program") }).await;
    assert!(matches!(refused, Err(EngineError::Storage(StorageError::Unavailable(_)))), "{refused:?}");
    assert_eq!(writer.write(|_| Ok(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn writes_of_callers_that_timed_out_do_not_fill_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { acquire: std::time::Duration::ZERO, statement: std::time::Duration::from_secs(60) };
    let manager = SqliteManager { path: folder.path().join("pos.db"), role: Role::Writer, busy_timeout: limits.busy() };
    let writer = Writer::new(Pool::builder(manager).max_size(1).build().unwrap(), limits).unwrap();
    let held = writer.pool.get().await.unwrap();
    for _ in 0..QUEUE {
        assert!(writer.write(|_| Ok(())).await.is_err());
    }
    drop(held);
    let patient = Writer { limits: Limits { acquire: limits.statement, ..limits }, ..writer };
    assert_eq!(patient.write(|_| Ok(7)).await.unwrap(), 7);
}

#[test]
fn a_caller_that_left_before_its_batch_writes_nothing() {
    let mut connection = test_database();
    let (abandoned, reply) = write("INSERT INTO notes (id) VALUES (1)");
    drop(reply);
    let (waiting, mut reply) = write("INSERT INTO notes (id) VALUES (2)");
    commit_together(&mut connection, vec![abandoned, waiting]).into_iter().for_each(|answer| answer());
    assert!(reply.try_recv().unwrap().is_ok());
    assert_eq!(notes(&mut connection), [2]);
}
