//! Claims under an idempotency key: kept with the answer in one transaction, once for each key.

use pos_domain::{Party, Transition};

use super::creation::{kept, once};
use super::fixtures::{at, by_code, claimant, code, context, found, id, issued, merchant, waiting};
use super::races::together;
use crate::{History, Once, SaveError, SaveOnceError, Storage};

fn own() -> Party {
    Party::Merchant(merchant(1))
}

fn claim(device: pos_domain::Device, with: u32) -> Transition {
    device.claim(code(with), &claimant(), context(), at(10)).unwrap()
}

fn told(answer: Result<(), SaveOnceError>) -> String {
    match answer {
        Err(SaveOnceError::Answered(kept)) => kept.answer,
        other => panic!("{other:?}"),
    }
}

/// A claim is kept once for its key; sent again, whatever it is of, it changes nothing and is told the first answer.
pub async fn a_claim_is_kept_once_for_its_key(storage: Storage) {
    let (first, second) = (waiting(&storage, 1, 1).await, waiting(&storage, 2, 2).await);
    let key = once("key", own(), "first");
    storage.devices.save_once(&claim(first.clone(), 1), &key).await.unwrap();
    assert_eq!(kept(&storage, &key).await.as_deref(), Some("first"));
    let claimed = by_code(&storage, 1).await.unwrap();
    assert_eq!(claimed.version(), first.version() + 1);
    for again in [claim(first.clone(), 1), claim(second.clone(), 2)] {
        let other = once("key", own(), "second");
        assert_eq!(told(storage.devices.save_once(&again, &other).await), "first");
    }
    assert_eq!(found(&storage, &id(1)).await, claimed);
    assert_eq!(found(&storage, &id(2)).await, second);
    let free = Once { at: key.keep_until, keep_until: at(200), ..once("key", own(), "second") };
    storage.devices.save_once(&claim(second, 2), &free).await.unwrap();
    assert_eq!(kept(&storage, &free).await.as_deref(), Some("second"));
}

/// A claim that comes too late keeps no key and no answer.
pub async fn a_refused_claim_keeps_no_key(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    let stale = claim(device.clone(), 1);
    storage.devices.save(&issued(device, 2, 5)).await.unwrap();
    let key = once("key", own(), "stale");
    let refused = storage.devices.save_once(&stale, &key).await;
    assert!(matches!(refused, Err(SaveOnceError::Refused(SaveError::Conflict))), "{refused:?}");
    assert_eq!(kept(&storage, &key).await, None);
    let fresh = claim(found(&storage, &id(1)).await, 2);
    storage.devices.save_once(&fresh, &once("key", own(), "fresh")).await.unwrap();
    assert_eq!(kept(&storage, &key).await.as_deref(), Some("fresh"));
    assert_eq!(storage.events.events_of(&History::whole(&id(1))).await.unwrap().len(), 4);
}

/// Of many claims with one key, on whatever replicas, one is kept; all others are told its answer.
pub async fn of_many_claims_with_one_key_one_is_kept(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    let answers = together(|number| {
        let (storage, step) = (storage.clone(), claim(device.clone(), 1));
        let key = once("key", own(), &number.to_string());
        async move { (number, storage.devices.save_once(&step, &key).await) }
    });
    let (mut keepers, mut others) = (Vec::new(), Vec::new());
    for (number, answer) in answers.await {
        match answer {
            Ok(()) => keepers.push(number),
            refused => others.push(told(refused)),
        }
    }
    let [keeper] = keepers[..] else { panic!("{} were kept", keepers.len()) };
    assert!(others.iter().all(|told| *told == keeper.to_string()), "{others:?}");
    assert_eq!(storage.events.events_of(&History::whole(&id(1))).await.unwrap().len(), 3);
}
