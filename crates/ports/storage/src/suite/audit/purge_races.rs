//! Contract cases: concurrent purges; no row is deleted twice, and none that is in use.

use std::collections::BTreeSet;

use pos_domain::device::{ChainVerifier, Device, DeviceDetails};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptLimit, AuditContext, Fingerprint, IdempotencyKey, Party, Scope};
use pos_domain::tenancy::Session;
use time::Duration;

use crate::Storage;
use crate::audit::{ExpiredKind, Purged};
use crate::device::DeviceHistory;
use crate::fleet::CreateDevicesError;
use crate::shared::{IdempotencyRecord, SaveError};
use crate::suite::audit::retention::batch;
use crate::suite::device::races::concurrently;
use crate::suite::fixtures::{
    at, claimant, code, context, id, issued, load, merchant, pending, provisioned, refused_claim, user,
};
use crate::suite::tenancy::fixtures::{anna, log_out, logout_of, session_of, start, token};
use crate::tenancy::StartError;

const LIMIT: AttemptLimit = AttemptLimit { max_failures: 100, window: Duration::seconds(300) };

/// Runs some batches of one kind and returns the number of deleted rows. Other callers may run batches meanwhile.
async fn purge_batches(storage: &Storage, what: ExpiredKind, seconds: i64, times: usize) -> u64 {
    let mut batch = batch(what, at(seconds), 7);
    let mut removed = 0;
    for _ in 0..times {
        if let Purged::Done(done) = storage.retention.purge(&batch).await.unwrap() {
            removed += done.removed;
            batch.after = done.through;
        }
        tokio::task::yield_now().await;
    }
    removed
}

/// Each row is deleted by one of many concurrent purges.
pub async fn concurrent_purges_remove_every_row_once(storage: Storage) {
    for number in 0..100 {
        storage.client_failures.record(&format!("client-{number}"), &LIMIT, at(number % 10)).await.unwrap();
    }
    let removed = concurrently(|_| {
        let storage = storage.clone();
        async move { purge_batches(&storage, ExpiredKind::ClientFailures, 8, 3).await }
    });
    let removed: u64 = removed.await.into_iter().sum();
    let rest = purge_batches(&storage, ExpiredKind::ClientFailures, 8, 20).await;
    assert_eq!(removed + rest, 90);
    let left = storage.retention.count_expired(ExpiredKind::ClientFailures, at(1_000), 1_000).await.unwrap();
    assert_eq!(left, 10, "those that are not expired");
}

