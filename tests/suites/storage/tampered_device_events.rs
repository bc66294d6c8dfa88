//! Detection of device events that were tampered with in the database.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_domain::device::{Device, DeviceDetails, PairingCode, Transition};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, RequestContext, Scope, UserId};
use pos_port_storage::Storage;
use pos_tests::app::app;
use pos_tests::stores;
use time::{Duration, OffsetDateTime};

/// Statements that tamper with the second of three devices, and the expected faults: sequence and start of the text.
const TAMPERING: [(&str, &[(u64, &str)]); 11] = [
    (
        "UPDATE device_events SET actor = 'user:mallory' WHERE device_id = 'POS-00000002' AND sequence = 3",
        &[(3, "the event was changed")],
    ),
    (
        "UPDATE device_events SET client_ip = '198.51.100.8' WHERE device_id = 'POS-00000002' AND sequence = 5",
        &[(5, "the event was changed")],
    ),
    (
        "UPDATE device_events SET hash = NULL WHERE device_id = 'POS-00000002' AND sequence = 5",
        &[(5, "the event is not part of the chain"), (5, "the chain does not end")],
    ),
    (
        "UPDATE device_events SET hash = NULL WHERE device_id = 'POS-00000002'; \
         UPDATE devices SET chain_start = NULL, chain_tip = NULL WHERE device_id = 'POS-00000002'; \
         UPDATE devices SET chain_start = 5, chain_tip = (SELECT hash FROM device_events WHERE device_id = \
         'POS-00000001' AND sequence = 5) WHERE device_id = 'POS-00000002'",
        &[(5, "the event is not part of the chain"), (5, "the chain does not end")],
    ),
    (
        "DELETE FROM device_events WHERE device_id = 'POS-00000002' AND sequence = 3",
        &[(3, "events are missing from here to 3")],
    ),
    (
        "DELETE FROM device_events WHERE device_id = 'POS-00000002' AND sequence = 5",
        &[(5, "events are missing from here to 5")],
    ),
    (
        "DELETE FROM device_events WHERE device_id = 'POS-00000002' AND sequence = 1",
        &[(1, "events are missing from here to 1")],
    ),
    ("DELETE FROM device_events WHERE device_id = 'POS-00000002'", &[(1, "events are missing from here to 5")]),
    (
        "DELETE FROM device_events WHERE device_id = 'POS-00000002' AND sequence = 5; \
         UPDATE devices SET version = 4 WHERE device_id = 'POS-00000002'",
        &[(4, "the chain does not end")],
    ),
    (
        "UPDATE device_events SET sequence = 9 WHERE device_id = 'POS-00000002' AND sequence = 3; \
         UPDATE device_events SET sequence = 3 WHERE device_id = 'POS-00000002' AND sequence = 4; \
         UPDATE device_events SET sequence = 4 WHERE device_id = 'POS-00000002' AND sequence = 9",
        &[(3, "the event was changed"), (4, "the event was changed"), (5, "the event was changed")],
    ),
    (
        "INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind) SELECT device_id, 6, merchant_id, \
         at, actor, kind FROM device_events WHERE device_id = 'POS-00000002' AND sequence = 4",
        &[(6, "the event's sequence is higher than the device's version")],
    ),
];

/// Provisions, issues a code, claims, activates and releases.
async fn run_lifecycle(storage: &Storage, number: u32) {
    let now = OffsetDateTime::UNIX_EPOCH;
    let context = RequestContext { client_ip: Some("198.51.100.7".parse().unwrap()), trace_id: None };
    let by = Claimant {
        merchant_id: MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap()),
        user_id: UserId::parse("anna").unwrap(),
    };
    let code = PairingCode::from_bits(number);
    let new = Device::provision(
        DeviceId::from_bits(number),
        by.merchant_id,
        DeviceDetails::default(),
        AuditContext::operator(),
        now,
    );
    pos_tests::users::add_merchant(storage, by.merchant_id).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    let save = async |step: Transition| {
        storage.devices.save(&step).await.unwrap();
        step.into_device()
    };
    let device = save(new.into_device().issue_pairing_code(code, Duration::minutes(5), context, now).unwrap()).await;
    let device = save(device.claim(code, &by, context, now).unwrap()).await;
    let device = save(device.activate(context, now).unwrap()).await;
    save(device.release(AuditContext::operator(), now).unwrap()).await;
}

/// Faults that the verification of all devices reports.
async fn reported_faults(storage: &Storage) -> Vec<(DeviceId, u64, String)> {
    let verify = app(storage).fleet.verify_chains;
    let page = verify.page(None).await.unwrap();
    assert_eq!((page.devices, page.last), (3, None));
    let two = DeviceId::from_bits(2);
    assert_eq!(verify.device(&two).await.unwrap().faults, page.faults, "one device and a page report the same faults");
    page.faults.into_iter().map(|(id, finding)| (id, finding.sequence, finding.fault.to_string())).collect()
}

fn assert_faults(reported_faults: &[(DeviceId, u64, String)], expected: &[(u64, &str)], statement: &str) {
    assert_eq!(reported_faults.len(), expected.len(), "{statement}: {reported_faults:?}");
    for ((id, sequence, fault), (expected_sequence, prefix)) in reported_faults.iter().zip(expected) {
        assert_eq!((id.as_str(), sequence), ("POS-00000002", expected_sequence), "{statement}: {reported_faults:?}");
        assert!(fault.starts_with(prefix), "{statement}: {reported_faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_in_postgres_is_detected() {
    for (statement, expected) in TAMPERING {
        let (storage, database) = stores::postgres().await;
        for number in 1..=3 {
            run_lifecycle(&storage, number).await;
        }
        assert_eq!(reported_faults(&storage).await, []);
        let client = database.client().await;
        client.batch_execute("DELETE FROM past_pairing_codes").await.unwrap();
        client.batch_execute(statement).await.unwrap();
        assert_faults(&reported_faults(&storage).await, expected, statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_in_sqlite_is_detected() {
    for (statement, expected) in TAMPERING {
        let (storage, folder) = stores::sqlite().await;
        for number in 1..=3 {
            run_lifecycle(&storage, number).await;
        }
        assert_eq!(reported_faults(&storage).await, []);
        let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
        connection
            .batch_execute(&format!("PRAGMA busy_timeout = 5000; DELETE FROM past_pairing_codes; {statement}"))
            .unwrap();
        assert_faults(&reported_faults(&storage).await, expected, statement);
    }
}
