//! A row that somebody bent by hand, past the constraints, is a fault that names the row and never its code.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_domain::{
    Act, CallContext, CodeEnd, Device, DeviceDetails, DeviceId, Fingerprint, IdempotencyKey, LocationId, MerchantId,
    PairingCode, Party, Scope,
};
use pos_port_storage::{CreateDevicesError, DevicePage, History, Once, Storage, StorageError};
use pos_tests::stores;
use time::{Duration, OffsetDateTime};

const CODE: &str = "ABC234";

fn code(symbols: &str) -> PairingCode {
    PairingCode::parse(symbols).unwrap()
}

/// A device that shows a second code, so that each table has a row.
async fn furnish(storage: &Storage) -> DeviceId {
    let now = OffsetDateTime::UNIX_EPOCH;
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let new = Device::provision(DeviceId::from_bits(1), merchant, DeviceDetails::default(), Act::operator(), now);
    pos_tests::people::add_merchant(storage, merchant).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    let mut device = new.into_device();
    for symbols in ["DEF234", CODE] {
        let step = device.issue_pairing_code(code(symbols), Duration::minutes(5), CallContext::default(), now).unwrap();
        storage.devices.save(&step).await.unwrap();
        device = step.into_device();
    }
    let ended = storage.devices.find_ended_code(code("DEF234")).await.unwrap().unwrap();
    assert_eq!(ended.end, CodeEnd::Retired);
    device.id().clone()
}

/// How each row is bent, and what the fault must say.
const BENT: [(&str, &str); 11] = [
    ("UPDATE devices SET status = 'broken'", "table devices, row POS-00000001: status cannot be read"),
    ("UPDATE devices SET status = 'claimed'", "table devices, row POS-00000001: the facts do not fit the status"),
    (
        "UPDATE devices SET status = 'inactive', version = 0",
        "table devices, row POS-00000001: version must be at least 1",
    ),
    (
        "UPDATE devices SET version = 3, code_issued_at = NULL",
        "table devices, row POS-00000001: a pairing code and its two instants must be there together",
    ),
    (
        "UPDATE devices SET app_version = 'new'",
        "table devices, row POS-00000001: app_version and seen_at must be there together",
    ),
    (
        "UPDATE devices SET app_version = NULL, chain_start = 9",
        "table devices, row POS-00000001: its chain must start with one of its events",
    ),
    (
        "UPDATE devices SET chain_start = NULL",
        "table devices, row POS-00000001: chain_start and chain_head must be there together",
    ),
    ("UPDATE devices SET chain_start = 1, label = ' '", "table devices, row POS-00000001: label cannot be read"),
    (
        "UPDATE devices SET label = 'Till', code_issued_at = provisioned_at, decommissioned_at = provisioned_at",
        "table devices, row POS-00000001: the facts do not fit the status",
    ),
    (
        "UPDATE devices SET status = 'decommissioned'",
        "table devices, row POS-00000001: the facts do not fit the status",
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

async fn every_bent_row_is_a_fault(storage: &Storage, id: &DeviceId, mut bend: impl AsyncFnMut(&'static str)) {
    for (statement, expected) in BENT {
        bend(statement).await;
        assert_eq!(fault(storage.devices.find(id).await), expected, "after {statement}");
        let page = DevicePage::first(Scope::Operator, 10);
        assert_eq!(fault(storage.fleet.list(&page).await), expected);
        assert_eq!(fault(storage.fleet.find(Scope::Operator, id).await), expected);
        // The index over codes that wait or were used does not have a device whose status is neither.
        if !["pairing_code", "'broken'", "= 'decommissioned'"].iter().any(|word| statement.contains(word)) {
            assert_eq!(fault(storage.devices.find_by_pairing_code(code(CODE)).await), expected);
        }
    }
    let party = Party::Merchant(MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap()));
    let key = IdempotencyKey::parse("key").unwrap();
    let once = Once {
        party,
        key: key.clone(),
        fingerprint: Fingerprint([7; 32]),
        answer: "a secret".to_owned(),
        at: OffsetDateTime::UNIX_EPOCH,
        keep_until: OffsetDateTime::UNIX_EPOCH + Duration::HOUR,
    };
    storage.fleet.create(Scope::Operator, &[], Some(&once)).await.unwrap();
    bend("UPDATE creation_answers SET fingerprint = substr(fingerprint, 1, 3)").await;
    let expected =
        "table creation_answers, row of merchant 0f0f0f0f-0000-4000-8000-000000000001: fingerprint cannot be read";
    assert_eq!(fault(storage.answers.find(party, &key, OffsetDateTime::UNIX_EPOCH).await), expected);
    let again = storage.fleet.create(Scope::Operator, &[], Some(&once)).await;
    let again = again.map_err(|error| match error {
        CreateDevicesError::Storage(error) => error,
        other => panic!("{other:?}"),
    });
    assert_eq!(fault(again), expected);
    bend("INSERT INTO locations SELECT merchant_id, merchant_id, ' ', provisioned_at FROM devices").await;
    let expected = "table locations, row 0f0f0f0f-0000-4000-8000-000000000001: name cannot be read";
    let place = LocationId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    assert_eq!(fault(storage.locations.find_location(Scope::Operator, place).await), expected);
    bend("UPDATE device_events SET kind = 'exploded' WHERE sequence = 2").await;
    let expected = "table device_events, row POS-00000001 2: unknown event word \"exploded\"";
    assert_eq!(fault(storage.events.events_of(&History::whole(id)).await), expected);
    bend("UPDATE device_events SET kind = 'released', origin = 'elsewhere' WHERE sequence = 2").await;
    let expected = "table device_events, row POS-00000001 2: origin cannot be read";
    assert_eq!(fault(storage.events.events_of(&History::whole(id)).await), expected);
    bend("UPDATE ended_pairing_codes SET ended_as = 'lost'").await;
    let expected = "table ended_pairing_codes, row POS-00000001 3: ended_as cannot be read";
    assert_eq!(fault(storage.devices.find_ended_code(code("DEF234")).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres() {
    let (storage, database) = stores::postgres().await;
    let id = furnish(&storage).await;
    let client = database.client().await;
    let checks = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) \
                  FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace";
    for row in client.query(checks, &[]).await.unwrap() {
        client.batch_execute(row.get(0)).await.unwrap();
    }
    every_bent_row_is_a_fault(&storage, &id, async |statement| client.batch_execute(statement).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sqlite() {
    let (storage, folder) = stores::sqlite().await;
    let id = furnish(&storage).await;
    let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA ignore_check_constraints = ON").unwrap();
    every_bent_row_is_a_fault(&storage, &id, async |statement| connection.batch_execute(statement).unwrap()).await;
}
