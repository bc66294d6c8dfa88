//! Which device a code names, and whose a code is.

use pos_domain::{Act, CodeEnd, DeviceStatus};

use super::fixtures::{
    at, by_code, claimant, claimed, code, context, found, id, issued, keep, merchant, provisioned, waiting,
};
use crate::{SaveError, Storage};

/// A code on a screen names its device.
pub async fn a_waiting_code_is_found(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    waiting(&storage, 2, 2).await;
    assert_eq!(by_code(&storage, 1).await, Some(device));
}

/// A store knows no clock: a code that has expired names its device until another takes its place.
pub async fn an_expired_code_is_found(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    assert_eq!(device.pairing_code_status(at(301)), pos_domain::PairingCodeStatus::Expired);
    assert_eq!(by_code(&storage, 1).await, Some(device));
}

/// A code that was never given out names nothing.
pub async fn an_unknown_code_is_not_found(storage: Storage) {
    waiting(&storage, 1, 1).await;
    assert_eq!(by_code(&storage, 2).await, None);
    assert_eq!(storage.devices.find_ended_code(code(2)).await.unwrap(), None);
    assert_eq!(storage.devices.find_ended_code(code(1)).await.unwrap(), None);
}

/// A code that was replaced names no device any more, but its end is known.
pub async fn a_retired_code_is_found_only_as_ended(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    keep(&storage, issued(device, 2, 7)).await;
    assert_eq!(by_code(&storage, 1).await, None);
    let ended = storage.devices.find_ended_code(code(1)).await.unwrap().expect("the end is known");
    assert_eq!((ended.code, ended.device_id, ended.end, ended.at), (code(1), id(1), CodeEnd::Retired, at(7)));
}

/// So it is with the code of a device that was claimed and released.
pub async fn a_released_code_is_found_only_as_used(storage: Storage) {
    let device = claimed(&storage, 1, 1, 5).await;
    keep(&storage, device.release(Act::operator(), at(9)).unwrap()).await;
    assert_eq!(by_code(&storage, 1).await, None);
    let ended = storage.devices.find_ended_code(code(1)).await.unwrap().expect("the end is known");
    assert_eq!((ended.code, ended.device_id, ended.end, ended.at), (code(1), id(1), CodeEnd::Used, at(9)));
}

/// The code of a device that was taken out of use names no device any more, and its end is told; so it is with one that
/// went to another merchant.
pub async fn a_code_ends_with_its_device(storage: Storage) {
    let shown = waiting(&storage, 1, 1).await;
    keep(&storage, shown.decommission(Act::operator(), at(9)).unwrap()).await;
    let used = claimed(&storage, 2, 2, 5).await;
    keep(&storage, used.decommission(Act::operator(), at(9)).unwrap()).await;
    let moved = waiting(&storage, 3, 3).await;
    keep(&storage, moved.move_to(merchant(2), Act::operator(), at(9)).unwrap()).await;
    for (number, end) in [(1, CodeEnd::Retired), (2, CodeEnd::Used), (3, CodeEnd::Retired)] {
        assert_eq!(by_code(&storage, number).await, None);
        let ended = storage.devices.find_ended_code(code(number)).await.unwrap().expect("the end is known");
        assert_eq!((ended.code, ended.device_id, ended.end, ended.at), (code(number), id(number), end, at(9)));
        let other = provisioned(&storage, 10 + number).await;
        let other = keep(&storage, issued(other, number, 10)).await;
        assert_eq!(by_code(&storage, number).await, Some(other), "it may be given out again");
    }
}

/// A code that ended several times is told by its latest end, whatever the order they were stored in.
pub async fn the_latest_end_of_a_code_is_told(storage: Storage) {
    let one = waiting(&storage, 1, 1).await;
    keep(&storage, issued(one, 11, 50)).await;
    let two = waiting(&storage, 2, 1).await;
    keep(&storage, issued(two, 12, 90)).await;
    let three = waiting(&storage, 3, 1).await;
    keep(&storage, issued(three, 13, 70)).await;
    let ended = storage.devices.find_ended_code(code(1)).await.unwrap().expect("the end is known");
    assert_eq!((ended.device_id, ended.at), (id(2), at(90)));
}

