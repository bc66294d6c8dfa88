//! Adding devices in bulk, and paging through them.

use std::collections::BTreeSet;

use pos_domain::{Act, Device, DeviceId, MerchantId, Transition};

use super::fixtures::{at, found, id, issued, keep, merchant, new, provisioned, waiting};
use crate::{DevicePage, Storage, StorageError};

/// Ids that are taken are answered, and their devices stay as they are; the others are added.
pub async fn taken_ids_are_answered_and_untouched(storage: Storage) {
    let one = waiting(&storage, 1, 1).await;
    let intruder = Device::provision(id(1), merchant(2), Act::operator(), at(50));
    let taken = storage.devices.add(&[new(3), intruder, new(2)]).await.unwrap();
    assert_eq!(taken, [id(1)]);
    assert_eq!(found(&storage, &id(1)).await, one);
    assert_eq!(storage.events.events_of(&id(1)).await.unwrap().len(), 2);
    for number in [2, 3] {
        assert_eq!(&found(&storage, &id(number)).await, new(number).device());
        assert_eq!(storage.events.events_of(&id(number)).await.unwrap(), [new(number).event().clone()]);
    }
}

/// An id that comes twice in one call is added as it came first, and answered once as taken.
pub async fn the_same_id_twice_is_added_once(storage: Storage) {
    let second = Device::provision(id(1), merchant(2), Act::operator(), at(50));
    assert_eq!(storage.devices.add(&[new(1), second]).await.unwrap(), [id(1)]);
    assert_eq!(found(&storage, &id(1)).await.merchant_id(), merchant(1));
    assert_eq!(storage.events.events_of(&id(1)).await.unwrap().len(), 1);
}

/// Adding nothing is no error.
pub async fn nothing_to_add_is_nothing_taken(storage: Storage) {
    assert_eq!(storage.devices.add(&[]).await.unwrap(), []);
}

/// A device that is not new cannot be added, nor can those that come with it.
pub async fn only_new_devices_are_added(storage: Storage) {
    let later = issued(new(1).into_device(), 1, 1);
    let answer = storage.devices.add(&[new(2), later]).await;
    assert!(matches!(answer, Err(StorageError::Fault(_))), "{answer:?}");
    for number in [1, 2] {
        assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
    }
}

/// A shipment of terminals is added in one call.
pub async fn thousands_are_added_at_once(storage: Storage) {
    let shipment: Vec<Transition> = (0..5_000).map(new).collect();
    assert_eq!(storage.devices.add(&shipment).await.unwrap(), []);
    let last = keep(&storage, issued(found(&storage, &id(4_999)).await, 1, 1)).await;
    assert_eq!(last.version(), 2);
    let again: Vec<DeviceId> = storage.devices.add(&shipment).await.unwrap();
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), (0..5_000).map(id).collect());
    assert_eq!(found(&storage, &id(4_999)).await, last);
}

fn page(merchant_id: Option<MerchantId>, after: Option<DeviceId>, limit: u32) -> DevicePage {
    DevicePage { merchant_id, after, limit }
}

/// Pages follow the bytes of the ids, not a language's alphabet, and together hold every device once.
pub async fn pages_are_in_byte_order_and_complete(storage: Storage) {
    let names = ["POS-a", "POS-B", "POS-_", "POS-9", "POS-A", "POS--A", "POS-", "POS-b", "POS-Aa", "POS-A!"];
    let ids: BTreeSet<DeviceId> = names.iter().map(|name| DeviceId::parse(name).unwrap()).collect();
    let shipment: Vec<Transition> =
        ids.iter().rev().map(|id| Device::provision(id.clone(), merchant(1), Act::operator(), at(0))).collect();
    storage.devices.add(&shipment).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let devices = storage.devices.list(&page(None, after, 3)).await.unwrap();
        assert!(devices.len() <= 3);
        let Some(last) = devices.last() else { break };
        after = Some(last.id().clone());
        all.extend(devices.iter().map(|device| device.id().clone()));
    }
    assert_eq!(all, ids.into_iter().collect::<Vec<_>>());
}

/// A merchant's page holds that merchant's devices alone, whatever their state, and also starts after an id.
pub async fn a_page_can_be_one_merchants(storage: Storage) {
    let shipment: Vec<Transition> = (0..10)
        .map(|number| Device::provision(id(number), merchant((number % 2) as u8), Act::operator(), at(0)))
        .collect();
    storage.devices.add(&shipment).await.unwrap();
    let claimed = keep(&storage, issued(found(&storage, &id(3)).await, 1, 1)).await;
    let odd = storage.devices.list(&page(Some(merchant(1)), Some(id(1)), 3)).await.unwrap();
    assert_eq!(odd.iter().map(|device| device.id().clone()).collect::<Vec<_>>(), [id(3), id(5), id(7)]);
    assert_eq!(odd[0], claimed);
    assert_eq!(storage.devices.list(&page(Some(merchant(9)), None, 10)).await.unwrap(), []);
}

/// At most none are told when none are asked for.
pub async fn a_page_of_none_is_empty(storage: Storage) {
    provisioned(&storage, 1).await;
    assert_eq!(storage.devices.list(&DevicePage::default()).await.unwrap(), []);
}
