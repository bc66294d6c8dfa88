//! Contract cases: look-up and uniqueness of pairing codes.

use pos_domain::device::{CodeEnd, DeviceStatus};
use pos_domain::shared::AuditContext;

use crate::Storage;
use crate::shared::SaveError;
use crate::suite::fixtures::{
    at, by_code, claimant, claimed, code, context, id, issued, load, merchant, pending, provisioned, save,
};

/// A pending code finds its device.
pub async fn a_pending_code_is_found(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    pending(&storage, 2, 2).await;
    assert_eq!(by_code(&storage, 1).await, Some(device));
}

/// A store has no clock: an expired code finds its device until it is superseded.
pub async fn an_expired_code_is_found(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    assert_eq!(device.pairing_code_status(at(301)), pos_domain::device::PairingCodeStatus::Expired);
    assert_eq!(by_code(&storage, 1).await, Some(device));
}

/// A code that was never issued finds nothing.
pub async fn an_unknown_code_is_not_found(storage: Storage) {
    pending(&storage, 1, 1).await;
    assert_eq!(by_code(&storage, 2).await, None);
    assert_eq!(storage.devices.find_past_code(code(2)).await.unwrap(), None);
    assert_eq!(storage.devices.find_past_code(code(1)).await.unwrap(), None);
}

/// A superseded code finds no device, but is a past code.
pub async fn a_superseded_code_is_found_only_as_a_past_code(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    save(&storage, issued(device, 2, 7)).await;
    assert_eq!(by_code(&storage, 1).await, None);
    let ended = storage.devices.find_past_code(code(1)).await.unwrap().expect("the end is known");
    assert_eq!((ended.code, ended.device_id, ended.end, ended.at), (code(1), id(1), CodeEnd::Superseded, at(7)));
}

/// The code of a claimed and released device is a past code too.
pub async fn a_released_code_is_found_only_as_a_used_code(storage: Storage) {
    let device = claimed(&storage, 1, 1, 5).await;
    save(&storage, device.release(AuditContext::operator(), at(9)).unwrap()).await;
    assert_eq!(by_code(&storage, 1).await, None);
    let ended = storage.devices.find_past_code(code(1)).await.unwrap().expect("the end is known");
    assert_eq!((ended.code, ended.device_id, ended.end, ended.at), (code(1), id(1), CodeEnd::Used, at(9)));
}

/// The code of a decommissioned or transferred device finds no device and is a past code.
pub async fn decommission_and_transfer_invalidate_the_code(storage: Storage) {
    let shown = pending(&storage, 1, 1).await;
    save(&storage, shown.decommission(AuditContext::operator(), at(9)).unwrap()).await;
    let used = claimed(&storage, 2, 2, 5).await;
    save(&storage, used.decommission(AuditContext::operator(), at(9)).unwrap()).await;
    let transferred = pending(&storage, 3, 3).await;
    save(&storage, transferred.transfer_to(merchant(2), AuditContext::operator(), at(9)).unwrap()).await;
    for (number, end) in [(1, CodeEnd::Superseded), (2, CodeEnd::Used), (3, CodeEnd::Superseded)] {
        assert_eq!(by_code(&storage, number).await, None);
        let ended = storage.devices.find_past_code(code(number)).await.unwrap().expect("the end is known");
        assert_eq!((ended.code, ended.device_id, ended.end, ended.at), (code(number), id(number), end, at(9)));
        let other = provisioned(&storage, 10 + number).await;
        let other = save(&storage, issued(other, number, 10)).await;
        assert_eq!(by_code(&storage, number).await, Some(other), "it may be given out again");
    }
}

/// Of several past codes with the same symbols the latest is returned, whatever the order of their storage.
pub async fn the_latest_past_code_is_returned(storage: Storage) {
    let one = pending(&storage, 1, 1).await;
    save(&storage, issued(one, 11, 50)).await;
    let two = pending(&storage, 2, 1).await;
    save(&storage, issued(two, 12, 90)).await;
    let three = pending(&storage, 3, 1).await;
    save(&storage, issued(three, 13, 70)).await;
    let ended = storage.devices.find_past_code(code(1)).await.unwrap().expect("the end is known");
    assert_eq!((ended.device_id, ended.at), (id(2), at(90)));
}