/// Expired rows that are used again during a purge follow their own rules: every failure is counted, one request with a
/// key creates, a renewed session is valid, a logout prevents starts, one claim wins.
pub async fn a_purge_does_not_delete_rows_in_use(storage: Storage) {
    let anna = anna(&storage).await;
    storage.failures.record(&refused_claim(&claimant(), at(0)), &LIMIT).await.unwrap();
    storage.client_failures.record("till", &LIMIT, at(0)).await.unwrap();
    start(&storage, &Session { ends_at: at(100), ..session_of(1, &anna) }).await.unwrap();
    let logout = || logout_of(2);
    log_out(&storage, &logout(), at(100)).await.unwrap();
    let idempotency = |from: i64| IdempotencyRecord {
        party: Party::Merchant(merchant(1)),
        key: IdempotencyKey::parse("key").unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: from.to_string(),
        at: at(from),
        expires_at: at(from + 100),
    };
    let new = |number: u32| {
        Device::provision(id(number), merchant(1), DeviceDetails::default(), AuditContext::operator(), at(0))
    };
    storage.fleet.create(Scope::Operator, &[new(1)], Some(&idempotency(0))).await.unwrap();
    let shown = pending(&storage, 2, 2).await;

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Outcome {
        Purged,
        Counted(u32),
        ClientCounted(u32),
        Created,
        Replayed,
        Renewed,
        Claimed,
        LostRace,
    }
    let results = concurrently(|number| {
        let (storage, anna, shown) = (storage.clone(), anna.clone(), shown.clone());
        let (expired, again) = (idempotency(0), idempotency(1_000));
        async move {
            match number % 8 {
                0 => storage
                    .failures
                    .record(&refused_claim(&claimant(), at(1_000)), &LIMIT)
                    .await
                    .map(|counts| Outcome::Counted(counts.merchant.unwrap().failures))
                    .unwrap(),
                1 => {
                    let counted = storage.client_failures.record("till", &LIMIT, at(1_000)).await.unwrap();
                    Outcome::ClientCounted(counted.failures)
                }
                2 => {
                    let call = IdempotencyRecord { answer: "again".to_owned(), ..again };
                    match storage.fleet.create(Scope::Operator, &[new(1_000 + number)], Some(&call)).await {
                        Ok(()) => Outcome::Created,
                        Err(CreateDevicesError::Answered(stored)) if stored.answer == "again" => Outcome::Replayed,
                        other => panic!("{other:?}, although {expired:?} is expired"),
                    }
                }
                3 => {
                    let renewed = Session { started_at: at(1_000), ends_at: at(2_000), ..session_of(1, &anna) };
                    start(&storage, &renewed).await.unwrap();
                    Outcome::Renewed
                }
                4 => {
                    let by = Claimant { user_id: user(&format!("user-{number}")), ..claimant() };
                    match storage.devices.save(&shown.claim(code(2), &by, context(), at(200)).unwrap()).await {
                        Ok(()) => Outcome::Claimed,
                        Err(SaveError::Conflict) => Outcome::LostRace,
                        Err(other) => panic!("{other:?}"),
                    }
                }
                5 => {
                    log_out(&storage, &logout_of(2), at(2_000)).await.unwrap();
                    Outcome::Purged
                }
                _ => {
                    for what in ExpiredKind::ALL {
                        purge_batches(&storage, what, 500, 3).await;
                    }
                    Outcome::Purged
                }
            }
        }
    });
    let results = results.await;
    let count = |wanted: Outcome| results.iter().filter(|one| **one == wanted).count();
    let counted: BTreeSet<_> =
        results.iter().filter(|one| matches!(one, Outcome::Counted(_) | Outcome::ClientCounted(_))).collect();
    let expected: Vec<_> = (1..=8).map(Outcome::Counted).chain((1..=8).map(Outcome::ClientCounted)).collect();
    assert_eq!(counted, expected.iter().collect(), "each failure has its own count");
    assert_eq!((count(Outcome::Created), count(Outcome::Replayed)), (1, 7));
    assert_eq!((count(Outcome::Claimed), count(Outcome::LostRace)), (1, 7));
    for what in ExpiredKind::ALL {
        purge_batches(&storage, what, 500, 3).await;
    }
    let counts = storage.failures.attempt_counts(&claimant()).await.unwrap();
    assert_eq!(counts.user.map(|window| (window.started_at, window.failures)), Some((at(1_000), 8)));
    assert!(storage.sessions.find(&token(1), at(1_999)).await.unwrap().is_some());
    let out = start(&storage, &session_of(2, &anna)).await;
    assert!(matches!(out, Err(StartError::LoggedOut)), "{out:?}");
    let stored = storage.idempotency.find(idempotency(0).party, &idempotency(0).key, at(1_050)).await.unwrap();
    assert_eq!(stored.map(|stored| stored.answer).as_deref(), Some("again"));
}

/// While a device gets one code after another, its events are purged: every code is issued, and the chain stays valid.
pub async fn chains_stay_valid_during_a_purge(storage: Storage) {
    const CODES: u64 = 24;
    provisioned(&storage, 1).await;
    let results = concurrently(|number| {
        let storage = storage.clone();
        async move {
            if number > 0 {
                for what in [ExpiredKind::PastCodes, ExpiredKind::DeviceEvents] {
                    purge_batches(&storage, what, 1_000, 4).await;
                }
                return;
            }
            let mut device = load(&storage, &id(1)).await;
            for code in 1..=CODES {
                let transition = issued(device, u32::try_from(code).unwrap(), i64::try_from(code).unwrap());
                storage.devices.save(&transition).await.unwrap();
                device = transition.into_device();
            }
        }
    });
    results.await;
    for what in [ExpiredKind::PastCodes, ExpiredKind::DeviceEvents] {
        purge_batches(&storage, what, 1_000, 10).await;
    }
    let device = load(&storage, &id(1)).await;
    assert_eq!(device.version(), CODES + 1);
    let chain_checkpoint = storage.events.chain_checkpoints(&id(1), &id(1)).await.unwrap().pop().unwrap();
    assert_eq!(chain_checkpoint.through, CODES, "all but the last");
    let mut check = ChainVerifier::of(&device).after(&chain_checkpoint, None);
    storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap().iter().for_each(|event| check.see(event));
    assert_eq!(check.finish(), (0, vec![]));
}
