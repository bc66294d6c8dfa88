//! Contract cases: bulk creation and paging of devices.

use std::collections::BTreeSet;

use pos_domain::device::{Device, DeviceDetails, Transition};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, Scope};

use crate::Storage;
use crate::device::DeviceHistory;
use crate::fleet::{CreateDevicesError, DevicePage};
use crate::shared::StorageError;
use crate::suite::fixtures::{at, id, issued, load, merchant, new, pending, provisioned, save};
use crate::suite::tenancy::fixtures::with_merchant;

async fn create(storage: &Storage, devices: &[Transition]) -> Result<(), CreateDevicesError> {
    for device in devices.iter().map(Transition::device) {
        with_merchant(storage, device.merchant_id()).await;
    }
    storage.fleet.create(Scope::Operator, devices, None).await
}

fn taken(answer: Result<(), CreateDevicesError>) -> Vec<DeviceId> {
    match answer {
        Err(CreateDevicesError::Taken(ids)) => ids,
        other => panic!("{other:?}"),
    }
}

fn of(number: u32, merchant_id: MerchantId) -> Transition {
    Device::provision(id(number), merchant_id, DeviceDetails::default(), AuditContext::operator(), at(50))
}

/// Taken ids are returned, their devices stay unchanged, and no other device is created.
pub async fn taken_ids_are_returned_and_nothing_is_created(storage: Storage) {
    let one = pending(&storage, 1, 1).await;
    assert_eq!(taken(create(&storage, &[new(3), of(1, merchant(2)), new(2)]).await), [id(1)]);
    assert_eq!(load(&storage, &id(1)).await, one);
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap().len(), 2);
    for number in [2, 3] {
        assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
        assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(number))).await.unwrap(), []);
    }
}

/// A duplicate id in one call is returned once as taken, and nothing is created.
pub async fn the_same_id_twice_is_refused(storage: Storage) {
    assert_eq!(taken(create(&storage, &[new(1), of(1, merchant(2)), new(2)]).await), [id(1)]);
    assert_eq!(storage.devices.find(&id(1)).await.unwrap(), None);
    assert_eq!(storage.devices.find(&id(2)).await.unwrap(), None);
}

/// A call without devices succeeds.
pub async fn creating_nothing_succeeds(storage: Storage) {
    create(&storage, &[]).await.unwrap();
}

/// A device that is not new cannot be created, nor can the others of the call.
pub async fn only_new_devices_are_created(storage: Storage) {
    let later = issued(new(1).into_device(), 1, 1);
    let answer = create(&storage, &[new(2), later]).await;
    assert!(matches!(answer, Err(CreateDevicesError::Storage(StorageError::Fault(_)))), "{answer:?}");
    for number in [1, 2] {
        assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
    }
}

/// Thousands of devices are created in one call.
pub async fn thousands_are_created_at_once(storage: Storage) {
    let shipment: Vec<Transition> = (0..5_000).map(new).collect();
    create(&storage, &shipment).await.unwrap();
    let last = save(&storage, issued(load(&storage, &id(4_999)).await, 1, 1)).await;
    assert_eq!(last.version(), 2);
    let again = taken(create(&storage, &shipment).await);
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), (0..5_000).map(id).collect());
    assert_eq!(load(&storage, &id(4_999)).await, last);
}

fn page(merchant_id: Option<MerchantId>, after: Option<DeviceId>, limit: u32) -> DevicePage {
    DevicePage { merchant_id, after, ..DevicePage::first(Scope::Operator, limit) }
}

/// Pages are in byte order, not in the order of a language, and together contain every device once.
pub async fn pages_are_in_byte_order_and_complete(storage: Storage) {
    let names = ["POS-a", "POS-B", "POS-_", "POS-9", "POS-A", "POS--A", "POS-", "POS-b", "POS-Aa", "POS-A!"];
    let ids: BTreeSet<DeviceId> = names.iter().map(|name| DeviceId::parse(name).unwrap()).collect();
    let new = |id: &DeviceId| {
        Device::provision(id.clone(), merchant(1), DeviceDetails::default(), AuditContext::operator(), at(0))
    };
    let shipment: Vec<Transition> = ids.iter().rev().map(new).collect();
    create(&storage, &shipment).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let devices = storage.fleet.list(&page(None, after, 3)).await.unwrap();
        assert!(devices.len() <= 3);
        let Some(last) = devices.last() else { break };
        after = Some(last.id().clone());
        all.extend(devices.iter().map(|device| device.id().clone()));
    }
    assert_eq!(all, ids.into_iter().collect::<Vec<_>>());
}

/// A merchant's page contains only that merchant's devices, in any state, and can start after an id.
pub async fn a_page_can_be_filtered_by_merchant(storage: Storage) {
    let shipment: Vec<Transition> = (0..10).map(|number| of(number, merchant((number % 2) as u8))).collect();
    create(&storage, &shipment).await.unwrap();
    let claimed = save(&storage, issued(load(&storage, &id(3)).await, 1, 1)).await;
    let odd = storage.fleet.list(&page(Some(merchant(1)), Some(id(1)), 3)).await.unwrap();
    assert_eq!(odd.iter().map(|device| device.id().clone()).collect::<Vec<_>>(), [id(3), id(5), id(7)]);
    assert_eq!(odd[0], claimed);
    assert_eq!(storage.fleet.list(&page(Some(merchant(9)), None, 10)).await.unwrap(), []);
}

/// A limit of 0 returns no devices.
pub async fn a_page_with_limit_zero_is_empty(storage: Storage) {
    provisioned(&storage, 1).await;
    assert_eq!(storage.fleet.list(&DevicePage::first(Scope::Operator, 0)).await.unwrap(), []);
}
