//! A large file is never held whole: what waits anywhere has a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pos_adapters::clock::SystemEntropy;
use pos_adapters::import::{ImportFormat, Receiver};
use pos_application::{ImportDevices, ImportLimits, ImportOrder, ImportStores, Mandate};
use pos_domain::{IdempotencyKey, ImportMode, Scope};
use pos_port_clock::ManualClock;
use pos_port_storage::{
    Import, ImportRef, ImportStaging, InMemoryStore, NewImport, Seal, SealError, StagedRow, Storage, StorageError,
};
use pos_tests::server::{MERCHANT, START};
use time::{Duration, OffsetDateTime};

const ROWS: u32 = 200_000;

/// Counts rows and forgets them.
struct Counting {
    inner: Arc<dyn ImportStaging>,
    rows: AtomicUsize,
    largest: AtomicUsize,
}

#[async_trait]
impl ImportStaging for Counting {
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

    async fn seal(&self, import: &ImportRef, seal: &Seal) -> Result<Import, SealError> {
        // The rows were forgotten here.
        let sealed = self.inner.seal(import, &Seal { rows: 0, ..seal.clone() }).await?;
        Ok(Import { rows: seal.rows, ..sealed })
    }

    async fn keep(&self, _: &ImportRef, _: OffsetDateTime, _: OffsetDateTime) -> Result<bool, StorageError> {
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
    let staging =
        Arc::new(Counting { inner: storage.staging.clone(), rows: AtomicUsize::new(0), largest: AtomicUsize::new(0) });
    let stores = ImportStores {
        staging: staging.clone(),
        imports: storage.imports.clone(),
        directory: storage.directory.clone(),
        locations: storage.locations.clone(),
        trail: storage.trail.clone(),
    };
    let limits = ImportLimits {
        max_rows: ROWS.into(),
        upload: Duration::HOUR,
        keep: Duration::DAY,
        max_refused_rows: 1_000_000,
        refusal_window: Duration::HOUR,
    };
    let import = ImportDevices::new(stores, Arc::new(ManualClock::at(START)), Arc::new(SystemEntropy), limits);
    let order = ImportOrder { mandate: Mandate::operator(), mode: ImportMode::BestEffort, key: None };
    let upload = import.begin(order).await.unwrap();
    let mut receiver = Receiver::new(ImportFormat::Csv, ROWS.into(), upload);
    receiver.feed(b"device_id,merchant_id\n").await.unwrap();
    // In pieces of ten thousand rows, larger than any that a connection gives.
    for start in (0..ROWS).step_by(10_000) {
        let piece: String = (start..start + 10_000).map(|number| format!("POS-{number:08X},{MERCHANT}\n")).collect();
        receiver.feed(piece.as_bytes()).await.unwrap();
        assert!(staging.rows.load(Ordering::Relaxed) + 1_000 > start as usize, "rows do not wait");
    }
    let received = receiver.finish().await.unwrap();
    assert_eq!((received.import.rows, staging.rows.load(Ordering::Relaxed)), (ROWS.into(), ROWS as usize));
    assert!(staging.largest.load(Ordering::Relaxed) <= 1_000, "at most a thousand rows at once");
}
