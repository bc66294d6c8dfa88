//! A hand at the database bends the audit trail, and the verification says where.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_application::VerifyAudit;
use pos_domain::{
    Act, CallContext, Claimant, Device, DeviceDetails, DeviceId, MerchantId, PairingCode, Scope, Transition, UserId,
};
use pos_port_storage::Storage;
use pos_tests::stores;
use time::{Duration, OffsetDateTime};

/// What a hand does to the second of three devices, and what is said: the sequence, and how the fault begins.
const BENT: [(&str, &[(u64, &str)]); 11] = [
    (
        "UPDATE device_events SET actor = 'user:mallory' WHERE device_id = 'POS-00000002' AND sequence = 3",
        &[(3, "the event was changed")],
    ),
    (
        "UPDATE device_events SET origin = '198.51.100.8' WHERE device_id = 'POS-00000002' AND sequence = 5",
        &[(5, "the event was changed")],
    ),
    (
        "UPDATE device_events SET hash = NULL WHERE device_id = 'POS-00000002' AND sequence = 5",
        &[(5, "the event is not part of the chain"), (5, "the chain does not end")],
    ),
    (
        "UPDATE device_events SET hash = NULL WHERE device_id = 'POS-00000002'; \
         UPDATE devices SET chain_start = NULL, chain_head = NULL WHERE device_id = 'POS-00000002'; \
         UPDATE devices SET chain_start = 5, chain_head = (SELECT hash FROM device_events WHERE device_id = \
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
        &[(6, "the device knows of no such change")],
    ),
];

/// Provisions, issues, claims, activates and releases.
async fn live(storage: &Storage, number: u32) {
    let now = OffsetDateTime::UNIX_EPOCH;
    let context = CallContext { origin: Some("198.51.100.7".parse().unwrap()), trace_id: None };
    let by = Claimant {
        merchant_id: MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap()),
        user_id: UserId::parse("anna").unwrap(),
    };
    let code = PairingCode::from_bits(number);
    let new =
        Device::provision(DeviceId::from_bits(number), by.merchant_id, DeviceDetails::default(), Act::operator(), now);
    pos_tests::people::add_merchant(storage, by.merchant_id).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    let save = async |step: Transition| {
        storage.devices.save(&step).await.unwrap();
        step.into_device()
    };
    let device = save(new.into_device().issue_pairing_code(code, Duration::minutes(5), context, now).unwrap()).await;
    let device = save(device.claim(code, &by, context, now).unwrap()).await;
    let device = save(device.activate(context, now).unwrap()).await;
    save(device.release(Act::operator(), now).unwrap()).await;
}

async fn told(storage: &Storage) -> Vec<(DeviceId, u64, String)> {
    let verify = VerifyAudit::new(Arc::clone(&storage.fleet), Arc::clone(&storage.events));
    let page = verify.page(None).await.unwrap();
    assert_eq!((page.devices, page.last), (3, None));
    let two = DeviceId::from_bits(2);
    assert_eq!(verify.device(&two).await.unwrap().faults, page.faults, "alone or among others");
    page.faults.into_iter().map(|(id, link)| (id, link.sequence, link.fault.to_string())).collect()
}

fn is_what_was_bent(told: &[(DeviceId, u64, String)], expected: &[(u64, &str)], statement: &str) {
    assert_eq!(told.len(), expected.len(), "{statement}: {told:?}");
    for ((id, sequence, fault), (place, begins)) in told.iter().zip(expected) {
        assert_eq!((id.as_str(), sequence), ("POS-00000002", place), "{statement}: {told:?}");
        assert!(fault.starts_with(begins), "{statement}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres() {
    for (statement, expected) in BENT {
        let (storage, database) = stores::postgres().await;
        for number in 1..=3 {
            live(&storage, number).await;
        }
        assert_eq!(told(&storage).await, []);
        let client = database.client().await;
        client.batch_execute("DELETE FROM ended_pairing_codes").await.unwrap();
        client.batch_execute(statement).await.unwrap();
        is_what_was_bent(&told(&storage).await, expected, statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sqlite() {
    for (statement, expected) in BENT {
        let (storage, folder) = stores::sqlite().await;
        for number in 1..=3 {
            live(&storage, number).await;
        }
        assert_eq!(told(&storage).await, []);
        let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
        connection
            .batch_execute(&format!("PRAGMA busy_timeout = 5000; DELETE FROM ended_pairing_codes; {statement}"))
            .unwrap();
        is_what_was_bent(&told(&storage).await, expected, statement);
    }
}
