//! What diesel speaks to PostgreSQL through: straight to the server, or through a pooler that lends a server connection
//! for one transaction at a time (PgBouncer's transaction mode).
//!
//! Straight, statements are prepared once and kept, under names ([`AsyncPgConnection`]). Through a pooler a name is
//! prepared on one server connection and missed on the next, so each statement goes whole and nameless, in one round
//! trip: [`Unnamed`].

mod error;
mod row;
mod unnamed;

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

pub(super) use self::error::told;
use self::row::LinkRow;
pub(super) use self::unnamed::Unnamed;

/// A connection, of either kind.
pub(super) enum PgLink {
    Prepared(Box<AsyncPgConnection>),
    Unnamed(Unnamed),
}

impl SimpleAsyncConnection for PgLink {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        match self {
            Self::Prepared(link) => link.batch_execute(query).await,
            Self::Unnamed(link) => link.batch_execute(query).await,
        }
    }
}

type Rows = BoxStream<'static, QueryResult<LinkRow>>;

/// The rows once the whole answer is here. Whoever takes the first row only would not hear that the commit, which comes
/// after the rows, failed.
async fn whole(rows: impl Stream<Item = QueryResult<LinkRow>> + Send) -> QueryResult<Rows> {
    let rows: Vec<LinkRow> = rows.try_collect().await?;
    Ok(stream::iter(rows).map(Ok).boxed())
}

impl AsyncConnectionCore for PgLink {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Rows>>;
    type Stream<'conn, 'query> = Rows;
    type Row<'conn, 'query> = LinkRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        match self {
            Self::Prepared(link) => link.load(source).and_then(|rows| whole(rows.map_ok(LinkRow::Prepared))).boxed(),
            Self::Unnamed(link) => link.load(&source.as_query()),
        }
    }

    fn execute_returning_count<'conn, 'query, T>(&'conn mut self, source: T) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        match self {
            Self::Prepared(link) => link.execute_returning_count(source),
            Self::Unnamed(link) => link.execute(&source),
        }
    }
}

impl AsyncConnection for PgLink {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(_: &str) -> ConnectionResult<Self> {
        Err(ConnectionError::BadConnection("connections are opened by PgManager".to_owned()))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        match self {
            Self::Prepared(link) => link.transaction_state(),
            Self::Unnamed(link) => link.transaction_state(),
        }
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        match self {
            Self::Prepared(link) => link.instrumentation(),
            Self::Unnamed(link) => link.instrumentation(),
        }
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        match self {
            Self::Prepared(link) => link.set_instrumentation(instrumentation),
            Self::Unnamed(link) => link.set_instrumentation(instrumentation),
        }
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        if let Self::Prepared(link) = self {
            link.set_prepared_statement_cache_size(size);
        }
    }
}
