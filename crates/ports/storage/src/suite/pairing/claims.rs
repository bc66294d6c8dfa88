//! Contract cases: claims with an idempotency key.

use pos_domain::device::Transition;
use pos_domain::shared::Party;

use crate::Storage;
use crate::device::DeviceHistory;
use crate::shared::{IdempotencyRecord, SaveError, SaveIdempotentError};
use crate::suite::device::races::concurrently;
use crate::suite::fixtures::{at, by_code, claimant, code, context, id, issued, load, merchant, pending};
use crate::suite::fleet::creation::{idempotency, stored_response};

fn own() -> Party {
    Party::Merchant(merchant(1))
}

fn claim(device: pos_domain::device::Device, with: u32) -> Transition {
    device.claim(code(with), &claimant(), context(), at(10)).unwrap()
}

fn replayed(answer: Result<(), SaveIdempotentError>) -> String {
    match answer {
        Err(SaveIdempotentError::Answered(stored)) => stored.answer,
        other => panic!("{other:?}"),
    }
}

/// A claim is saved once per key; a repeated request, for any device, changes nothing and returns the first response.
pub async fn a_claim_is_saved_once_per_key(storage: Storage) {
    let (first, second) = (pending(&storage, 1, 1).await, pending(&storage, 2, 2).await);
    let key = idempotency("key", own(), "first");
    storage.devices.save_idempotent(&claim(first.clone(), 1), &key).await.unwrap();
    assert_eq!(stored_response(&storage, &key).await.as_deref(), Some("first"));
    let claimed = by_code(&storage, 1).await.unwrap();
    assert_eq!(claimed.version(), first.version() + 1);
    for again in [claim(first.clone(), 1), claim(second.clone(), 2)] {
        let other = idempotency("key", own(), "second");
        assert_eq!(replayed(storage.devices.save_idempotent(&again, &other).await), "first");
    }
    assert_eq!(load(&storage, &id(1)).await, claimed);
    assert_eq!(load(&storage, &id(2)).await, second);
    let free = IdempotencyRecord { at: key.expires_at, expires_at: at(200), ..idempotency("key", own(), "second") };
    storage.devices.save_idempotent(&claim(second, 2), &free).await.unwrap();
    assert_eq!(stored_response(&storage, &free).await.as_deref(), Some("second"));
}

/// A claim that conflicts stores neither key nor response.
pub async fn a_refused_claim_stores_no_key(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    let stale = claim(device.clone(), 1);
    storage.devices.save(&issued(device, 2, 5)).await.unwrap();
    let key = idempotency("key", own(), "stale");
    let refused = storage.devices.save_idempotent(&stale, &key).await;
    assert!(matches!(refused, Err(SaveIdempotentError::Refused(SaveError::Conflict))), "{refused:?}");
    assert_eq!(stored_response(&storage, &key).await, None);
    let fresh = claim(load(&storage, &id(1)).await, 2);
    storage.devices.save_idempotent(&fresh, &idempotency("key", own(), "fresh")).await.unwrap();
    assert_eq!(stored_response(&storage, &key).await.as_deref(), Some("fresh"));
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap().len(), 4);
}

/// Of concurrent claims with one key, on any replica, one is saved; all others get its response.
pub async fn concurrent_claims_with_one_key_are_saved_once(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    let idempotency = concurrently(|number| {
        let (storage, transition) = (storage.clone(), claim(device.clone(), 1));
        let key = idempotency("key", own(), &number.to_string());
        async move { (number, storage.devices.save_idempotent(&transition, &key).await) }
    });
    let (mut saved, mut others) = (Vec::new(), Vec::new());
    for (number, answer) in idempotency.await {
        match answer {
            Ok(()) => saved.push(number),
            refused => others.push(replayed(refused)),
        }
    }
    let [winner] = saved[..] else { panic!("{} were saved", saved.len()) };
    assert!(others.iter().all(|response| *response == winner.to_string()), "{others:?}");
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap().len(), 3);
}
