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

use super::error::told;
use super::row::LinkRow;
use super::{Rows, whole};

/// A connection on which nothing outlives its transaction: each statement is sent whole, parsed, bound and executed in
/// one round trip, and the server keeps none of it. The price is a plan for each call.
pub(in super::super) struct Unnamed {
    client: Client,
    transaction: AnsiTransactionManager,
    instrumentation: DynInstrumentation,
}

/// A statement as it goes over the wire.
struct Written {
    sql: String,
    parameters: Vec<(Bytes, Type)>,
}

impl Unnamed {
    pub(in super::super) fn new(client: Client) -> Self {
        Self {
            client,
            transaction: AnsiTransactionManager::default(),
            instrumentation: DynInstrumentation::default_instrumentation(),
        }
    }

    pub(super) async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.client.batch_execute(query).await.map_err(told)
    }

    pub(super) fn load(&mut self, query: &dyn QueryFragment<Pg>) -> BoxFuture<'_, QueryResult<Rows>> {
        let written = write(query);
        async move {
            let Written { sql, parameters } = written?;
            let rows = self.client.query_typed_raw(&sql, parameters).await.map_err(told)?;
            whole(rows.map_ok(LinkRow::Unnamed).map_err(told)).await
        }
        .boxed()
    }

    pub(super) fn execute(&mut self, query: &dyn QueryFragment<Pg>) -> BoxFuture<'_, QueryResult<usize>> {
        let written = write(query);
        async move {
            let Written { sql, parameters } = written?;
            let parameters: Vec<_> =
                parameters.iter().map(|(bytes, kind)| (bytes as &(dyn ToSql + Sync), kind.clone())).collect();
            let changed = self.client.execute_typed(&sql, &parameters).await.map_err(told)?;
            usize::try_from(changed).map_err(|error| Error::DeserializationError(error.into()))
        }
        .boxed()
    }

    pub(super) fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transaction
    }

    pub(super) fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut *self.instrumentation
    }

    pub(super) fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = instrumentation.into();
    }
}

fn write(query: &dyn QueryFragment<Pg>) -> QueryResult<Written> {
    let mut builder = PgQueryBuilder::default();
    query.to_sql(&mut builder, &Pg)?;
    let mut binds = RawBytesBindCollector::<Pg>::new();
    query.collect_binds(&mut binds, &mut BuiltIn, &Pg)?;
    let kinds = binds.metadata.iter().map(|metadata| {
        let oid = metadata.oid().ok();
        oid.and_then(Type::from_oid).ok_or_else(|| Error::SerializationError("not a type of the server's own".into()))
    });
    let parameters = binds.binds.into_iter().zip(kinds).map(|(bytes, kind)| Ok((Bytes(bytes), kind?)));
    Ok(Written { sql: builder.finish(), parameters: parameters.collect::<QueryResult<_>>()? })
}

/// Knows the types that every server has under the same number; the schema uses no others. To look one up would take a
/// round trip and a memory of what this server answered.
struct BuiltIn;

impl PgMetadataLookup for BuiltIn {
    fn lookup_type(&mut self, _: &str, _: Option<&str>) -> PgTypeMetadata {
        PgTypeMetadata::new(0, 0)
    }
}

/// A parameter that diesel has serialised.
struct Bytes(Option<Vec<u8>>);

impl std::fmt::Debug for Bytes {
    /// A parameter may be a code or a hash.
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
