//! How long imports are there: whole for as long as somebody is at them, and then not at all.

use pos_domain::{ImportMode, Scope};

use super::fixtures::{at, id};
use super::imports::{KEEP, all_decided, device, import, key, own, row, seal, sealed, upload};
use super::tenancy::populated;
use crate::{ImportState, SealError, StagedRow, Storage, StorageError};

fn rows(count: u32) -> Vec<StagedRow> {
    (1..=count).map(|number| row(number.into(), device(number, 1))).collect()
}

/// What is staged into, sealed or gone on with is kept from then on.
pub async fn an_import_in_use_is_kept(storage: Storage) {
    populated(&storage).await;
    let import = import(1, Scope::Operator);
    storage.staging.open(&upload(import, ImportMode::AllOrNothing, None)).await.unwrap();
    storage.staging.stage(&import, &rows(3), at(1_000)).await.unwrap();
    storage.staging.stage(&import, &[row(4, device(4, 1))], at(700)).await.unwrap();
    assert_eq!(storage.staging.remove_expired(at(999), 100).await.unwrap(), 0);
    assert!(!storage.staging.keep(&import, at(500), at(2_000)).await.unwrap(), "it is not sealed");
    storage.staging.seal(&import, &seal(4, 999)).await.unwrap();
    let over = at(999 + KEEP);
    assert!(storage.staging.keep(&import, at(2_000), at(3_000)).await.unwrap(), "it is kept longer than that");
    assert!(storage.staging.keep(&import, at(998 + KEEP), at(1_500 + KEEP)).await.unwrap());
    assert_eq!(storage.staging.remove_expired(at(1_499 + KEEP), 100).await.unwrap(), 0);
    let strangers = crate::ImportRef { owner: own(), ..import };
    assert!(!storage.staging.keep(&strangers, over, at(2_000 + KEEP)).await.unwrap());
    assert!(!storage.staging.keep(&import, at(1_500 + KEEP), at(2_000 + KEEP)).await.unwrap(), "its time is over");
    assert_eq!(storage.imports.conclude(&import, over).await.unwrap().state, ImportState::Applied);
    assert!(storage.devices.find(&id(4)).await.unwrap().is_some());
}

/// An import of which a part was removed is found by nobody, and nothing comes of it.
pub async fn nobody_finds_half_an_import(storage: Storage) {
    populated(&storage).await;
    let (half, left) = (import(1, own()), import(2, own()));
    storage.staging.open(&upload(half, ImportMode::AllOrNothing, Some(key("a")))).await.unwrap();
    storage.staging.stage(&half, &rows(5), at(600)).await.unwrap();
    storage.staging.seal(&half, &seal(5, 10)).await.unwrap();
    assert_eq!(storage.staging.remove_expired(at(10 + KEEP), 2).await.unwrap(), 2);
    assert_eq!(storage.imports.find(&half).await.unwrap(), None);
    assert_eq!(storage.imports.undecided(&half, 0, 10).await.unwrap(), []);
    assert_eq!(storage.imports.results(&half, 0, 10).await.unwrap(), []);
    assert!(storage.staging.find_by_key(own(), &key("a"), at(20)).await.unwrap().is_none());
    assert!(!storage.staging.keep(&half, at(20), at(30)).await.unwrap());
    assert!(matches!(storage.imports.conclude(&half, at(20)).await, Err(StorageError::Fault(_))));
    assert!(storage.devices.find(&id(5)).await.unwrap().is_none());

    storage.staging.open(&upload(left, ImportMode::BestEffort, None)).await.unwrap();
    storage.staging.stage(&left, &rows(5), at(600)).await.unwrap();
    assert_eq!(
        storage.staging.remove_expired(at(600), 4 + 2).await.unwrap(),
        6,
        "the rest of one, and some of the other"
    );
    assert!(storage.staging.stage(&left, &[row(6, device(6, 1))], at(900)).await.is_err());
    assert!(matches!(storage.staging.seal(&left, &seal(3, 10)).await, Err(SealError::Storage(StorageError::Fault(_)))));
}

/// A seal counts: an upload has the rows it says, and is sealed in time.
pub async fn what_is_sealed_has_all_its_rows(storage: Storage) {
    let import = import(1, Scope::Operator);
    storage.staging.open(&upload(import, ImportMode::BestEffort, None)).await.unwrap();
    storage.staging.stage(&import, &rows(2), at(600)).await.unwrap();
    for wrong in [seal(3, 10), seal(1, 10), seal(2, 600)] {
        let refused = storage.staging.seal(&import, &wrong).await;
        assert!(matches!(refused, Err(SealError::Storage(StorageError::Fault(_)))), "{refused:?}");
    }
    storage.staging.seal(&import, &seal(2, 599)).await.unwrap();
}

/// Each row for itself, and one is undecided: it must not be told as provisioned.
pub async fn an_import_ends_with_its_last_row(storage: Storage) {
    populated(&storage).await;
    let import = import(1, own());
    sealed(&storage, import, ImportMode::BestEffort, &rows(3)).await;
    let early = storage.imports.conclude(&import, at(20)).await;
    assert!(matches!(early, Err(StorageError::Unavailable(_))), "{early:?}");
    all_decided(&storage, &import).await;
    assert_eq!(storage.imports.conclude(&import, at(20)).await.unwrap().state, ImportState::Applied);
}

/// An upload that comes to nothing goes at once, in small pieces; one that is sealed does not.
pub async fn an_upload_is_discarded(storage: Storage) {
    populated(&storage).await;
    let (import, done) = (import(1, own()), import(2, own()));
    storage.staging.open(&upload(import, ImportMode::BestEffort, Some(key("a")))).await.unwrap();
    storage.staging.stage(&import, &rows(5), at(600)).await.unwrap();
    sealed(&storage, done, ImportMode::BestEffort, &rows(2)).await;
    assert_eq!(storage.staging.discard(&crate::ImportRef { owner: Scope::Operator, ..import }, 2).await.unwrap(), 0);
    assert_eq!(storage.staging.discard(&import, 2).await.unwrap(), 2);
    assert!(storage.staging.seal(&import, &seal(3, 10)).await.is_err());
    assert_eq!(storage.staging.discard(&import, 2).await.unwrap(), 2);
    assert_eq!(storage.staging.discard(&import, 2).await.unwrap(), 2, "the last row, and the import");
    assert_eq!(storage.staging.discard(&import, 2).await.unwrap(), 0);
    assert_eq!(storage.staging.discard(&done, 2).await.unwrap(), 0);
    assert_eq!(storage.imports.undecided(&done, 0, 10).await.unwrap().len(), 2);
}
