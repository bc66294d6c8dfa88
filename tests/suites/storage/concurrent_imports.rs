//! Concurrent imports on a small connection pool.

use pos_adapters::storage;
use pos_domain::device::DeviceDetails;
use pos_domain::fleet::{ImportId, ImportMode, ImportedDevice};
use pos_domain::shared::{AuditContext, DeviceId, Fingerprint, MerchantId, Scope};
use pos_domain::tenancy::{SessionKey, SessionToken, TokenKey};
use pos_port_storage::fleet::{ImportRef, ImportState, NewImport, StagedRow, UploadSummary};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn import(number: u128) -> ImportRef {
    ImportRef { id: ImportId(Uuid::from_u128(number)), owner: Scope::Operator }
}

/// Twelve callers complete three imports that a lock blocks. Session look-ups still get a connection.
#[tokio::test(flavor = "multi_thread")]
async fn completing_imports_leaves_connections_for_others() {
    let database = TestDatabase::migrated().await;
    let mut options = options(database.url().parse().unwrap());
    options.max_connections = 2;
    let storage = storage::open(&options).await.unwrap().storage;
    let device = ImportedDevice {
        id: DeviceId::from_bits(1),
        merchant_id: MerchantId(Uuid::nil()),
        details: DeviceDetails::default(),
    };
    pos_tests::users::add_merchant(&storage, device.merchant_id).await;
    for number in 1..=3 {
        let (import, expires_at) = (import(number), NOW + Duration::HOUR);
        let mode = ImportMode::AllOrNothing;
        let new =
            NewImport { import, mode, audit_context: AuditContext::operator(), key: None, created_at: NOW, expires_at };
        storage.staging.open(&new).await.unwrap();
        let rows = [StagedRow { number: 1, read: Ok(device.clone()) }];
        storage.staging.stage(&import, &rows, expires_at).await.unwrap();
        let summary = UploadSummary { fingerprint: Fingerprint([7; 32]), rows: 1, at: NOW, expires_at };
        storage.staging.finalize_upload(&import, &summary).await.unwrap();
    }
    // Every other transaction that creates this device waits for this one.
    let client = database.client().await;
    client.batch_execute("BEGIN").await.unwrap();
    let insert = "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status)
        VALUES ('POS-00000001', '00000000-0000-0000-0000-000000000000', 1, now(), 'inactive')";
    client.batch_execute(insert).await.unwrap();
    let callers: Vec<_> = (0..12)
        .map(|number| {
            let storage = storage.clone();
            tokio::spawn(async move { storage.imports.complete(&import(number % 3 + 1), NOW).await })
        })
        .collect();
    let observer = database.client().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while observer.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    let token = SessionToken { session: SessionKey([7; 32]), token: TokenKey([7; 32]), issued_at: NOW };
    for _ in 0..20 {
        let found = tokio::time::timeout(std::time::Duration::from_secs(10), storage.sessions.find(&token, NOW)).await;
        assert_eq!(found.expect("a connection is left").unwrap(), None);
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    let mut applied = 0;
    for caller in callers {
        match caller.await.unwrap().unwrap().state {
            ImportState::Applied => applied += 1,
            state => assert_eq!(state, ImportState::Refused { row: 1 }),
        }
    }
    assert_eq!(applied, 4, "one import is applied, and its four callers all get that state");
}

/// Twenty uploads wait for a lock on a quarter of the pool. Session look-ups use the rest.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_leave_connections_for_others() {
    let database = TestDatabase::migrated().await;
    let mut options = options(database.url().parse().unwrap());
    options.max_connections = 4;
    let storage = storage::open(&options).await.unwrap().storage;
    let client = database.client().await;
    client.batch_execute("BEGIN; LOCK TABLE imports IN SHARE MODE").await.unwrap();
    let uploads: Vec<_> = (1..=20)
        .map(|number| {
            let (storage, import, expires_at) = (storage.clone(), import(number), NOW + Duration::HOUR);
            let mode = ImportMode::BestEffort;
            let new = NewImport {
                import,
                mode,
                audit_context: AuditContext::operator(),
                key: None,
                created_at: NOW,
                expires_at,
            };
            tokio::spawn(async move { storage.staging.open(&new).await })
        })
        .collect();
    let observer = database.client().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while observer.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    let token = SessionToken { session: SessionKey([7; 32]), token: TokenKey([7; 32]), issued_at: NOW };
    for _ in 0..20 {
        let found = tokio::time::timeout(std::time::Duration::from_secs(10), storage.sessions.find(&token, NOW)).await;
        assert_eq!(found.expect("a connection is left").unwrap(), None);
    }
    assert_eq!(observer.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0), 1);
    client.batch_execute("ROLLBACK").await.unwrap();
    for upload in uploads {
        upload.await.unwrap().unwrap();
    }
}
