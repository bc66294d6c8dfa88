//! A filled database of the version before fleets: every row, chain and reference is there afterwards, and on the way
//! back, and its servers go on writing.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};
use pos_adapters::storage::{self, DatabaseUrl};
use pos_application::VerifyAudit;
use pos_domain::{
    Act, AuditEvent, CallContext, ClaimLimit, Claimant, CodeEnd, Device, DeviceDetails, DeviceId, MerchantId, Name,
    PairingCode, RefusedClaim, RefusedClaimReason, Scope, Transition, UserId,
};
use pos_port_storage::{Span, Storage};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{open, options, sqlite_url};
use time::{Duration, OffsetDateTime};

const FLEET: &str = "2026-11-20-300000_fleet";
const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// The tables that were there, each with its columns.
const TABLES: [(&str, &str); 8] = [
    (
        "devices",
        "device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at, code_expires_at, \
         claimed_by, claimed_at, activated_at, app_version, os, model, seen_at, chain_start, chain_head",
    ),
    ("device_events", "device_id, sequence, merchant_id, at, actor, kind, origin, trace_id, hash"),
    ("ended_pairing_codes", "device_id, sequence, pairing_code, ended_as, ended_at"),
    ("audit_events", "number, at, actor, origin, trace_id, merchant_id, kind, subject, detail"),
    ("claim_failures", "scope, subject, window_started_at, failures"),
    ("resellers", "reseller_id, name, created_at"),
    ("merchants", "merchant_id, reseller_id, name, created_at"),
    ("memberships", "grant_id, user_id, merchant_id, reseller_id, role, created_at"),
];

/// How an engine writes what differs.
struct Dialect {
    engine: &'static str,
    instant: fn(OffsetDateTime) -> String,
    blob: fn(&[u8]) -> String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn micros(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000
}

const POSTGRES: Dialect = Dialect {
    engine: "postgres",
    instant: |at| format!("'epoch'::timestamptz + {} * interval '1 microsecond'", micros(at)),
    blob: |bytes| format!("'\\x{}'", hex(bytes)),
};
const SQLITE: Dialect =
    Dialect { engine: "sqlite", instant: |at| micros(at).to_string(), blob: |bytes| format!("x'{}'", hex(bytes)) };

fn read(engine: &str, name: &str, way: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    std::fs::read_to_string(root.join(engine).join(name).join(way)).unwrap()
}

/// The schema of the version before, as diesel applied it.
fn before(engine: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(engine);
    let mut names: Vec<String> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.as_str() < FLEET);
    names.sort();
    let mut sql = "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
                   run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);"
        .to_owned();
    for name in names {
        let version: String = name.split('_').next().unwrap().replace('-', "");
        sql += &read(engine, &name, "up.sql");
        sql += &format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}');");
    }
    sql
}

fn code(number: u32) -> PairingCode {
    PairingCode::from_bits(number)
}

/// Every step of five devices: inactive, waiting, claimed, activated, released; each step at its own instant.
fn lives() -> Vec<Vec<Transition>> {
    let merchant_id = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let by = Claimant { merchant_id, user_id: UserId::parse("anna").unwrap() };
    let origin = Some("198.51.100.7".parse().unwrap());
    let context = CallContext { origin, trace_id: pos_domain::TraceId::from_bits(7) };
    let live = |number: u32, steps: u32| {
        let at = |step: u32| START + Duration::seconds(i64::from(step)) + Duration::microseconds(i64::from(number));
        let new = Device::provision(
            DeviceId::from_bits(number),
            merchant_id,
            DeviceDetails::default(),
            Act::operator(),
            at(0),
        );
        let mut life = vec![new];
        for step in 1..=steps {
            let device = life.last().unwrap().device().clone();
            let next = match step {
                1 => device.issue_pairing_code(code(100 + number), Duration::minutes(5), context, at(1)).unwrap(),
                2 => device.issue_pairing_code(code(number), Duration::minutes(5), context, at(2)).unwrap(),
                3 => device.claim(code(number), &by, context, at(3)).unwrap(),
                4 => device.activate(context, at(4)).unwrap(),
                _ => device.release(Act::operator(), at(5)).unwrap(),
            };
            life.push(next);
        }
        life
    };
    (0..6).filter(|steps| *steps != 1).map(|steps| live(steps + 1, steps)).collect()
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| format!("'{}'", value.to_string()))
}

