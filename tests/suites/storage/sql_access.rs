//! SQL access of tests to the database of a store, on either engine.

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};
use tempfile::TempDir;

/// A connection that a test opens beside the store.
pub(super) trait SqlAccess {
    /// Runs statements.
    async fn run(&mut self, sql: &str);

    /// Runs a query whose only column is a text named `line`.
    async fn lines(&mut self, sql: &str) -> Vec<String>;
}

impl SqlAccess for tokio_postgres::Client {
    async fn run(&mut self, sql: &str) {
        self.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn lines(&mut self, sql: &str) -> Vec<String> {
        self.query(sql, &[]).await.unwrap().iter().map(|row| row.get("line")).collect()
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl SqlAccess for SqliteConnection {
    async fn run(&mut self, sql: &str) {
        self.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn lines(&mut self, sql: &str) -> Vec<String> {
        diesel::sql_query(sql).load::<Line>(self).unwrap().into_iter().map(|row| row.line).collect()
    }
}

/// Opens the SQLite database in a folder. The last connection of a store locks the file while it closes, so this one
/// needs a busy timeout.
pub(super) fn sqlite_file(folder: &TempDir) -> SqliteConnection {
    let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON").unwrap();
    connection
}
