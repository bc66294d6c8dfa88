//! Connection that looks up devices by id, with one hand-written statement.

use std::error::Error as StdError;
use std::sync::LazyLock;

use diesel::QueryResult;
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, ToSql, Type, accepts};
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use crate::postgres::connect_error::ConnectError;
use crate::postgres::connection::into_diesel_error;
use crate::postgres::pool::{FromClient, KEEP_PLANS};
use crate::rows::device::DEVICE_COLUMNS;
use crate::rows::reader::NativeInstant;

/// A row that borrows from the server's message.
type DeviceRow<'r> = crate::rows::device::DeviceRow<Uuid, WireInstant, &'r str, &'r [u8]>;

/// Microseconds since the year 2000, as in PostgreSQL's wire format.
#[derive(Clone, Copy)]
pub(crate) struct WireInstant(i64);

/// The year 2000 in microseconds since 1970.
const YEAR_2000: i64 = 946_684_800_000_000;

impl NativeInstant for WireInstant {
    fn of(instant: OffsetDateTime) -> Self {
        Self(i64::of(instant).saturating_sub(YEAR_2000))
    }

    fn instant(self) -> Option<OffsetDateTime> {
        self.0.checked_add(YEAR_2000)?.instant()
    }
}

impl<'r> FromSql<'r> for WireInstant {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    accepts!(TIMESTAMPTZ);
}

/// A connection that only looks up devices by id. Every status poll uses it, so its statement is written by hand and its
/// rows are read without a copy and without a query builder.
pub(crate) struct LookupConnection {
    client: Client,
    /// Prepared on first use. Never prepared behind a pooler, where the next use may reach another server connection.
    statement: Option<Statement>,
    pooled: bool,
}

/// The look-up of several devices by id.
static DEVICES: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {DEVICE_COLUMNS} FROM devices WHERE device_id = ANY($1)"));

impl FromClient for LookupConnection {
    async fn from_client(client: Client, pooled: bool) -> Result<Self, ConnectError> {
        Ok(Self { client, statement: None, pooled })
    }

    async fn keep_plans(&mut self) -> QueryResult<bool> {
        Ok(self.client.query_opt(KEEP_PLANS, &[]).await.map_err(into_diesel_error)?.is_some())
    }
}

impl LookupConnection {
    /// The rows of the devices that exist, in any order.
    pub(crate) async fn rows(&mut self, ids: &[&str]) -> QueryResult<Vec<Row>> {
        self.query(&ids).await.map_err(into_diesel_error)
    }

    async fn query(&mut self, ids: &(dyn ToSql + Sync)) -> Result<Vec<Row>, Error> {
        if self.pooled {
            return self.client.query_typed(&DEVICES, &[(ids, Type::TEXT_ARRAY)]).await;
        }
        let statement = match &self.statement {
            Some(prepared) => prepared,
            None => self.statement.insert(self.client.prepare_typed(&DEVICES, &[Type::TEXT_ARRAY]).await?),
        };
        let rows = self.client.query(statement, &[ids]).await;
        if rows.is_err() {
            // The cause may be the statement: the server dropped it, or a column changed. It is prepared again.
            self.statement = None;
        }
        rows
    }
}

/// Reads a row of [`DEVICES`].
pub(crate) fn device_row(row: &Row) -> Result<DeviceRow<'_>, Error> {
    Ok(DeviceRow {
        device_id: row.try_get(0)?,
        merchant_id: row.try_get(1)?,
        version: row.try_get(2)?,
        provisioned_at: row.try_get(3)?,
        status: row.try_get(4)?,
        pairing_code: row.try_get(5)?,
        code_issued_at: row.try_get(6)?,
        code_expires_at: row.try_get(7)?,
        claimed_by: row.try_get(8)?,
        claimed_at: row.try_get(9)?,
        activated_at: row.try_get(10)?,
        app_version: row.try_get(11)?,
        os: row.try_get(12)?,
        model: row.try_get(13)?,
        seen_at: row.try_get(14)?,
        chain_start: row.try_get(15)?,
        chain_tip: row.try_get(16)?,
        decommissioned_at: row.try_get(17)?,
        label: row.try_get(18)?,
        location_id: row.try_get(19)?,
    })
}
