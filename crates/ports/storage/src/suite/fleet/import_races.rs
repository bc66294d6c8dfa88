//! Contract cases: concurrent applies, completions and finalizations of imports.

use pos_domain::fleet::{ImportMode, RowRefusal};

use crate::Storage;
use crate::device::DeviceHistory;
use crate::fleet::{FinalizeError, ImportState, StagedRow};
use crate::suite::device::races::concurrently;
use crate::suite::fixtures::{at, id};
use crate::suite::fleet::imports::{
    apply_all_decisions, device, import, key, outcomes, own, row, summary, upload, uploaded,
};
use crate::suite::tenancy::fixtures::populated;

/// Concurrent callers apply every row once.
pub async fn concurrent_callers_apply_every_row_once(storage: Storage) {
    populated(&storage).await;
    let import = import(1, own());
    let rows: Vec<_> = (1..=40_u32).map(|number| row(number.into(), device(number % 30 + 1, 1))).collect();
    uploaded(&storage, import, ImportMode::BestEffort, &rows).await;
    let results = concurrently(|_| {
        let storage = storage.clone();
        async move {
            apply_all_decisions(&storage, &import).await;
            storage.imports.complete(&import, at(30)).await.unwrap().state
        }
    });
    assert!(results.await.into_iter().all(|state| state == ImportState::Applied));
    let outcomes = outcomes(&storage, &import).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 30);
    assert!(outcomes[30..].iter().all(|outcome| matches!(outcome, Err(RowRefusal::Duplicate { .. }))), "{outcomes:?}");
    for number in 1..=30 {
        assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(number))).await.unwrap().len(), 1);
    }
}

/// Concurrent completions create the devices once.
pub async fn concurrent_completions_create_devices_once(storage: Storage) {
    populated(&storage).await;
    let import = import(1, own());
    let rows: Vec<_> = (1..=40_u32).map(|number| row(number.into(), device(number, 1))).collect();
    uploaded(&storage, import, ImportMode::AllOrNothing, &rows).await;
    let results = concurrently(|_| {
        let storage = storage.clone();
        async move { storage.imports.complete(&import, at(30)).await.unwrap().state }
    });
    assert!(results.await.into_iter().all(|state| state == ImportState::Applied));
    for number in 1..=40 {
        assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(number))).await.unwrap().len(), 1);
    }
}

/// Of concurrent all-or-nothing imports of the same devices, one creates them all and the others none.
pub async fn of_concurrent_imports_of_the_same_devices_one_is_applied(storage: Storage) {
    populated(&storage).await;
    let rows: Vec<_> = (1..=20_u32).map(|number| row(number.into(), device(number, 1))).collect();
    let results = concurrently(|number| {
        let (storage, mut rows) = (storage.clone(), rows.clone());
        let import = import(u8::try_from(number).unwrap(), own());
        if number % 2 == 0 {
            let devices: Vec<_> = rows.iter().rev().map(|row| row.read.clone()).collect();
            rows = (1..).zip(devices).map(|(number, read)| StagedRow { number, read }).collect();
        }
        async move {
            uploaded(&storage, import, ImportMode::AllOrNothing, &rows).await;
            storage.imports.complete(&import, at(30)).await.unwrap().state
        }
    });
    let states = results.await;
    assert_eq!(states.iter().filter(|state| **state == ImportState::Applied).count(), 1, "{states:?}");
    assert!(states.iter().all(|state| *state != ImportState::Uploaded));
}

/// Of concurrent uploads finalized with one key, one succeeds; all others get its import.
pub async fn concurrent_finalizations_with_one_key_succeed_once(storage: Storage) {
    populated(&storage).await;
    let results = concurrently(|number| {
        let storage = storage.clone();
        let import = import(u8::try_from(number).unwrap(), own());
        async move {
            storage.staging.open(&upload(import, ImportMode::BestEffort, Some(key("a")))).await.unwrap();
            match storage.staging.finalize_upload(&import, &summary(0, 10)).await {
                Ok(winner) => (true, winner.import),
                Err(FinalizeError::Kept(winner)) => (false, winner.import),
                Err(FinalizeError::Storage(error)) => panic!("{error:?}"),
            }
        }
    });
    let results = results.await;
    assert_eq!(results.iter().filter(|(uploaded, _)| *uploaded).count(), 1);
    assert!(results.iter().all(|(_, import)| *import == results[0].1), "{results:?}");
}
