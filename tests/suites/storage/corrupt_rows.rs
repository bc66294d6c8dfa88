//! Faults for corrupt rows: they name the row and never contain its pairing code.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_domain::device::{CodeEnd, Device, DeviceDetails, PairingCode};
use pos_domain::shared::{
    AuditContext, DeviceId, Fingerprint, IdempotencyKey, LocationId, MerchantId, Party, RequestContext, Scope,
};
use pos_port_storage::Storage;
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::fleet::{CreateDevicesError, DevicePage};
use pos_port_storage::shared::{IdempotencyRecord, StorageError};
use pos_tests::stores;
use time::{Duration, OffsetDateTime};

const CODE: &str = "ABC234";

fn code(symbols: &str) -> PairingCode {
    PairingCode::parse(symbols).unwrap()
}

/// Stores a device with a second code, so that each table has a row.
async fn populate(storage: &Storage) -> DeviceId {
    let now = OffsetDateTime::UNIX_EPOCH;
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let new =
        Device::provision(DeviceId::from_bits(1), merchant, DeviceDetails::default(), AuditContext::operator(), now);
    pos_tests::users::add_merchant(storage, merchant).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    let mut device = new.into_device();
    for symbols in ["DEF234", CODE] {
        let step =
            device.issue_pairing_code(code(symbols), Duration::minutes(5), RequestContext::default(), now).unwrap();
        storage.devices.save(&step).await.unwrap();
        device = step.into_device();
    }
    let past_code = storage.devices.find_past_code(code("DEF234")).await.unwrap().unwrap();
    assert_eq!(past_code.end, CodeEnd::Superseded);
    device.id().clone()
}

/// Statements that corrupt a row past the constraints, and the expected fault.
const CORRUPTIONS: [(&str, &str); 11] = [
    ("UPDATE devices SET status = 'broken'", "table devices, row POS-00000001: status cannot be read"),
    ("UPDATE devices SET status = 'claimed'", "table devices, row POS-00000001: the columns do not match the status"),
    (
        "UPDATE devices SET status = 'inactive', version = 0",
        "table devices, row POS-00000001: version must be at least 1",
    ),
    (
        "UPDATE devices SET version = 3, code_issued_at = NULL",
        "table devices, row POS-00000001: a pairing code, its issue time and its expiry must be set together",
    ),
    (
        "UPDATE devices SET app_version = 'new'",
        "table devices, row POS-00000001: app_version and seen_at must be set together",
    ),
    (
        "UPDATE devices SET app_version = NULL, chain_start = 9",
        "table devices, row POS-00000001: its chain must start with one of its events",
    ),
    (
        "UPDATE devices SET chain_start = NULL",
        "table devices, row POS-00000001: chain_start and chain_tip must be set together",
    ),
    ("UPDATE devices SET chain_start = 1, label = ' '", "table devices, row POS-00000001: label cannot be read"),
    (
        "UPDATE devices SET label = 'Till', code_issued_at = provisioned_at, decommissioned_at = provisioned_at",
        "table devices, row POS-00000001: the columns do not match the status",
    ),
    (
        "UPDATE devices SET status = 'decommissioned'",
        "table devices, row POS-00000001: the columns do not match the status",
    ),
    (
        "UPDATE devices SET status = 'inactive', decommissioned_at = NULL, pairing_code = 'O00000'",
        "table devices, row POS-00000001: pairing_code cannot be read",
    ),
];

fn fault<T: std::fmt::Debug>(answer: Result<T, StorageError>) -> String {
    match answer {
        Err(StorageError::Fault(cause)) => cause.to_string(),
        other => panic!("a fault was expected: {other:?}"),
    }
}

async fn every_corrupt_row_is_a_fault(storage: &Storage, id: &DeviceId, mut corrupt: impl AsyncFnMut(&'static str)) {
    for (statement, expected) in CORRUPTIONS {
        corrupt(statement).await;
        assert_eq!(fault(storage.devices.find(id).await), expected, "after {statement}");
        let page = DevicePage::first(Scope::Operator, 10);
        assert_eq!(fault(storage.fleet.list(&page).await), expected);
        assert_eq!(fault(storage.fleet.find(Scope::Operator, id).await), expected);
        // The index over unused and used codes omits devices of any other status.
        if !["pairing_code", "'broken'", "= 'decommissioned'"].iter().any(|word| statement.contains(word)) {
            assert_eq!(fault(storage.devices.find_by_pairing_code(code(CODE)).await), expected);
        }
    }
    let party = Party::Merchant(MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap()));
    let key = IdempotencyKey::parse("key").unwrap();
    let record = IdempotencyRecord {
        party,
        key: key.clone(),
        fingerprint: Fingerprint([7; 32]),
        answer: "a secret".to_owned(),
        at: OffsetDateTime::UNIX_EPOCH,
        expires_at: OffsetDateTime::UNIX_EPOCH + Duration::HOUR,
    };
    storage.fleet.create(Scope::Operator, &[], Some(&record)).await.unwrap();
    corrupt("UPDATE idempotency_keys SET fingerprint = substr(fingerprint, 1, 3)").await;
    let expected =
        "table idempotency_keys, row of merchant 0f0f0f0f-0000-4000-8000-000000000001: fingerprint cannot be read";
    assert_eq!(fault(storage.idempotency.find(party, &key, OffsetDateTime::UNIX_EPOCH).await), expected);
    let replayed = storage.fleet.create(Scope::Operator, &[], Some(&record)).await;
    let replayed = replayed.map_err(|error| match error {
        CreateDevicesError::Storage(error) => error,
        other => panic!("{other:?}"),
    });
    assert_eq!(fault(replayed), expected);
    corrupt("INSERT INTO locations SELECT merchant_id, merchant_id, ' ', provisioned_at FROM devices").await;
    let expected = "table locations, row 0f0f0f0f-0000-4000-8000-000000000001: name cannot be read";
    let location = LocationId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    assert_eq!(fault(storage.locations.find_location(Scope::Operator, location).await), expected);
    corrupt("UPDATE device_events SET kind = 'exploded' WHERE sequence = 2").await;
    let expected = "table device_events, row POS-00000001 2: unknown event word \"exploded\"";
    assert_eq!(fault(storage.events.events_of(&DeviceHistory::whole(id)).await), expected);
    corrupt("UPDATE device_events SET kind = 'released', client_ip = 'elsewhere' WHERE sequence = 2").await;
    let expected = "table device_events, row POS-00000001 2: client_ip cannot be read";
    assert_eq!(fault(storage.events.events_of(&DeviceHistory::whole(id)).await), expected);
    corrupt("UPDATE past_pairing_codes SET ended_as = 'lost'").await;
    let expected = "table past_pairing_codes, row POS-00000001 3: ended_as cannot be read";
    assert_eq!(fault(storage.devices.find_past_code(code("DEF234")).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_rows_in_postgres_are_faults() {
    let (storage, database) = stores::postgres().await;
    let id = populate(&storage).await;
    let client = database.client().await;
    let checks = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) \
                  FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace";
    for row in client.query(checks, &[]).await.unwrap() {
        client.batch_execute(row.get(0)).await.unwrap();
    }
    every_corrupt_row_is_a_fault(&storage, &id, async |statement| client.batch_execute(statement).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_rows_in_sqlite_are_faults() {
    let (storage, folder) = stores::sqlite().await;
    let id = populate(&storage).await;
    let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA ignore_check_constraints = ON").unwrap();
    every_corrupt_row_is_a_fault(&storage, &id, async |statement| connection.batch_execute(statement).unwrap()).await;
}