/// No device can get the current code of another one, and the refusal changes nothing.
pub async fn a_pending_code_cannot_be_issued_twice(storage: Storage) {
    let holder = pending(&storage, 1, 1).await;
    let other = provisioned(&storage, 2).await;
    let refused = storage.devices.save(&issued(other.clone(), 1, 2)).await;
    assert!(matches!(refused, Err(SaveError::CodeTaken)), "{refused:?}");
    assert_eq!(load(&storage, &id(2)).await, other);
    assert_eq!(by_code(&storage, 1).await, Some(holder));
    save(&storage, issued(other, 2, 3)).await;
}

/// An expired current code is taken too: it may still be displayed.
pub async fn an_expired_code_cannot_be_issued_twice(storage: Storage) {
    pending(&storage, 1, 1).await;
    let other = provisioned(&storage, 2).await;
    let refused = storage.devices.save(&issued(other, 1, 100_000)).await;
    assert!(matches!(refused, Err(SaveError::CodeTaken)), "{refused:?}");
}

/// A superseded code can be issued again, also to the same device.
pub async fn a_superseded_code_can_be_issued_again(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    let device = save(&storage, issued(device, 2, 2)).await;
    let device = save(&storage, issued(device, 1, 3)).await;
    assert_eq!(by_code(&storage, 1).await, Some(device));
    let other = provisioned(&storage, 2).await;
    let other = save(&storage, issued(other, 2, 4)).await;
    assert_eq!(by_code(&storage, 2).await, Some(other));
}

/// A code that a device was claimed with can be issued again: only inactive devices exclude each other.
pub async fn a_used_code_can_be_issued_again(storage: Storage) {
    claimed(&storage, 1, 1, 5).await;
    let activated = claimed(&storage, 2, 2, 5).await;
    save(&storage, activated.activate(context(), at(6)).unwrap()).await;
    for number in [1, 2] {
        let other = provisioned(&storage, 10 + number).await;
        let other = save(&storage, issued(other, number, 7)).await;
        save(&storage, other.claim(code(number), &claimant(), context(), at(8)).unwrap()).await;
    }
}

/// Of an inactive device with a code and one claimed with it, the inactive one is found, in either order of creation.
pub async fn a_pending_code_takes_precedence_over_a_claimed_one(storage: Storage) {
    for (first, second, number) in [(1, 2, 1), (4, 3, 2)] {
        claimed(&storage, first, number, 5).await;
        let waiting = pending(&storage, second, number).await;
        let found = by_code(&storage, number).await.expect("the code is known");
        assert_eq!(found, waiting);
        assert_eq!(found.status(), DeviceStatus::Inactive);
    }
}

/// Of several devices claimed with one code, the one claimed last is found, activated or not.
pub async fn the_latest_claim_of_a_code_is_returned(storage: Storage) {
    claimed(&storage, 1, 1, 20).await;
    let latest = claimed(&storage, 2, 1, 40).await;
    let latest = save(&storage, latest.activate(context(), at(60)).unwrap()).await;
    claimed(&storage, 3, 1, 30).await;
    assert_eq!(by_code(&storage, 1).await, Some(latest));
}

/// A stale transition is a conflict even if its code is taken as well, because the caller reloads and retries.
pub async fn a_conflict_takes_precedence_over_a_taken_code(storage: Storage) {
    pending(&storage, 1, 1).await;
    let other = provisioned(&storage, 2).await;
    let stale = issued(other.clone(), 1, 3);
    save(&storage, issued(other, 2, 2)).await;
    assert!(matches!(storage.devices.save(&stale).await, Err(SaveError::Conflict)));
}
