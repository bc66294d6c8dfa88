//! Room is taken back at the worst of moments, by many at once: nothing goes twice, and nothing that is needed.

use std::collections::BTreeSet;

use pos_domain::{
    Act, ChainCheck, ClaimLimit, Claimant, Device, DeviceDetails, Fingerprint, IdempotencyKey, Party, Scope, Session,
};
use time::Duration;

use super::fixtures::{at, claimant, code, context, found, id, issued, merchant, provisioned, refused, user, waiting};
use super::races::together;
use super::reclaiming::batch;
use super::tenancy::{anna, log_out, logout_of, session_of, start, token};
use crate::{CreateDevicesError, History, Once, Reclaimable, Reclaimed, SaveError, StartError, Storage};

const LIMIT: ClaimLimit = ClaimLimit { max_failures: 100, window: Duration::seconds(300) };

/// Some batches of a sort, one after the other; answers how many rows went. Others may be in a batch meanwhile.
async fn sweeps(storage: &Storage, what: Reclaimable, seconds: i64, times: usize) -> u64 {
    let mut batch = batch(what, at(seconds), 7);
    let mut removed = 0;
    for _ in 0..times {
        if let Reclaimed::Done(done) = storage.reclaiming.reclaim(&batch).await.unwrap() {
            removed += done.removed;
            batch.after = done.through;
        }
        tokio::task::yield_now().await;
    }
    removed
}

/// Of many who sweep at once each row goes by one of them.
pub async fn many_sweepers_remove_every_row_once(storage: Storage) {
    for number in 0..100 {
        storage.client_failures.record(&format!("client-{number}"), &LIMIT, at(number % 10)).await.unwrap();
    }
    let removed = together(|_| {
        let storage = storage.clone();
        async move { sweeps(&storage, Reclaimable::ClientFailures, 8, 3).await }
    });
    let removed: u64 = removed.await.into_iter().sum();
    let rest = sweeps(&storage, Reclaimable::ClientFailures, 8, 20).await;
    assert_eq!(removed + rest, 90);
    let left = storage.reclaiming.reclaimable(Reclaimable::ClientFailures, at(1_000), 1_000).await.unwrap();
    assert_eq!(left, 10, "those that are not over");
}

