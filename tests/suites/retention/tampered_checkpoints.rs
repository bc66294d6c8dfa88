//! Detection of tampering with chain checkpoints and with events after a purge.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_domain::device::{Device, DeviceDetails, PairingCode};
use pos_domain::shared::{AuditContext, DeviceId, RequestContext, Scope};
use pos_port_clock::ManualClock;
use pos_port_storage::Storage;
use pos_port_storage::audit::ExpiredKind;
use pos_tests::app::app_at;
use pos_tests::server::{MERCHANT, START};
use pos_tests::stores;
use time::Duration;

use super::purge_all;

const YEAR: Duration = Duration::days(365);

/// Statements that tamper with the second device after a purge of its first two events, and the start of the expected
/// faults.
const TAMPERING: [(&str, &[(u64, &str)]); 7] = [
    ("DELETE FROM chain_checkpoints WHERE device_id = 'POS-00000002'", &[(1, "events are missing from here to 2")]),
    (
        "UPDATE chain_checkpoints SET through = 3 WHERE device_id = 'POS-00000002'",
        &[
            (3, "the event exists although it was purged"),
            (4, "the events before it were deleted too early"),
            (4, "the event was changed or reordered"),
        ],
    ),
    (
        "UPDATE chain_checkpoints SET hash = NULL WHERE device_id = 'POS-00000002'",
        &[(3, "the event was changed or reordered")],
    ),
    (
        "DELETE FROM device_events WHERE device_id = 'POS-00000002' AND sequence = 3",
        &[(3, "events are missing from here to 3")],
    ),
    // Like a purge of one more event. Only the age of that event distinguishes it from a real purge.
    (
        "UPDATE chain_checkpoints SET through = 3, hash = (SELECT hash FROM device_events WHERE device_id = \
         'POS-00000002' AND sequence = 3) WHERE device_id = 'POS-00000002'; \
         DELETE FROM device_events WHERE device_id = 'POS-00000002' AND sequence = 3",
        &[(4, "the events before it were deleted too early")],
    ),
    (
        "DELETE FROM device_events WHERE device_id = 'POS-00000002'; \
         UPDATE chain_checkpoints SET through = 4, hash = (SELECT chain_tip FROM devices WHERE device_id = \
         'POS-00000002') WHERE device_id = 'POS-00000002'",
        &[(4, "events are missing from here to 4")],
    ),
    ("INSERT INTO chain_checkpoints VALUES ('POS-0000000A', 1, NULL)", &[]),
];

/// Provisions three devices and issues each three codes, the last one a year and a half after the start. Two years after
/// the start it purges the first two events of each.
async fn purged_storage(storage: &Storage) -> Arc<ManualClock> {
    pos_tests::users::add_merchant(storage, MERCHANT).await;
    for number in 1..=3 {
        let id = DeviceId::from_bits(number);
        let new = Device::provision(id, MERCHANT, DeviceDetails::default(), AuditContext::operator(), START);
        storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
        let mut device = new.into_device();
        let later = START + YEAR + YEAR / 2;
        for (code, at) in [(1, START), (2, START), (3, later)] {
            let code = PairingCode::from_bits(10 * number + code);
            let step = device.issue_pairing_code(code, Duration::minutes(5), RequestContext::default(), at).unwrap();
            storage.devices.save(&step).await.unwrap();
            device = step.into_device();
        }
    }
    let now = START + YEAR * 2;
    purge_all(storage, ExpiredKind::PastCodes, now).await;
    assert_eq!(purge_all(storage, ExpiredKind::DeviceEvents, now - Duration::days(395)).await, 6);
    Arc::new(ManualClock::at(now))
}

async fn reported_faults(storage: &Storage, clock: &Arc<ManualClock>) -> Vec<(u64, String)> {
    let verify = app_at(storage, clock).fleet.verify_chains;
    let page = verify.page(None).await.unwrap();
    assert_eq!((page.devices, page.events, page.last), (3, 12, None));
    let two = DeviceId::from_bits(2);
    assert_eq!(verify.device(&two).await.unwrap().faults, page.faults, "one device and a page report the same faults");
    assert!(page.faults.iter().all(|(id, _)| *id == two), "{:?}", page.faults);
    if page.faults.is_empty() {
        assert_eq!(page.purged, 6);
    }
    page.faults.into_iter().map(|(_, finding)| (finding.sequence, finding.fault.to_string())).collect()
}

fn assert_faults(reported_faults: &[(u64, String)], expected: &[(u64, &str)], statement: &str) {
    assert_eq!(reported_faults.len(), expected.len(), "{statement}: {reported_faults:?}");
    for ((sequence, fault), (expected_sequence, prefix)) in reported_faults.iter().zip(expected) {
        assert!(sequence == expected_sequence && fault.starts_with(prefix), "{statement}: {reported_faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_in_postgres_is_detected() {
    for (statement, expected) in TAMPERING {
        let (storage, database) = stores::postgres().await;
        let clock = purged_storage(&storage).await;
        assert_eq!(reported_faults(&storage, &clock).await, []);
        database.client().await.batch_execute(statement).await.unwrap();
        assert_faults(&reported_faults(&storage, &clock).await, expected, statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_in_sqlite_is_detected() {
    for (statement, expected) in TAMPERING {
        let (storage, folder) = stores::sqlite().await;
        let clock = purged_storage(&storage).await;
        assert_eq!(reported_faults(&storage, &clock).await, []);
        let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
        connection.batch_execute(&format!("PRAGMA busy_timeout = 5000; {statement}")).unwrap();
        assert_faults(&reported_faults(&storage, &clock).await, expected, statement);
    }
}

/// The databases reject a checkpoint that covers no event, two checkpoints of one device, and an invalid digest.
#[tokio::test(flavor = "multi_thread")]
async fn illegal_checkpoints_are_rejected() {
    let illegal = [
        "INSERT INTO chain_checkpoints VALUES ('POS-00000001', 0, NULL)",
        "INSERT INTO chain_checkpoints VALUES ('POS-00000001', NULL, NULL)",
        "INSERT INTO chain_checkpoints VALUES ('POS-00000001', 1, HASH)",
        "INSERT INTO chain_checkpoints VALUES ('POS-00000009', 1, NULL), ('POS-00000009', 2, NULL)",
    ];
    let (_, database) = stores::postgres().await;
    let client = database.client().await;
    let (_, folder) = stores::sqlite().await;
    let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    for statement in illegal {
        assert!(client.batch_execute(&statement.replace("HASH", "'\\x00'")).await.is_err(), "{statement}");
        assert!(connection.batch_execute(&statement.replace("HASH", "x'00'")).is_err(), "{statement}");
    }
}
