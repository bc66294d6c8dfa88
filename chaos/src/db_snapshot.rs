//! Snapshot of the database at the end of a scenario, read with SQL and without the server's code.

use std::collections::BTreeMap;
use std::path::Path;

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection};
use tokio_postgres::Client;

/// The rows that the audit checks.
#[derive(Debug, Clone, Default)]
pub(crate) struct DbSnapshot {
    pub(crate) devices: BTreeMap<String, Row>,
    /// Events of each device, in order.
    pub(crate) events: BTreeMap<String, Vec<Event>>,
    /// Past codes: device, code, how it ended.
    pub(crate) past_codes: Vec<(String, String, String)>,
}

/// A row of `devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: String,
    pub(crate) version: i64,
    pub(crate) code: Option<String>,
    pub(crate) label: Option<String>,
}

/// A row of `device_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) sequence: i64,
    pub(crate) kind: String,
    pub(crate) trace_id: Option<String>,
}

const DEVICES: &str = "SELECT device_id, status, version, pairing_code, label FROM devices";
const EVENTS: &str = "SELECT device_id, sequence, kind, trace_id FROM device_events ORDER BY device_id, sequence";
const PAST_CODES: &str = "SELECT device_id, pairing_code, ended_as FROM past_pairing_codes";

pub(crate) async fn read_postgres(client: &Client) -> anyhow::Result<DbSnapshot> {
    let mut snapshot = DbSnapshot::default();
    for row in client.query(DEVICES, &[]).await? {
        let device = Row { status: row.get(1), version: row.get(2), code: row.get(3), label: row.get(4) };
        snapshot.devices.insert(row.get(0), device);
    }
    for row in client.query(EVENTS, &[]).await? {
        let event = Event { sequence: row.get(1), kind: row.get(2), trace_id: row.get(3) };
        snapshot.events.entry(row.get(0)).or_default().push(event);
    }
    for row in client.query(PAST_CODES, &[]).await? {
        snapshot.past_codes.push((row.get(0), row.get(1), row.get(2)));
    }
    Ok(snapshot)
}

#[derive(QueryableByName)]
struct DeviceRow {
    #[diesel(sql_type = Text)]
    device_id: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pairing_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    label: Option<String>,
}

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = Text)]
    device_id: String,
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<Text>)]
    trace_id: Option<String>,
}

#[derive(QueryableByName)]
struct PastCodeRow {
    #[diesel(sql_type = Text)]
    device_id: String,
    #[diesel(sql_type = Text)]
    pairing_code: String,
    #[diesel(sql_type = Text)]
    ended_as: String,
}

pub(crate) fn read_sqlite(file: &Path) -> anyhow::Result<DbSnapshot> {
    let connection = &mut SqliteConnection::establish(&file.to_string_lossy())?;
    let mut snapshot = DbSnapshot::default();
    for row in diesel::sql_query(DEVICES).load::<DeviceRow>(connection)? {
        let DeviceRow { device_id, status, version, pairing_code, label } = row;
        snapshot.devices.insert(device_id, Row { status, version, code: pairing_code, label });
    }
    for row in diesel::sql_query(EVENTS).load::<EventRow>(connection)? {
        let EventRow { device_id, sequence, kind, trace_id } = row;
        snapshot.events.entry(device_id).or_default().push(Event { sequence, kind, trace_id });
    }
    for row in diesel::sql_query(PAST_CODES).load::<PastCodeRow>(connection)? {
        snapshot.past_codes.push((row.device_id, row.pairing_code, row.ended_as));
    }
    Ok(snapshot)
}
