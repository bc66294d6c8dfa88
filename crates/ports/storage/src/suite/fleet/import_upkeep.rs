//! Contract cases: expiry, removal and discarding of imports.

use pos_domain::fleet::ImportMode;
use pos_domain::shared::Scope;

use crate::Storage;
use crate::fleet::{FinalizeError, ImportState, StagedRow};
use crate::shared::StorageError;
use crate::suite::fixtures::{at, id};
use crate::suite::fleet::imports::{
    KEEP, apply_all_decisions, device, import, key, own, row, summary, upload, uploaded,
};
use crate::suite::tenancy::fixtures::populated;

fn rows(count: u32) -> Vec<StagedRow> {
    (1..=count).map(|number| row(number.into(), device(number, 1))).collect()
}

/// Staging, finalizing and extending postpone the expiry of an import.
pub async fn use_extends_the_expiry_of_an_import(storage: Storage) {
    populated(&storage).await;
    let import = import(1, Scope::Operator);
    storage.staging.open(&upload(import, ImportMode::AllOrNothing, None)).await.unwrap();
    storage.staging.stage(&import, &rows(3), at(1_000)).await.unwrap();
    storage.staging.stage(&import, &[row(4, device(4, 1))], at(700)).await.unwrap();
    assert_eq!(storage.staging.remove_expired(at(999), 100).await.unwrap(), 0);
    assert!(!storage.staging.extend(&import, at(500), at(2_000)).await.unwrap(), "it is not finalized");
    storage.staging.finalize_upload(&import, &summary(4, 999)).await.unwrap();
    let over = at(999 + KEEP);
    assert!(storage.staging.extend(&import, at(2_000), at(3_000)).await.unwrap(), "its expiry is later than that");
    assert!(storage.staging.extend(&import, at(998 + KEEP), at(1_500 + KEEP)).await.unwrap());
    assert_eq!(storage.staging.remove_expired(at(1_499 + KEEP), 100).await.unwrap(), 0);
    let strangers = crate::fleet::ImportRef { owner: own(), ..import };
    assert!(!storage.staging.extend(&strangers, over, at(2_000 + KEEP)).await.unwrap());
    assert!(!storage.staging.extend(&import, at(1_500 + KEEP), at(2_000 + KEEP)).await.unwrap(), "it is expired");
    assert_eq!(storage.imports.complete(&import, over).await.unwrap().state, ImportState::Applied);
    assert!(storage.devices.find(&id(4)).await.unwrap().is_some());
}

/// A partly removed import is not found and creates nothing.
pub async fn a_partly_removed_import_is_not_found(storage: Storage) {
    populated(&storage).await;
    let (half, left) = (import(1, own()), import(2, own()));
    storage.staging.open(&upload(half, ImportMode::AllOrNothing, Some(key("a")))).await.unwrap();
    storage.staging.stage(&half, &rows(5), at(600)).await.unwrap();
    storage.staging.finalize_upload(&half, &summary(5, 10)).await.unwrap();
    assert_eq!(storage.staging.remove_expired(at(10 + KEEP), 2).await.unwrap(), 2);
    assert_eq!(storage.imports.find(&half).await.unwrap(), None);
    assert_eq!(storage.imports.pending_rows(&half, 0, 10).await.unwrap(), []);
    assert_eq!(storage.imports.results(&half, 0, 10).await.unwrap(), []);
    assert!(storage.staging.find_by_key(own(), &key("a"), at(20)).await.unwrap().is_none());
    assert!(!storage.staging.extend(&half, at(20), at(30)).await.unwrap());
    assert!(matches!(storage.imports.complete(&half, at(20)).await, Err(StorageError::Fault(_))));
    assert!(storage.devices.find(&id(5)).await.unwrap().is_none());

    storage.staging.open(&upload(left, ImportMode::BestEffort, None)).await.unwrap();
    storage.staging.stage(&left, &rows(5), at(600)).await.unwrap();
    assert_eq!(
        storage.staging.remove_expired(at(600), 4 + 2).await.unwrap(),
        6,
        "the rest of one import, and part of the other"
    );
    assert!(storage.staging.stage(&left, &[row(6, device(6, 1))], at(900)).await.is_err());
    let refused = storage.staging.finalize_upload(&left, &summary(3, 10)).await;
    assert!(matches!(refused, Err(FinalizeError::Storage(StorageError::Fault(_)))), "{refused:?}");
}

/// A finalized upload must have the stated number of rows and must not be expired.
pub async fn an_upload_is_finalized_with_all_its_rows(storage: Storage) {
    let import = import(1, Scope::Operator);
    storage.staging.open(&upload(import, ImportMode::BestEffort, None)).await.unwrap();
    storage.staging.stage(&import, &rows(2), at(600)).await.unwrap();
    for wrong in [summary(3, 10), summary(1, 10), summary(2, 600)] {
        let refused = storage.staging.finalize_upload(&import, &wrong).await;
        assert!(matches!(refused, Err(FinalizeError::Storage(StorageError::Fault(_)))), "{refused:?}");
    }
    storage.staging.finalize_upload(&import, &summary(2, 599)).await.unwrap();
}

/// A best-effort import with a pending row is not completed, because the row must not be reported as provisioned.
pub async fn an_import_with_pending_rows_is_not_completed(storage: Storage) {
    populated(&storage).await;
    let import = import(1, own());
    uploaded(&storage, import, ImportMode::BestEffort, &rows(3)).await;
    let too_early = storage.imports.complete(&import, at(20)).await;
    assert!(matches!(too_early, Err(StorageError::Unavailable(_))), "{too_early:?}");
    apply_all_decisions(&storage, &import).await;
    assert_eq!(storage.imports.complete(&import, at(20)).await.unwrap().state, ImportState::Applied);
}

/// An unfinished upload is discarded in small batches; a finalized one is not.
pub async fn an_upload_is_discarded(storage: Storage) {
    populated(&storage).await;
    let (import, done) = (import(1, own()), import(2, own()));
    storage.staging.open(&upload(import, ImportMode::BestEffort, Some(key("a")))).await.unwrap();
    storage.staging.stage(&import, &rows(5), at(600)).await.unwrap();
    uploaded(&storage, done, ImportMode::BestEffort, &rows(2)).await;
    assert_eq!(
        storage.staging.discard(&crate::fleet::ImportRef { owner: Scope::Operator, ..import }, 2).await.unwrap(),
        0
    );
    assert_eq!(storage.staging.discard(&import, 2).await.unwrap(), 2);
    assert!(storage.staging.finalize_upload(&import, &summary(3, 10)).await.is_err());
    assert_eq!(storage.staging.discard(&import, 2).await.unwrap(), 2);
    assert_eq!(storage.staging.discard(&import, 2).await.unwrap(), 2, "the last row, and the import");
    assert_eq!(storage.staging.discard(&import, 2).await.unwrap(), 0);
    assert_eq!(storage.staging.discard(&done, 2).await.unwrap(), 0);
    assert_eq!(storage.imports.pending_rows(&done, 0, 10).await.unwrap().len(), 2);
}
