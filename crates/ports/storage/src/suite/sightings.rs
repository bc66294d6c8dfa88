//! What terminals say of themselves, beside the state machine.

use super::fixtures::{at, claimant, code, context, found, id, issued, keep, provisioned, sighting, waiting};
use crate::{History, Storage};

const FULL: &str = "Viopay-POS/1.4.2 (Android 12; PAX-A920)";

/// A sighting is read back whole and changes nothing else.
pub async fn a_sighting_is_kept_beside_the_version(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    let neighbour = waiting(&storage, 2, 2).await;
    let seen = sighting(FULL, 30);
    storage.devices.record_sighting(&id(1), &seen).await.unwrap();
    let after = found(&storage, &id(1)).await;
    assert_eq!(after.last_seen(), Some(&seen));
    assert_eq!(after.last_seen().unwrap().agent.app_version.as_str(), "1.4.2");
    assert_eq!((after.version(), after.state()), (device.version(), device.state()));
    assert_eq!(storage.events.events_of(&History::whole(&id(1))).await.unwrap().len(), 2);
    assert_eq!(found(&storage, &id(2)).await, neighbour);
}

/// A transition made before a sighting neither conflicts with it nor takes it back.
pub async fn a_save_leaves_the_sighting(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    let claim = device.claim(code(1), &claimant(), context(), at(20)).unwrap();
    let seen = sighting(FULL, 30);
    storage.devices.record_sighting(&id(1), &seen).await.unwrap();
    storage.devices.save(&claim).await.unwrap();
    let after = found(&storage, &id(1)).await;
    assert_eq!((after.version(), after.last_seen()), (3, Some(&seen)));
    assert!(after.status().is_claimed());
}

/// A sighting makes no device.
pub async fn an_unknown_device_stays_unknown(storage: Storage) {
    provisioned(&storage, 1).await;
    storage.devices.record_sighting(&id(2), &sighting(FULL, 1)).await.unwrap();
    assert_eq!(storage.devices.find(&id(2)).await.unwrap(), None);
    assert_eq!(found(&storage, &id(1)).await.last_seen(), None);
}

/// The next sighting replaces the one before, also where it says less.
pub async fn a_later_sighting_replaces_all_of_the_earlier(storage: Storage) {
    let device = provisioned(&storage, 1).await;
    storage.devices.record_sighting(&id(1), &sighting(FULL, 1)).await.unwrap();
    let shorter = sighting("Viopay-POS/2.0.0-rc.1", 2);
    assert_eq!((&shorter.agent.os, &shorter.agent.model), (&None, &None));
    storage.devices.record_sighting(&id(1), &shorter).await.unwrap();
    assert_eq!(found(&storage, &id(1)).await.last_seen(), Some(&shorter));
    let after = keep(&storage, issued(device, 1, 3)).await;
    assert_eq!(after.last_seen(), Some(&shorter));
}