/// The rows of a life, as a server of the version before leaves them.
fn rows_of(life: &[Transition], dialect: &Dialect) -> String {
    let instant = |at: Option<OffsetDateTime>| at.map_or_else(|| "NULL".to_owned(), dialect.instant);
    let record = life.last().unwrap().device().record();
    let chain = record.chain.unwrap();
    let mut sql = format!(
        "INSERT INTO devices ({}) VALUES ('{}', '{}', {}, {}, '{}', {}, {}, {}, {}, {}, {}, '1.4.2', 'Android 12', NULL, \
         {}, {}, {});",
        TABLES[0].1,
        record.id,
        record.merchant_id,
        record.version,
        (dialect.instant)(record.provisioned_at),
        record.status.as_str(),
        text(record.pairing_code.map(|code| code.as_str().to_owned())),
        instant(record.code_issued_at),
        instant(record.code_expires_at),
        text(record.claimed_by),
        instant(record.claimed_at),
        instant(record.activated_at),
        (dialect.instant)(START),
        chain.start,
        (dialect.blob)(&chain.hash.0),
    );
    for step in life {
        let event = step.event();
        sql += &format!(
            "INSERT INTO device_events ({}) VALUES ('{}', {}, '{}', {}, '{}', '{}', {}, {}, {});",
            TABLES[1].1,
            event.device_id,
            event.sequence,
            event.merchant_id,
            (dialect.instant)(event.at),
            event.act.actor,
            event.kind.as_str(),
            text(event.act.origin),
            text(event.act.trace_id),
            (dialect.blob)(&event.hash.unwrap().0),
        );
        if let Some(ended) = step.ended_code() {
            sql += &format!(
                "INSERT INTO ended_pairing_codes ({}) VALUES ('{}', {}, '{}', '{}', {});",
                TABLES[2].1,
                ended.device_id,
                event.sequence,
                ended.code.as_str(),
                ended.end.as_str(),
                (dialect.instant)(ended.at),
            );
        }
    }
    sql
}

/// Rows of the other tables; the last ones on record are gone, and their numbers are not given again.
fn rows_around(dialect: &Dialect) -> String {
    let rows = "
        INSERT INTO resellers VALUES ('0e0e0e0e-0000-4000-8000-000000000001', 'Northern', AT);
        INSERT INTO merchants VALUES ('0f0f0f0f-0000-4000-8000-000000000001', '0e0e0e0e-0000-4000-8000-000000000001', \
        'Shop', AT);
        INSERT INTO memberships VALUES ('0d0d0d0d-0000-4000-8000-000000000001', 'anna', \
        '0f0f0f0f-0000-4000-8000-000000000001', NULL, 'admin', AT);
        INSERT INTO claim_failures VALUES ('user', 'anna', AT, 3);
        INSERT INTO audit_events (at, actor, origin, kind, subject, detail) VALUES
            (AT, 'user:anna', '198.51.100.7', 'claim_refused', 'device:POS-00000001', '{\"reason\": \"used\"}'),
            (AT, 'operator', NULL, 'claim_refused', NULL, '{\"reason\": \"not_found\"}'),
            (AT, 'operator', NULL, 'claim_refused', NULL, '{\"reason\": \"not_found\"}'),
            (AT, 'operator', NULL, 'claim_refused', NULL, '{\"reason\": \"not_found\"}');
        DELETE FROM audit_events WHERE number IN (2, 4);";
    rows.replace("AT,", &format!("{},", (dialect.instant)(START)))
        .replace("AT)", &format!("{})", (dialect.instant)(START)))
}

/// What can be asked of either engine.
trait Ground {
    async fn execute(&mut self, sql: &str) -> Result<(), String>;
    /// Every row of a table, in one text.
    async fn dump(&mut self, table: &str, columns: &str) -> String;
}

struct Postgres(tokio_postgres::Client);

impl Ground for Postgres {
    async fn execute(&mut self, sql: &str) -> Result<(), String> {
        self.0.batch_execute(sql).await.map_err(|error| format!("{error:?}"))
    }

