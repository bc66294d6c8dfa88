//! Imports that many apply, end or seal at once.

use pos_domain::{ImportMode, RowRefusal};

use super::fixtures::{at, id};
use super::imports::{all_decided, device, import, key, outcomes, own, row, seal, sealed, upload};
use super::races::together;
use super::tenancy::populated;
use crate::{History, ImportState, SealError, StagedRow, Storage};

/// However many apply one import at once, every row is done once.
pub async fn many_appliers_do_every_row_once(storage: Storage) {
    populated(&storage).await;
    let import = import(1, own());
    let rows: Vec<_> = (1..=40_u32).map(|number| row(number.into(), device(number % 30 + 1, 1))).collect();
    sealed(&storage, import, ImportMode::BestEffort, &rows).await;
    let told = together(|_| {
        let storage = storage.clone();
        async move {
            all_decided(&storage, &import).await;
            storage.imports.conclude(&import, at(30)).await.unwrap().state
        }
    });
    assert!(told.await.into_iter().all(|state| state == ImportState::Applied));
    let outcomes = outcomes(&storage, &import).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 30);
    assert!(outcomes[30..].iter().all(|outcome| matches!(outcome, Err(RowRefusal::Duplicate { .. }))), "{outcomes:?}");
    for number in 1..=30 {
        assert_eq!(storage.events.events_of(&History::whole(&id(number))).await.unwrap().len(), 1);
    }
}

/// However many end one import at once, its devices are created once.
pub async fn many_who_conclude_create_once(storage: Storage) {
    populated(&storage).await;
    let import = import(1, own());
    let rows: Vec<_> = (1..=40_u32).map(|number| row(number.into(), device(number, 1))).collect();
    sealed(&storage, import, ImportMode::AllOrNothing, &rows).await;
    let told = together(|_| {
        let storage = storage.clone();
        async move { storage.imports.conclude(&import, at(30)).await.unwrap().state }
    });
    assert!(told.await.into_iter().all(|state| state == ImportState::Applied));
    for number in 1..=40 {
        assert_eq!(storage.events.events_of(&History::whole(&id(number))).await.unwrap().len(), 1);
    }
}

/// Of many imports that want the same devices, all or nothing, one gets them all and the others none.
pub async fn of_many_imports_of_one_fleet_one_is_applied(storage: Storage) {
    populated(&storage).await;
    let rows: Vec<_> = (1..=20_u32).map(|number| row(number.into(), device(number, 1))).collect();
    let told = together(|number| {
        let (storage, mut rows) = (storage.clone(), rows.clone());
        let import = import(u8::try_from(number).unwrap(), own());
        if number % 2 == 0 {
            let devices: Vec<_> = rows.iter().rev().map(|row| row.read.clone()).collect();
            rows = (1..).zip(devices).map(|(number, read)| StagedRow { number, read }).collect();
        }
        async move {
            sealed(&storage, import, ImportMode::AllOrNothing, &rows).await;
            storage.imports.conclude(&import, at(30)).await.unwrap().state
        }
    });
    let states = told.await;
    assert_eq!(states.iter().filter(|state| **state == ImportState::Applied).count(), 1, "{states:?}");
    assert!(states.iter().all(|state| *state != ImportState::Sealed));
}

/// Of many uploads that are sealed with one key one is kept, and all others are told of it.
pub async fn of_many_seals_with_one_key_one_is_kept(storage: Storage) {
    populated(&storage).await;
    let told = together(|number| {
        let storage = storage.clone();
        let import = import(u8::try_from(number).unwrap(), own());
        async move {
            storage.staging.open(&upload(import, ImportMode::BestEffort, Some(key("a")))).await.unwrap();
            match storage.staging.seal(&import, &seal(0, 10)).await {
                Ok(kept) => (true, kept.import),
                Err(SealError::Kept(kept)) => (false, kept.import),
                Err(SealError::Storage(error)) => panic!("{error:?}"),
            }
        }
    });
    let told = told.await;
    assert_eq!(told.iter().filter(|(sealed, _)| *sealed).count(), 1);
    assert!(told.iter().all(|(_, import)| *import == told[0].1), "{told:?}");
}
