//! Connection with unnamed statements, for use behind a pooler in transaction mode.

use diesel::QueryResult;
use diesel::connection::{DynInstrumentation, Instrumentation};
use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder as _, QueryFragment};
use diesel::result::Error;
use diesel_async::AnsiTransactionManager;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::TryStreamExt as _;
use tokio_postgres::Client;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type};

use crate::postgres::connection::error::into_diesel_error;
use crate::postgres::connection::row::PgRow;
use crate::postgres::connection::{Rows, collect_rows};

/// A connection without server-side state beyond a transaction: each statement is parsed, bound and executed in one round
/// trip, and the server does not cache it. Each call therefore costs a plan.
pub(crate) struct Unprepared {
    client: Client,
    transaction: AnsiTransactionManager,
    instrumentation: DynInstrumentation,
}

/// The text and the parameters of a statement.
struct RenderedStatement {
    sql: String,
    parameters: Vec<(Bytes, Type)>,
}

impl Unprepared {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            transaction: AnsiTransactionManager::default(),
            instrumentation: DynInstrumentation::default_instrumentation(),
        }
    }

    pub(crate) async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.client.batch_execute(query).await.map_err(into_diesel_error)
    }

    pub(crate) fn load(&mut self, query: &dyn QueryFragment<Pg>) -> BoxFuture<'_, QueryResult<Rows>> {
        let rendered = render(query);
        async move {
            let RenderedStatement { sql, parameters } = rendered?;
            let rows = self.client.query_typed_raw(&sql, parameters).await.map_err(into_diesel_error)?;
            collect_rows(rows.map_ok(PgRow::Unprepared).map_err(into_diesel_error)).await
        }
        .boxed()
    }

    pub(crate) fn execute(&mut self, query: &dyn QueryFragment<Pg>) -> BoxFuture<'_, QueryResult<usize>> {
        let rendered = render(query);
        async move {
            let RenderedStatement { sql, parameters } = rendered?;
            let parameters: Vec<_> =
                parameters.iter().map(|(bytes, kind)| (bytes as &(dyn ToSql + Sync), kind.clone())).collect();
            let changed = self.client.execute_typed(&sql, &parameters).await.map_err(into_diesel_error)?;
            usize::try_from(changed).map_err(|error| Error::DeserializationError(error.into()))
        }
        .boxed()
    }

    pub(crate) fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transaction
    }

    pub(crate) fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut *self.instrumentation
    }

    pub(crate) fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = instrumentation.into();
    }
}

fn render(query: &dyn QueryFragment<Pg>) -> QueryResult<RenderedStatement> {
    let mut builder = PgQueryBuilder::default();
    query.to_sql(&mut builder, &Pg)?;
    let mut binds = RawBytesBindCollector::<Pg>::new();
    query.collect_binds(&mut binds, &mut BuiltInTypes, &Pg)?;
    let kinds = binds.metadata.iter().map(|metadata| {
        let oid = metadata.oid().ok();
        oid.and_then(Type::from_oid).ok_or_else(|| Error::SerializationError("not a built-in type".into()))
    });
    let parameters = binds.binds.into_iter().zip(kinds).map(|(bytes, kind)| Ok((Bytes(bytes), kind?)));
    Ok(RenderedStatement { sql: builder.finish(), parameters: parameters.collect::<QueryResult<_>>()? })
}

/// Type lookup for built-in types only, whose OIDs are the same on every server. The schema uses no others. A lookup on the
/// server would cost a round trip and a cache per server.
struct BuiltInTypes;

impl PgMetadataLookup for BuiltInTypes {
    fn lookup_type(&mut self, _: &str, _: Option<&str>) -> PgTypeMetadata {
        PgTypeMetadata::new(0, 0)
    }
}

/// A parameter, serialised by diesel.
struct Bytes(Option<Vec<u8>>);

impl std::fmt::Debug for Bytes {
    /// Hides the value: a parameter may be a pairing code or a hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bytes")
    }
}

impl ToSql for Bytes {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}