    async fn dump(&mut self, table: &str, columns: &str) -> String {
        let rows = rows_of_before(table);
        let sql = format!("SELECT json_agg(r ORDER BY r::text)::text FROM (SELECT {columns} FROM {rows}) AS r");
        self.0.query_one(&sql, &[]).await.unwrap().get(0)
    }
}

#[derive(QueryableByName)]
struct Dump {
    #[diesel(sql_type = Text)]
    dump: String,
}

impl Ground for SqliteConnection {
    async fn execute(&mut self, sql: &str) -> Result<(), String> {
        self.batch_execute(sql).map_err(|error| error.to_string())
    }

    async fn dump(&mut self, table: &str, columns: &str) -> String {
        let quoted: Vec<String> = columns.split(',').map(|column| format!("quote({column})")).collect();
        let row = quoted.join(" || ',' || ");
        let rows = rows_of_before(table);
        let sql = format!("SELECT group_concat(r, char(10)) AS dump FROM (SELECT {row} AS r FROM {rows} ORDER BY 1)");
        diesel::sql_query(sql).get_result::<Dump>(self).unwrap().dump
    }
}

/// A table without the events that a migration adds for parties that have none.
fn rows_of_before(table: &str) -> String {
    match table {
        "audit_events" => "audit_events WHERE detail NOT LIKE '%\"recorded\"%'".to_owned(),
        _ => table.to_owned(),
    }
}

async fn everything(ground: &mut impl Ground) -> Vec<String> {
    let mut all = Vec::new();
    for (table, columns) in TABLES {
        let dump = ground.dump(table, columns).await;
        assert!(!dump.is_empty(), "{table} has rows");
        all.push(dump);
    }
    all
}

async fn is_as_it_was(storage: &Storage) {
    let verify = VerifyAudit::new(Arc::clone(&storage.fleet), Arc::clone(&storage.events));
    let found = verify.page(None).await.unwrap();
    assert_eq!((found.devices, found.events, found.unsealed, found.faults.len()), (5, 19, 0, 0));
    for life in lives() {
        let device = storage.devices.find(life.last().unwrap().device().id()).await.unwrap().unwrap();
        let unseen = pos_domain::DeviceRecord { last_seen: None, ..device.record() };
        assert_eq!(unseen, life.last().unwrap().device().record());
        assert_eq!(device.last_seen().and_then(|seen| seen.agent.os.as_deref()), Some("Android 12"));
        if let Some(code) = device.record().pairing_code {
            assert_eq!(storage.devices.find_by_pairing_code(code).await.unwrap(), Some(device));
        }
    }
    let ends = [(103, CodeEnd::Retired), (106, CodeEnd::Retired), (6, CodeEnd::Used)];
    for (number, end) in ends {
        assert_eq!(storage.devices.find_ended_code(code(number)).await.unwrap().map(|ended| ended.end), Some(end));
    }
}

