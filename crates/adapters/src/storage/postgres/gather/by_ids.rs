use std::error::Error as StdError;

use diesel::QueryResult;
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, ToSql, Type, accepts};
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use super::super::connection::{ConnectError, Link};
use super::super::link::told;
use crate::storage::rows::{self, NativeInstant};

/// A row as it lies in what the server sent.
type DeviceRow<'r> = rows::DeviceRow<Uuid, SentInstant, &'r str, &'r [u8]>;

/// Microseconds since the year 2000, as the server counts them.
#[derive(Clone, Copy)]
pub(super) struct SentInstant(i64);

/// What they count from, since 1970.
const YEAR_2000: i64 = 946_684_800_000_000;

impl NativeInstant for SentInstant {
    fn instant(self) -> Option<OffsetDateTime> {
        self.0.checked_add(YEAR_2000)?.instant()
    }
}

impl<'r> FromSql<'r> for SentInstant {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    accepts!(TIMESTAMPTZ);
}

/// A connection that only looks devices up by their ids. Each poll comes through here, so the one statement is written
/// out and its rows are read where they lie, without a query builder in between.
pub(super) struct ByIds {
    client: Client,
    /// Prepared by its first use; never where the server may be another one the next time.
    statement: Option<Statement>,
    pooled: bool,
}

/// The columns in the order of [`rows::DeviceRow`].
const DEVICES: &str = "SELECT device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at, \
    code_expires_at, claimed_by, claimed_at, activated_at, app_version, os, model, seen_at, chain_start, chain_head, \
    decommissioned_at, label, location_id FROM devices WHERE device_id = ANY($1)";

impl Link for ByIds {
    async fn over(client: Client, pooled: bool) -> Result<Self, ConnectError> {
        Ok(Self { client, statement: None, pooled })
    }
}

impl ByIds {
    /// The rows of those of these devices that there are, in any order.
    pub(super) async fn rows(&mut self, ids: &[&str]) -> QueryResult<Vec<Row>> {
        self.query(&ids).await.map_err(told)
    }

    async fn query(&mut self, ids: &(dyn ToSql + Sync)) -> Result<Vec<Row>, Error> {
        if self.pooled {
            return self.client.query_typed(DEVICES, &[(ids, Type::TEXT_ARRAY)]).await;
        }
        let statement = match &self.statement {
            Some(prepared) => prepared,
            None => self.statement.insert(self.client.prepare_typed(DEVICES, &[Type::TEXT_ARRAY]).await?),
        };
        let rows = self.client.query(statement, &[ids]).await;
        if rows.is_err() {
            // It may be what is wrong: the server forgot it, or a column is not what it was. It is prepared anew.
            self.statement = None;
        }
        rows
    }
}

/// Reads a row of [`DEVICES`].
pub(super) fn device_row(row: &Row) -> Result<DeviceRow<'_>, Error> {
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
        chain_head: row.try_get(16)?,
        decommissioned_at: row.try_get(17)?,
        label: row.try_get(18)?,
        location_id: row.try_get(19)?,
    })
}
