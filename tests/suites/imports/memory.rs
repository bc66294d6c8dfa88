//! Memory bound of imports: a large file is staged in batches and never held as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pos_application::Rules;
use pos_application::fleet::{ImportFormat, ImportLimits, ImportOrder};
use pos_application::support::Authorization;
use pos_domain::fleet::ImportMode;
use pos_domain::shared::{IdempotencyKey, Scope};
use pos_port_clock::ManualClock;
use pos_port_storage::fleet::{FinalizeError, Import, ImportRef, ImportStaging, NewImport, StagedRow, UploadSummary};
use pos_port_storage::shared::StorageError;
use pos_port_storage::{InMemoryStore, Storage};
use pos_tests::server::{MERCHANT, START};
use time::OffsetDateTime;

use super::fixture::import_on;

const ROWS: u32 = 200_000;

/// A staging store that counts rows and discards them.
struct CountingStaging {
    inner: Arc<dyn ImportStaging>,
    rows: AtomicUsize,
    largest: AtomicUsize,
}

#[async_trait]
impl ImportStaging for CountingStaging {
    async fn find_by_key(
        &self,
        owner: Scope,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<Import>, StorageError> {
        self.inner.find_by_key(owner, key, now).await
    }

    async fn open(&self, import: &NewImport) -> Result<(), StorageError> {
        self.inner.open(import).await
    }

    async fn stage(&self, _: &ImportRef, rows: &[StagedRow], _: OffsetDateTime) -> Result<(), StorageError> {
        assert_eq!(rows.first().map(|row| row.number), Some(self.rows.load(Ordering::Relaxed) as u64 + 1));
        self.rows.fetch_add(rows.len(), Ordering::Relaxed);
        self.largest.fetch_max(rows.len(), Ordering::Relaxed);
        Ok(())
    }

    async fn finalize_upload(&self, import: &ImportRef, summary: &UploadSummary) -> Result<Import, FinalizeError> {
        // The rows were discarded here, so the inner store has none.
        let uploaded = self.inner.finalize_upload(import, &UploadSummary { rows: 0, ..summary.clone() }).await?;
        Ok(Import { rows: summary.rows, ..uploaded })
    }

    async fn extend(&self, _: &ImportRef, _: OffsetDateTime, _: OffsetDateTime) -> Result<bool, StorageError> {
        Ok(true)
    }

    async fn discard(&self, _: &ImportRef, _: u32) -> Result<u64, StorageError> {
        Ok(0)
    }

    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError> {
        self.inner.remove_expired(now, limit).await
    }
}

#[tokio::test]
async fn two_hundred_thousand_rows_are_staged_in_small_batches() {
    let storage = Storage::of(Arc::new(InMemoryStore::default()));
    let staging = Arc::new(CountingStaging {
        inner: storage.staging.clone(),
        rows: AtomicUsize::new(0),
        largest: AtomicUsize::new(0),
    });
    let rules = Rules::for_tests();
    let rules = Rules { imports: ImportLimits { max_rows: ROWS.into(), ..rules.imports }, ..rules };
    let import = import_on(Storage { staging: staging.clone(), ..storage }, Arc::new(ManualClock::at(START)), &rules);
    let order = ImportOrder { authorization: Authorization::operator(), mode: ImportMode::BestEffort, key: None };
    let mut receiver = import.receive(order, ImportFormat::Csv).await.unwrap();
    receiver.feed(b"device_id,merchant_id\n").await.unwrap();
    // Chunks of ten thousand rows, larger than any read of a connection.
    for start in (0..ROWS).step_by(10_000) {
        let chunk: String = (start..start + 10_000).map(|number| format!("POS-{number:08X},{MERCHANT}\n")).collect();
        receiver.feed(chunk.as_bytes()).await.unwrap();
        assert!(staging.rows.load(Ordering::Relaxed) + 1_000 > start as usize, "rows are staged without delay");
    }
    let received = receiver.finish().await.unwrap();
    assert_eq!((received.import.rows, staging.rows.load(Ordering::Relaxed)), (ROWS.into(), ROWS as usize));
    assert!(staging.largest.load(Ordering::Relaxed) <= 1_000, "at most a thousand rows at once");
}