/// The way back to the version before this migration, from the latest.
fn back_to_before(engine: &str) -> String {
    let folder = format!("{}/../migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut since: Vec<_> = names.filter(|name| name.as_str() >= FLEET).collect();
    since.sort_unstable_by(|one, other| other.cmp(one));
    let steps: String = since
        .iter()
        .map(|name| {
            let version: String = name.split('_').next().unwrap().replace('-', "");
            let forget = format!("DELETE FROM __diesel_schema_migrations WHERE version = '{version}';");
            format!("{} {forget}", read(engine, name, "down.sql"))
        })
        .collect();
    format!("BEGIN; {steps} COMMIT;")
}

async fn a_filled_database_is_taken_over(url: DatabaseUrl, dialect: &Dialect, mut ground: impl Ground) {
    ground.execute(&before(dialect.engine)).await.unwrap();
    let rows: String = lives().iter().map(|life| rows_of(life, dialect)).collect();
    ground.execute(&(rows + &rows_around(dialect))).await.unwrap();
    let filled = everything(&mut ground).await;

    let down = back_to_before(dialect.engine);
    let up_to_fleets = async || storage::migrate(&options(url.clone())).await.unwrap().first().cloned();
    assert_eq!(up_to_fleets().await.as_deref(), Some(FLEET));
    assert_eq!(everything(&mut ground).await, filled);
    is_as_it_was(&open(url.clone()).await).await;
    ground.execute(&down).await.unwrap();
    assert_eq!(everything(&mut ground).await, filled, "on the way back");
    assert_eq!(up_to_fleets().await.as_deref(), Some(FLEET));
    assert_eq!(everything(&mut ground).await, filled, "and there again");
    let storage = open(url).await;
    is_as_it_was(&storage).await;

    life_goes_on(&storage, dialect, &mut ground).await;
    let kept = everything(&mut ground).await;
    assert!(ground.execute(&down).await.is_err(), "the version before cannot read what is decommissioned");
    ground.execute("ROLLBACK").await.unwrap();
    assert_eq!(everything(&mut ground).await, kept);
}

/// What was there is changed by servers of this version and of the one before, and what is new goes on from the old.
async fn life_goes_on(storage: &Storage, dialect: &Dialect, ground: &mut impl Ground) {
    let refused = RefusedClaim {
        by: Claimant {
            merchant_id: MerchantId("0f0f0f0f-0000-4000-8000-000000000009".parse().unwrap()),
            user_id: UserId::parse("bert").unwrap(),
        },
        context: CallContext::default(),
        at: START + Duration::hours(1),
        device_id: None,
        reason: RefusedClaimReason::NotFound,
    };
    let limit = ClaimLimit { max_failures: 9, window: Duration::minutes(5) };
    storage.failures.record(&refused, &limit).await.unwrap();
    let all = Span { limit: 100, ..Span::default() };
    let told = storage.events.audit_by_time(&all, None).await.unwrap();
    let added = |event: &AuditEvent| event.detail.contains_key("recorded");
    let of_before: Vec<_> = told.iter().filter(|kept| !added(&kept.event)).map(|kept| kept.number).collect();
    let highest = told.iter().map(|kept| kept.number).max();
    // 4 was removed, and so were the three that the first of the two upgrades added.
    assert!(of_before[..2] == [1, 3] && of_before[2] > 4 + 3, "no number is given again: {of_before:?}");
    assert_eq!((of_before.len(), of_before.last().copied()), (3, highest));

    let find = async |number| storage.devices.find(&DeviceId::from_bits(number)).await.unwrap().unwrap();
    let details = DeviceDetails { label: Some(Name::parse("Till 1").unwrap()), location_id: None };
    let amended = find(3).await.amend(details.clone(), Act::operator(), START + Duration::hours(1)).unwrap();
    storage.fleet.save(Scope::Operator, &amended).await.unwrap();
    let by_an_old_server = format!(
        "UPDATE devices SET version = 5, status = 'inactive', pairing_code = 'ABC234', code_issued_at = {at}, \
         code_expires_at = {at}, claimed_by = NULL, claimed_at = NULL, activated_at = NULL WHERE device_id = \
         'POS-00000003'; INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind) VALUES \
         ('POS-00000003', 5, '0f0f0f0f-0000-4000-8000-000000000001', {at}, 'terminal', 'pairing_code_issued');",
        at = (dialect.instant)(START),
    );
    ground.execute(&by_an_old_server).await.unwrap();
    let device = find(3).await;
    assert_eq!((device.version(), device.details()), (5, &details), "an old server leaves what it does not know");

    for number in [1, 4, 5] {
        let gone = find(number).await.decommission(Act::operator(), START + Duration::hours(2)).unwrap();
        storage.fleet.save(Scope::Operator, &gone).await.unwrap();
        assert_eq!(find(number).await.state(), gone.device().state());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_postgres() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    a_filled_database_is_taken_over(database.url().parse().unwrap(), &POSTGRES, Postgres(client)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    // The last of a storage's connections to close holds the file alone for a moment: every reader waits.
    let connect = || {
        let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
        connection.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON").unwrap();
        connection
    };
    let url = sqlite_url(&folder);
    a_filled_database_is_taken_over(url.clone(), &SQLITE, connect()).await;
    let mut connection = connect();
    let broken = "SELECT coalesce(group_concat(\"table\"), '') AS dump FROM pragma_foreign_key_check()";
    assert_eq!(
        diesel::sql_query(broken).get_result::<Dump>(&mut connection).unwrap().dump,
        "",
        "every reference holds"
    );
    let integrity = "SELECT integrity_check AS dump FROM pragma_integrity_check()";
    assert_eq!(diesel::sql_query(integrity).get_result::<Dump>(&mut connection).unwrap().dump, "ok");
}