/// No device can be given the code that another one shows, and a refusal changes nothing.
pub async fn a_waiting_code_is_taken(storage: Storage) {
    let holder = waiting(&storage, 1, 1).await;
    let other = provisioned(&storage, 2).await;
    let refused = storage.devices.save(&issued(other.clone(), 1, 2)).await;
    assert!(matches!(refused, Err(SaveError::CodeTaken)), "{refused:?}");
    assert_eq!(found(&storage, &id(2)).await, other);
    assert_eq!(by_code(&storage, 1).await, Some(holder));
    keep(&storage, issued(other, 2, 3)).await;
}

/// Not even after it has expired there: it may still stand on the screen.
pub async fn an_expired_code_is_taken(storage: Storage) {
    waiting(&storage, 1, 1).await;
    let other = provisioned(&storage, 2).await;
    let refused = storage.devices.save(&issued(other, 1, 100_000)).await;
    assert!(matches!(refused, Err(SaveError::CodeTaken)), "{refused:?}");
}

/// A code that left its device may be given out again, also to the same device.
pub async fn a_retired_code_is_free(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    let device = keep(&storage, issued(device, 2, 2)).await;
    let device = keep(&storage, issued(device, 1, 3)).await;
    assert_eq!(by_code(&storage, 1).await, Some(device));
    let other = provisioned(&storage, 2).await;
    let other = keep(&storage, issued(other, 2, 4)).await;
    assert_eq!(by_code(&storage, 2).await, Some(other));
}

/// A code that a device was claimed with may be given out again: only those that wait exclude each other.
pub async fn a_used_code_is_free(storage: Storage) {
    claimed(&storage, 1, 1, 5).await;
    let activated = claimed(&storage, 2, 2, 5).await;
    keep(&storage, activated.activate(context(), at(6)).unwrap()).await;
    for number in [1, 2] {
        let other = provisioned(&storage, 10 + number).await;
        let other = keep(&storage, issued(other, number, 7)).await;
        keep(&storage, other.claim(code(number), &claimant(), context(), at(8)).unwrap()).await;
    }
}

/// Of a device that waits with a code and one that was claimed with it, the waiting one is told, either way round.
pub async fn a_waiting_device_comes_before_a_claimed_one(storage: Storage) {
    for (first, second, number) in [(1, 2, 1), (4, 3, 2)] {
        claimed(&storage, first, number, 5).await;
        let waiting = waiting(&storage, second, number).await;
        let found = by_code(&storage, number).await.expect("the code is known");
        assert_eq!(found, waiting);
        assert_eq!(found.status(), DeviceStatus::Inactive);
    }
}

/// Of several devices claimed with one code, the one claimed last is told, activated or not.
pub async fn the_latest_claim_of_a_code_is_told(storage: Storage) {
    claimed(&storage, 1, 1, 20).await;
    let latest = claimed(&storage, 2, 1, 40).await;
    let latest = keep(&storage, latest.activate(context(), at(60)).unwrap()).await;
    claimed(&storage, 3, 1, 30).await;
    assert_eq!(by_code(&storage, 1).await, Some(latest));
}

/// A stale transition is a conflict even if its code is taken as well: a fresh load decides anew.
pub async fn a_conflict_comes_before_a_taken_code(storage: Storage) {
    waiting(&storage, 1, 1).await;
    let other = provisioned(&storage, 2).await;
    let stale = issued(other.clone(), 1, 3);
    keep(&storage, issued(other, 2, 2)).await;
    assert!(matches!(storage.devices.save(&stale).await, Err(SaveError::Conflict)));
}
