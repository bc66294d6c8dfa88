//! Tests of the writer: batches, commits that fail, queues and panics.

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
    let (operation, after) = (Some(operation), |_: &Result<(), Failure>| {});
    (Box::new(Job { alone: false, begun: Arc::default(), operation, outcome: None, after, reply }), answer)
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
    let unavailable = |told: &Result<(), Failure>| matches!(told, Err(Failure::Storage(StorageError::Unavailable(_))));
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
    let unavailable = |told: &Result<(), Failure>| matches!(told, Err(Failure::Storage(StorageError::Unavailable(_))));
    assert!(told.iter().all(unavailable), "{told:?}");
    assert_eq!(notes(&mut connection), Vec::<i64>::new());
}

#[test]
fn what_is_to_be_alone_is() {
    let alone = || {
        let (reply, _) = oneshot::channel::<Result<(), Failure>>();
        let (operation, after) = (Some(|_: &mut SqliteConnection| Ok(())), |_: &Result<(), Failure>| {});
        Box::new(Job { alone: true, begun: Arc::default(), operation, outcome: None, after, reply }) as Box<dyn Write>
    };
    let small = || put("SELECT 1").0;
    let mut queue = VecDeque::from([small(), small(), alone(), alone(), small()]);
    let sizes: Vec<_> = std::iter::repeat_with(|| next_batch(&mut queue).len()).take(5).collect();
    assert_eq!(sizes, [2, 1, 1, 1, 0]);
}

#[tokio::test]
async fn a_panic_refuses_its_own_batch_and_the_thread_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let limit = std::time::Duration::from_secs(60);
    let limits = Limits { acquire: limit, statement: limit };
    let manager = SqliteManager { path: folder.path().join("pos.db"), role: Role::Writer, busy_timeout: limits.busy() };
    let writer = Writer::new(Pool::builder(manager).max_size(1).build().unwrap(), limits).unwrap();
    let refused = writer.write(|_| -> Result<(), Failure> { panic!("a fault of the program") }).await;
    assert!(matches!(refused, Err(Failure::Storage(StorageError::Unavailable(_)))), "{refused:?}");
    assert_eq!(writer.write(|_| Ok(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn a_queue_of_those_who_gave_up_is_not_full() {
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
fn who_is_gone_before_the_turn_writes_nothing() {
    let mut connection = store();
    let (gone, reply) = put("INSERT INTO notes (id) VALUES (1)");
    drop(reply);
    let (there, mut reply) = put("INSERT INTO notes (id) VALUES (2)");
    commit_together(&mut connection, vec![gone, there]).into_iter().for_each(|answer| answer());
    assert!(reply.try_recv().unwrap().is_ok());
    assert_eq!(notes(&mut connection), [2]);
}
