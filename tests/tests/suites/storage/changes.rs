//! Word of changed devices, within a process and from replica to replica.

use std::time::Duration;

use pos_domain::{Act, CallContext, Device, DeviceDetails, DeviceId, MerchantId, PairingCode, Scope};
use pos_port_storage::{Storage, Woken};
use pos_tests::stores::TestStore;
use time::OffsetDateTime;

/// Long enough that only a lost word ends it.
const LONG: Duration = Duration::from_secs(60);

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

async fn pending(storage: &Storage, bits: u32) -> Device {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let new = Device::provision(DeviceId::from_bits(bits), merchant, DeviceDetails::default(), Act::operator(), NOW);
    pos_tests::people::add_merchant(storage, merchant).await;
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    let (code, ttl) = (PairingCode::from_bits(bits), time::Duration::minutes(5));
    let step = new.into_device().issue_pairing_code(code, ttl, CallContext::default(), NOW).unwrap();
    storage.devices.save(&step).await.unwrap();
    step.into_device()
}

async fn decommission(storage: &Storage, device: Device, scope: Scope) {
    storage.fleet.save(scope, &device.decommission(Act::operator(), NOW).unwrap()).await.unwrap();
}

/// A change on `far` is heard by one who waits on `near`, whoever saves it.
async fn is_heard(near: &Storage, far: &Storage, listens: bool) {
    for (bits, scope) in [(1, None), (2, Some(Scope::Operator))] {
        let (device, other) = (pending(far, bits).await, pending(far, bits + 10).await);
        let scope = scope.unwrap_or(Scope::Of(pos_domain::Party::Merchant(device.merchant_id())));
        let mut watch = near.changes.watch(device.id()).unwrap();
        let mut elsewhere = near.changes.watch(other.id()).unwrap();
        if listens && bits == 1 {
            // Listening has begun, of which everybody is told.
            assert_eq!((watch.changed(LONG).await, elsewhere.changed(LONG).await), (Woken::ByChange, Woken::ByChange));
        }
        decommission(far, device, scope).await;
        assert_eq!(watch.changed(LONG).await, Woken::ByChange);
        assert_eq!(elsewhere.changed(Duration::ZERO).await, Woken::ByTime);
    }
}

#[tokio::test]
async fn sqlite_tells_within_its_process() {
    let store = TestStore::sqlite().await;
    is_heard(&store.opened().storage, &store.opened().storage, false).await;
}

#[tokio::test]
async fn postgres_tells_within_its_process() {
    let store = TestStore::postgres().await;
    is_heard(&store.opened().storage, &store.opened().storage, true).await;
}

#[tokio::test]
async fn postgres_tells_other_replicas() {
    let store = TestStore::postgres().await;
    is_heard(&store.opened().storage, &store.reopened().await.storage, true).await;
}

/// The listening connection is cut: whoever waits is told to look once there is another, and hears of what follows.
#[tokio::test]
async fn a_listener_that_was_cut_listens_again() {
    let store = TestStore::postgres().await;
    let (near, far) = (&store.opened().storage, store.reopened().await.storage);
    let device = pending(&far, 1).await;
    let mut watch = near.changes.watch(device.id()).unwrap();
    assert_eq!(watch.changed(LONG).await, Woken::ByChange, "listening has begun");
    let client = store.client().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    assert_eq!(client.query(cut, &[]).await.unwrap().len(), 1);
    assert_eq!(watch.changed(LONG).await, Woken::ByChange, "it listens again");
    decommission(&far, device, Scope::Operator).await;
    assert_eq!(watch.changed(LONG).await, Woken::ByChange);
}

#[tokio::test]
async fn a_store_that_is_closed_stops_listening() {
    let store = TestStore::postgres().await;
    let client = store.client().await;
    let listeners = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    let replica = store.reopened().await;
    let device = pending(&replica.storage, 1).await;
    let mut watch = replica.storage.changes.watch(device.id()).unwrap();
    assert_eq!(watch.changed(LONG).await, Woken::ByChange);
    assert_eq!(client.query_one(listeners, &[]).await.unwrap().get::<_, i64>(0), 1);
    drop((watch, replica));
    let gone = async {
        while client.query_one(listeners, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, gone).await.expect("it listens no more");
}
