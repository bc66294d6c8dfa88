//! diesel connection to PostgreSQL: direct with prepared statements, or unprepared through a pooler in transaction mode (PgBouncer).
//!
//! A direct connection prepares each statement once, under a name ([`AsyncPgConnection`]). Through a pooler, a statement
//! that is prepared on one server connection is missing on the next. Each statement is therefore sent unnamed, in one
//! round trip: [`Unprepared`].

mod error;
mod row;
mod unprepared;

use diesel::QueryResult;
use diesel::connection::{CacheSize, Instrumentation};
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{ConnectionError, ConnectionResult};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection,
};
use futures_util::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};

pub(crate) use crate::postgres::connection::error::into_diesel_error;
use crate::postgres::connection::row::PgRow;
pub(crate) use crate::postgres::connection::unprepared::Unprepared;

/// A direct or a pooled connection.
pub(crate) enum PgConn {
    Prepared(Box<AsyncPgConnection>),
    Unprepared(Unprepared),
}

impl SimpleAsyncConnection for PgConn {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        match self {
            Self::Prepared(connection) => connection.batch_execute(query).await,
            Self::Unprepared(connection) => connection.batch_execute(query).await,
        }
    }
}

type Rows = BoxStream<'static, QueryResult<PgRow>>;

/// Collects all rows. The commit follows the rows: a caller that reads only the first row would miss its error.
async fn collect_rows(rows: impl Stream<Item = QueryResult<PgRow>> + Send) -> QueryResult<Rows> {
    let rows: Vec<PgRow> = rows.try_collect().await?;
    Ok(stream::iter(rows).map(Ok).boxed())
}

impl AsyncConnectionCore for PgConn {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Rows>>;
    type Stream<'conn, 'query> = Rows;
    type Row<'conn, 'query> = PgRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        match self {
            Self::Prepared(connection) => {
                connection.load(source).and_then(|rows| collect_rows(rows.map_ok(PgRow::Prepared))).boxed()
            }
            Self::Unprepared(connection) => connection.load(&source.as_query()),
        }
    }

    fn execute_returning_count<'conn, 'query, T>(&'conn mut self, source: T) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        match self {
            Self::Prepared(connection) => connection.execute_returning_count(source),
            Self::Unprepared(connection) => connection.execute(&source),
        }
    }
}

impl AsyncConnection for PgConn {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(_: &str) -> ConnectionResult<Self> {
        Err(ConnectionError::BadConnection("connections are opened by PgManager".to_owned()))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        match self {
            Self::Prepared(connection) => connection.transaction_state(),
            Self::Unprepared(connection) => connection.transaction_state(),
        }
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        match self {
            Self::Prepared(connection) => connection.instrumentation(),
            Self::Unprepared(connection) => connection.instrumentation(),
        }
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        match self {
            Self::Prepared(connection) => connection.set_instrumentation(instrumentation),
            Self::Unprepared(connection) => connection.set_instrumentation(instrumentation),
        }
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        if let Self::Prepared(connection) = self {
            connection.set_prepared_statement_cache_size(size);
        }
    }
}