/// While sweepers go round, rows that are over are taken into use again, each by its own rule: every failure counts,
/// one keyed call creates, a renewed session holds, a logout keeps out, one claim wins.
pub async fn sweepers_take_nothing_that_is_needed(storage: Storage) {
    let anna = anna(&storage).await;
    storage.failures.record(&refused(&claimant(), at(0)), &LIMIT).await.unwrap();
    storage.client_failures.record("till", &LIMIT, at(0)).await.unwrap();
    start(&storage, &Session { ends_at: at(100), ..session_of(1, &anna) }).await.unwrap();
    let logout = || logout_of(2);
    log_out(&storage, &logout(), at(100)).await.unwrap();
    let once = |from: i64| Once {
        party: Party::Merchant(merchant(1)),
        key: IdempotencyKey::parse("key").unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: from.to_string(),
        at: at(from),
        keep_until: at(from + 100),
    };
    let new =
        |number: u32| Device::provision(id(number), merchant(1), DeviceDetails::default(), Act::operator(), at(0));
    storage.fleet.create(Scope::Operator, &[new(1)], Some(&once(0))).await.unwrap();
    let shown = waiting(&storage, 2, 2).await;

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Told {
        Swept,
        Counted(u32),
        ClientCounted(u32),
        Created,
        Replayed,
        Renewed,
        Claimed,
        Beaten,
    }
    let told = together(|number| {
        let (storage, anna, shown) = (storage.clone(), anna.clone(), shown.clone());
        let (over, again) = (once(0), once(1_000));
        async move {
            match number % 8 {
                0 => storage
                    .failures
                    .record(&refused(&claimant(), at(1_000)), &LIMIT)
                    .await
                    .map(|standing| Told::Counted(standing.merchant.unwrap().failures))
                    .unwrap(),
                1 => {
                    let counted = storage.client_failures.record("till", &LIMIT, at(1_000)).await.unwrap();
                    Told::ClientCounted(counted.failures)
                }
                2 => {
                    let call = Once { answer: "again".to_owned(), ..again };
                    match storage.fleet.create(Scope::Operator, &[new(1_000 + number)], Some(&call)).await {
                        Ok(()) => Told::Created,
                        Err(CreateDevicesError::Answered(kept)) if kept.answer == "again" => Told::Replayed,
                        other => panic!("{other:?}, where {over:?} is over"),
                    }
                }
                3 => {
                    let renewed = Session { started_at: at(1_000), ends_at: at(2_000), ..session_of(1, &anna) };
                    start(&storage, &renewed).await.unwrap();
                    Told::Renewed
                }
                4 => {
                    let by = Claimant { user_id: user(&format!("user-{number}")), ..claimant() };
                    match storage.devices.save(&shown.claim(code(2), &by, context(), at(200)).unwrap()).await {
                        Ok(()) => Told::Claimed,
                        Err(SaveError::Conflict) => Told::Beaten,
                        Err(other) => panic!("{other:?}"),
                    }
                }
                5 => {
                    log_out(&storage, &logout_of(2), at(2_000)).await.unwrap();
                    Told::Swept
                }
                _ => {
                    for what in Reclaimable::ALL {
                        sweeps(&storage, what, 500, 3).await;
                    }
                    Told::Swept
                }
            }
        }
    });
    let told = told.await;
    let count = |wanted: Told| told.iter().filter(|one| **one == wanted).count();
    let counted: BTreeSet<_> =
        told.iter().filter(|one| matches!(one, Told::Counted(_) | Told::ClientCounted(_))).collect();
    let expected: Vec<_> = (1..=8).map(Told::Counted).chain((1..=8).map(Told::ClientCounted)).collect();
    assert_eq!(counted, expected.iter().collect(), "each failure has a number of its own");
    assert_eq!((count(Told::Created), count(Told::Replayed)), (1, 7));
    assert_eq!((count(Told::Claimed), count(Told::Beaten)), (1, 7));
    for what in Reclaimable::ALL {
        sweeps(&storage, what, 500, 3).await;
    }
    let standing = storage.failures.standing(&claimant()).await.unwrap();
    assert_eq!(standing.user.map(|window| (window.started_at, window.failures)), Some((at(1_000), 8)));
    assert!(storage.sessions.find(&token(1), at(1_999)).await.unwrap().is_some());
    let out = start(&storage, &session_of(2, &anna)).await;
    assert!(matches!(out, Err(StartError::LoggedOut)), "{out:?}");
    let kept = storage.answers.find(once(0).party, &once(0).key, at(1_050)).await.unwrap();
    assert_eq!(kept.map(|kept| kept.answer).as_deref(), Some("again"));
}

/// While a terminal asks for code after code, its events go behind it: every code is given, and the chain holds.
pub async fn chains_hold_while_events_go(storage: Storage) {
    const CODES: u64 = 24;
    provisioned(&storage, 1).await;
    let told = together(|number| {
        let storage = storage.clone();
        async move {
            if number > 0 {
                for what in [Reclaimable::EndedCodes, Reclaimable::DeviceEvents] {
                    sweeps(&storage, what, 1_000, 4).await;
                }
                return;
            }
            let mut device = found(&storage, &id(1)).await;
            for code in 1..=CODES {
                let step = issued(device, u32::try_from(code).unwrap(), i64::try_from(code).unwrap());
                storage.devices.save(&step).await.unwrap();
                device = step.into_device();
            }
        }
    });
    told.await;
    for what in [Reclaimable::EndedCodes, Reclaimable::DeviceEvents] {
        sweeps(&storage, what, 1_000, 10).await;
    }
    let device = found(&storage, &id(1)).await;
    assert_eq!(device.version(), CODES + 1);
    let anchor = storage.events.anchors(&id(1), &id(1)).await.unwrap().pop().unwrap();
    assert_eq!(anchor.through, CODES, "all but the last");
    let mut check = ChainCheck::of(&device).after(&anchor, None);
    storage.events.events_of(&History::whole(&id(1))).await.unwrap().iter().for_each(|event| check.see(event));
    assert_eq!(check.finish(), (0, vec![]));
}
