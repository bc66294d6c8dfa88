//! A database of the version before: its devices and events stay, and its servers go on writing while they are replaced.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_adapters::storage::{self, DatabaseUrl};
use pos_application::{VerifiedChains, VerifyAudit};
use pos_domain::{Act, CallContext, ChainFault, DeviceId, PairingCode};
use pos_port_storage::{History, Storage};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{options, sqlite_url};
use time::{Duration, OffsetDateTime};

/// What diesel has of the first migration.
const FIRST_APPLIED: &str = "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
     run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP); \
     INSERT INTO __diesel_schema_migrations (version) VALUES ('20261120000000');";

/// As a server of the version before adds a device, and gives it a code: it names its columns, and knows no others.
fn old_add(id: &str, at: &str) -> String {
    format!(
        "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status) \
         VALUES ('{id}', '0f0f0f0f-0000-4000-8000-000000000001', 1, {at}, 'inactive'); \
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind) \
         VALUES ('{id}', 1, '0f0f0f0f-0000-4000-8000-000000000001', {at}, 'operator', 'provisioned');"
    )
}

fn old_issue(id: &str, sequence: u32, code: &str, at: &str) -> String {
    format!(
        "UPDATE devices SET version = {sequence}, status = 'inactive', pairing_code = '{code}', code_issued_at = {at}, \
         code_expires_at = {at} WHERE device_id = '{id}'; \
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind) \
         VALUES ('{id}', {sequence}, '0f0f0f0f-0000-4000-8000-000000000001', {at}, 'terminal', 'pairing_code_issued');"
    )
}

async fn new_issue(storage: &Storage, id: &str, code: u32) {
    let device = storage.devices.find(&DeviceId::parse(id).unwrap()).await.unwrap().unwrap();
    let code = PairingCode::from_bits(code);
    let step =
        device.issue_pairing_code(code, Duration::minutes(5), CallContext::default(), OffsetDateTime::UNIX_EPOCH);
    storage.devices.save(&step.unwrap()).await.unwrap();
}

async fn verified(storage: &Storage) -> VerifiedChains {
    VerifyAudit::new(Arc::clone(&storage.fleet), Arc::clone(&storage.events)).page(None).await.unwrap()
}

async fn an_old_database_is_taken_over(url: DatabaseUrl, at: &str, mut execute: impl AsyncFnMut(String)) {
    execute(FIRST_APPLIED.to_owned()).await;
    let before = [old_add("POS-00000001", at), old_issue("POS-00000001", 2, "ABC234", at), old_add("POS-00000002", at)];
    execute(before.concat()).await;
    let applied = storage::migrate(&options(url.clone())).await.unwrap();
    assert!(applied.contains(&"2026-11-20-200000_audit".to_owned()), "{applied:?}");
    let storage = storage::open(&options(url)).await.unwrap().storage;
    let found = verified(&storage).await;
    assert_eq!((found.devices, found.events, found.unsealed, found.faults.len()), (2, 3, 3, 0), "before any change");

    new_issue(&storage, "POS-00000001", 1).await;
    let found = verified(&storage).await;
    assert_eq!((found.events, found.unsealed, found.faults.len()), (4, 3, 0), "its chain begins");
    let events = storage.events.events_of(&History::whole(&DeviceId::from_bits(1))).await.unwrap();
    assert_eq!(events.iter().map(|event| event.hash.is_some()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(events[0].act, Act::operator());

    // A server of the version before is still there.
    execute(old_add("POS-00000003", at) + &old_issue("POS-00000001", 4, "DEF234", at)).await;
    new_issue(&storage, "POS-00000001", 2).await;
    new_issue(&storage, "POS-00000003", 3).await;
    let found = verified(&storage).await;
    assert_eq!((found.devices, found.events, found.unsealed), (3, 8, 4));
    let faults: Vec<_> = found.faults.iter().map(|(id, link)| (id.as_str(), link.sequence, link.fault)).collect();
    assert_eq!(faults, [("POS-00000001", 4, ChainFault::Unsealed)], "what it wrote into a chain is told");

    execute("UPDATE device_events SET actor = 'operator' WHERE sequence = 3".to_owned()).await;
    assert_eq!(verified(&storage).await.faults[0].1.fault, ChainFault::Altered);
    execute("DELETE FROM ended_pairing_codes; DELETE FROM device_events WHERE sequence = 2".to_owned()).await;
    assert_eq!(verified(&storage).await.faults[0].1.fault, ChainFault::Missing { through: 2 }, "also before the chain");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_postgres() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    let first = include_str!("../../../../migrations/postgres/2026-11-20-000000_devices/up.sql");
    client.batch_execute(first).await.unwrap();
    let url = database.url().parse().unwrap();
    an_old_database_is_taken_over(url, "to_timestamp(1)", async |sql| client.batch_execute(&sql).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    let first = include_str!("../../../../migrations/sqlite/2026-11-20-000000_devices/up.sql");
    connection.batch_execute(&format!("PRAGMA busy_timeout = 5000; {first}")).unwrap();
    an_old_database_is_taken_over(sqlite_url(&folder), "1000000", async |sql| connection.batch_execute(&sql).unwrap())
        .await;
}
