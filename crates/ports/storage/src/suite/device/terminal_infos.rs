//! Contract cases: terminal info, stored outside the state machine.

use crate::Storage;
use crate::device::DeviceHistory;
use crate::suite::fixtures::{
    at, claimant, code, context, id, issued, load, pending, provisioned, save, terminal_info,
};

const FULL: &str = "Viopay-POS/1.4.2 (Android 12; PAX-A920)";

/// Terminal info is read back intact and changes nothing else.
pub async fn terminal_info_does_not_change_the_version(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    let neighbour = pending(&storage, 2, 2).await;
    let seen = terminal_info(FULL, 30);
    storage.devices.update_terminal_info(&id(1), &seen).await.unwrap();
    let after = load(&storage, &id(1)).await;
    assert_eq!(after.last_seen(), Some(&seen));
    assert_eq!(after.last_seen().unwrap().agent.app_version.as_str(), "1.4.2");
    assert_eq!((after.version(), after.state()), (device.version(), device.state()));
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap().len(), 2);
    assert_eq!(load(&storage, &id(2)).await, neighbour);
}

/// A transition made before an update of terminal info neither conflicts with it nor reverts it.
pub async fn a_save_preserves_the_terminal_info(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    let claim = device.claim(code(1), &claimant(), context(), at(20)).unwrap();
    let seen = terminal_info(FULL, 30);
    storage.devices.update_terminal_info(&id(1), &seen).await.unwrap();
    storage.devices.save(&claim).await.unwrap();
    let after = load(&storage, &id(1)).await;
    assert_eq!((after.version(), after.last_seen()), (3, Some(&seen)));
    assert!(after.status().is_claimed());
}

/// Terminal info of an unknown device does not create it.
pub async fn terminal_info_does_not_create_a_device(storage: Storage) {
    provisioned(&storage, 1).await;
    storage.devices.update_terminal_info(&id(2), &terminal_info(FULL, 1)).await.unwrap();
    assert_eq!(storage.devices.find(&id(2)).await.unwrap(), None);
    assert_eq!(load(&storage, &id(1)).await.last_seen(), None);
}

/// New terminal info replaces the old one completely, also where it has fewer fields.
pub async fn later_terminal_info_replaces_all_of_the_earlier(storage: Storage) {
    let device = provisioned(&storage, 1).await;
    storage.devices.update_terminal_info(&id(1), &terminal_info(FULL, 1)).await.unwrap();
    let shorter = terminal_info("Viopay-POS/2.0.0-rc.1", 2);
    assert_eq!((&shorter.agent.os, &shorter.agent.model), (&None, &None));
    storage.devices.update_terminal_info(&id(1), &shorter).await.unwrap();
    assert_eq!(load(&storage, &id(1)).await.last_seen(), Some(&shorter));
    let after = save(&storage, issued(device, 1, 3)).await;
    assert_eq!(after.last_seen(), Some(&shorter));
}
