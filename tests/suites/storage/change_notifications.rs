//! Notifications of device changes, within a process and between replicas.

use std::time::Duration;

use pos_domain::device::{Device, DeviceDetails, PairingCode};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, RequestContext, Scope};
use pos_port_storage::Storage;
use pos_port_storage::pairing::Wake;
use pos_tests::stores::TestStore;
use time::OffsetDateTime;

/// Timeout that only a lost notification reaches.
const TIMEOUT: Duration = Duration::from_secs(60);

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

async fn device_with_code(storage: &Storage, bits: u32) -> Device {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let new =
        Device::provision(DeviceId::from_bits(bits), merchant, DeviceDetails::default(), AuditContext::operator(), NOW);
    pos_tests::users::add_merchant(storage, merchant).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    let (code, ttl) = (PairingCode::from_bits(bits), time::Duration::minutes(5));
    let step = new.into_device().issue_pairing_code(code, ttl, RequestContext::default(), NOW).unwrap();
    storage.devices.save(&step).await.unwrap();
    step.into_device()
}

async fn decommission(storage: &Storage, device: Device, scope: Scope) {
    storage.fleet.save(scope, &device.decommission(AuditContext::operator(), NOW).unwrap()).await.unwrap();
}

/// A change on `sender` notifies a subscriber on `receiver`, whichever repository saves it.
async fn assert_notified(receiver: &Storage, sender: &Storage, starts_listener: bool) {
    for (bits, scope) in [(1, None), (2, Some(Scope::Operator))] {
        let (device, other) = (device_with_code(sender, bits).await, device_with_code(sender, bits + 10).await);
        let scope = scope.unwrap_or(Scope::Of(pos_domain::shared::Party::Merchant(device.merchant_id())));
        let mut watch = receiver.changes.subscribe(device.id()).unwrap();
        let mut other_watch = receiver.changes.subscribe(other.id()).unwrap();
        if starts_listener && bits == 1 {
            // The store started to listen, which wakes every subscriber.
            assert_eq!(
                (watch.changed(TIMEOUT).await, other_watch.changed(TIMEOUT).await),
                (Wake::Changed, Wake::Changed)
            );
        }
        decommission(sender, device, scope).await;
        assert_eq!(watch.changed(TIMEOUT).await, Wake::Changed);
        assert_eq!(other_watch.changed(Duration::ZERO).await, Wake::TimedOut);
    }
}

#[tokio::test]
async fn sqlite_notifies_within_its_process() {
    let store = TestStore::sqlite().await;
    assert_notified(&store.opened().storage, &store.opened().storage, false).await;
}

#[tokio::test]
async fn postgres_notifies_within_its_process() {
    let store = TestStore::postgres().await;
    assert_notified(&store.opened().storage, &store.opened().storage, true).await;
}

#[tokio::test]
async fn postgres_notifies_other_replicas() {
    let store = TestStore::postgres().await;
    assert_notified(&store.opened().storage, &store.reopened().await.storage, true).await;
}

/// The listening connection is cut. A new one wakes the subscribers, and later changes reach them.
#[tokio::test]
async fn a_listener_reconnects_after_its_connection_was_cut() {
    let store = TestStore::postgres().await;
    let (receiver, sender) = (&store.opened().storage, store.reopened().await.storage);
    let device = device_with_code(&sender, 1).await;
    let mut watch = receiver.changes.subscribe(device.id()).unwrap();
    assert_eq!(watch.changed(TIMEOUT).await, Wake::Changed, "the store started to listen");
    let client = store.client().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    assert_eq!(client.query(cut, &[]).await.unwrap().len(), 1);
    assert_eq!(watch.changed(TIMEOUT).await, Wake::Changed, "the store listens again");
    decommission(&sender, device, Scope::Operator).await;
    assert_eq!(watch.changed(TIMEOUT).await, Wake::Changed);
}

#[tokio::test]
async fn a_store_that_is_closed_stops_listening() {
    let store = TestStore::postgres().await;
    let client = store.client().await;
    let listeners = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    let replica = store.reopened().await;
    let device = device_with_code(&replica.storage, 1).await;
    let mut watch = replica.storage.changes.subscribe(device.id()).unwrap();
    assert_eq!(watch.changed(TIMEOUT).await, Wake::Changed);
    assert_eq!(client.query_one(listeners, &[]).await.unwrap().get::<_, i64>(0), 1);
    drop((watch, replica));
    let stopped = async {
        while client.query_one(listeners, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, stopped).await.expect("the store stops listening");
}
