//! Migration of a filled database that is up to date, and devices with events outside their hash chain.

use pos_adapters::storage::{self, DatabaseUrl};
use pos_domain::device::{ChainFault, Device, DeviceDetails, PairingCode};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AuditContext, DeviceId, RequestContext, Scope, UserId};
use pos_port_storage::Storage;
use pos_port_storage::device::DeviceHistory;
use pos_tests::app::app;
use pos_tests::postgres::TestDatabase;
use pos_tests::server::{MERCHANT, START};
use pos_tests::stores::{open, options, sqlite_url};
use time::Duration;

use super::sql_access::{SqlAccess, sqlite_file};

/// A query whose lines are queries: each returns the rows of one table as text.
const POSTGRES_TABLES: &str = "
    SELECT format('SELECT %L || r::text AS line FROM %I AS r ORDER BY 1', tablename || ': ', tablename) AS line
    FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename";
const SQLITE_TABLES: &str = r#"
    SELECT 'SELECT ' || quote(t.name || ': ') || ' || ' || group_concat('quote("' || c.name || '")', ' || '','' || ')
        || ' AS line FROM "' || t.name || '" ORDER BY 1' AS line
    FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c
    WHERE t.type = 'table' GROUP BY t.name ORDER BY t.name"#;

/// Every row of every table.
async fn dump(database: &mut impl SqlAccess, tables: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for table in database.lines(tables).await {
        rows.extend(database.lines(&table).await);
    }
    rows
}

/// Merchants, members and sessions, and six devices: new, with a code, with a second code, claimed, activated, released.
async fn fill(storage: &Storage) {
    pos_tests::users::seed_sessions(storage).await;
    let by = Claimant { merchant_id: MERCHANT, user_id: UserId::parse("ann").unwrap() };
    let context = RequestContext::default();
    let code = PairingCode::from_bits;
    for number in 0..=5_u32 {
        let (id, details) = (DeviceId::from_bits(number + 1), DeviceDetails::default());
        let new = Device::provision(id, MERCHANT, details, AuditContext::operator(), START);
        storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
        let mut device = new.into_device();
        for step in 1..=number {
            let transition = match step {
                1 => device.issue_pairing_code(code(100 + number), Duration::minutes(5), context, START).unwrap(),
                2 => device.issue_pairing_code(code(number), Duration::minutes(5), context, START).unwrap(),
                3 => device.claim(code(number), &by, context, START).unwrap(),
                4 => device.activate(context, START).unwrap(),
                _ => device.release(AuditContext::operator(), START).unwrap(),
            };
            storage.devices.save(&transition).await.unwrap();
            device = transition.into_device();
        }
    }
}

async fn assert_migration_changes_nothing(url: DatabaseUrl, mut database: impl SqlAccess, tables: &str) {
    let storage = open(url.clone()).await;
    fill(&storage).await;
    let rows = dump(&mut database, tables).await;
    for table in ["devices: ", "device_events: ", "past_pairing_codes: ", "sessions: ", "audit_events: "] {
        assert!(rows.iter().any(|row| row.starts_with(table)), "{table}{rows:?}");
    }
    assert_eq!(storage::migrate(&options(url)).await.unwrap(), Vec::<String>::new());
    assert_eq!(dump(&mut database, tables).await, rows);
    let found = app(&storage).verified_chains().await;
    assert_eq!((found.devices, found.events, found.unchained, found.faults.len()), (6, 21, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_a_filled_postgres_database_that_is_up_to_date_changes_nothing() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    assert_migration_changes_nothing(database.url().parse().unwrap(), client, POSTGRES_TABLES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_a_filled_sqlite_database_that_is_up_to_date_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder);
    storage::migrate(&options(url.clone())).await.unwrap();
    assert_migration_changes_nothing(url, sqlite_file(&folder), SQLITE_TABLES).await;
}

/// SQL that provisions a device without a hash chain.
fn insert_device(id: &str, at: &str) -> String {
    format!(
        "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status) \
         VALUES ('{id}', '{MERCHANT}', 1, {at}, 'inactive'); \
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind) \
         VALUES ('{id}', 1, '{MERCHANT}', {at}, 'operator', 'provisioned');"
    )
}

/// SQL that issues a code with an event without a hash.
fn insert_code(id: &str, sequence: u32, code: &str, at: &str) -> String {
    format!(
        "UPDATE devices SET version = {sequence}, status = 'inactive', pairing_code = '{code}', code_issued_at = {at}, \
         code_expires_at = {at} WHERE device_id = '{id}'; \
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind) \
         VALUES ('{id}', {sequence}, '{MERCHANT}', {at}, 'terminal', 'pairing_code_issued');"
    )
}

/// Issues a code through the store.
async fn issue_code(storage: &Storage, id: &str, code: u32) {
    let device = storage.devices.find(&DeviceId::parse(id).unwrap()).await.unwrap().unwrap();
    let code = PairingCode::from_bits(code);
    let transition = device.issue_pairing_code(code, Duration::minutes(5), RequestContext::default(), START).unwrap();
    storage.devices.save(&transition).await.unwrap();
}

async fn assert_unchained_events_are_found(url: DatabaseUrl, mut database: impl SqlAccess, at: &str) {
    let storage = open(url).await;
    pos_tests::users::add_merchant(&storage, MERCHANT).await;
    database.run(&insert_device("POS-00000001", at)).await;
    database.run(&insert_code("POS-00000001", 2, "ABC234", at)).await;
    database.run(&insert_device("POS-00000002", at)).await;
    let found = app(&storage).verified_chains().await;
    assert_eq!((found.devices, found.events, found.unchained, found.faults.len()), (2, 3, 3, 0), "no chain");

    issue_code(&storage, "POS-00000001", 1).await;
    let found = app(&storage).verified_chains().await;
    assert_eq!((found.events, found.unchained, found.faults.len()), (4, 3, 0), "the hash chain starts");
    let events = storage.events.events_of(&DeviceHistory::whole(&DeviceId::from_bits(1))).await.unwrap();
    assert_eq!(events.iter().map(|event| event.hash.is_some()).collect::<Vec<_>>(), [false, false, true]);

    database.run(&insert_code("POS-00000001", 4, "DEF234", at)).await;
    issue_code(&storage, "POS-00000001", 2).await;
    let found = app(&storage).verified_chains().await;
    assert_eq!((found.devices, found.events, found.unchained), (2, 6, 3));
    let faults: Vec<_> =
        found.faults.iter().map(|(id, finding)| (id.as_str(), finding.sequence, finding.fault)).collect();
    assert_eq!(faults, [("POS-00000001", 4, ChainFault::Unchained)], "an event without a hash inside the chain");

    database.run("UPDATE device_events SET actor = 'operator' WHERE sequence = 3").await;
    assert_eq!(app(&storage).verified_chains().await.faults[0].1.fault, ChainFault::Altered);
    database.run("DELETE FROM past_pairing_codes; DELETE FROM device_events WHERE sequence = 2").await;
    assert_eq!(
        app(&storage).verified_chains().await.faults[0].1.fault,
        ChainFault::Missing { through: 2 },
        "before the chain"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_hash_are_found_in_postgres() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    assert_unchained_events_are_found(database.url().parse().unwrap(), client, "to_timestamp(1)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_hash_are_found_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder);
    storage::migrate(&options(url.clone())).await.unwrap();
    assert_unchained_events_are_found(url, sqlite_file(&folder), "1000000").await;
}
