//! Imports that end at once, on a pool of few connections.

use pos_adapters::storage;
use pos_domain::{
    Act, DeviceDetails, DeviceId, Fingerprint, ImportId, ImportMode, ImportedDevice, MerchantId, Scope, SessionKey,
    SessionToken, TokenKey,
};
use pos_port_storage::{ImportRef, ImportState, NewImport, Seal, StagedRow};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn import(number: u128) -> ImportRef {
    ImportRef { id: ImportId(Uuid::from_u128(number)), owner: Scope::Operator }
}

/// Twelve callers end three imports, which somebody else holds up; a session is looked up all the same.
#[tokio::test(flavor = "multi_thread")]
async fn imports_that_end_leave_connections_to_others() {
    let database = TestDatabase::migrated().await;
    let mut options = options(database.url().parse().unwrap());
    options.max_connections = 2;
    let storage = storage::open(&options).await.unwrap().storage;
    let device = ImportedDevice {
        id: DeviceId::from_bits(1),
        merchant_id: MerchantId(Uuid::nil()),
        details: DeviceDetails::default(),
    };
    pos_tests::people::add_merchant(&storage, device.merchant_id).await;
    for number in 1..=3 {
        let (import, later) = (import(number), NOW + Duration::HOUR);
        let mode = ImportMode::AllOrNothing;
        let new = NewImport { import, mode, act: Act::operator(), key: None, created_at: NOW, keep_until: later };
        storage.staging.open(&new).await.unwrap();
        let rows = [StagedRow { number: 1, read: Ok(device.clone()) }];
        storage.staging.stage(&import, &rows, later).await.unwrap();
        let seal = Seal { fingerprint: Fingerprint([7; 32]), rows: 1, at: NOW, keep_until: later };
        storage.staging.seal(&import, &seal).await.unwrap();
    }
    // Whoever creates the device waits for this one.
    let client = database.client().await;
    client.batch_execute("BEGIN").await.unwrap();
    let insert = "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status)
        VALUES ('POS-00000001', '00000000-0000-0000-0000-000000000000', 1, now(), 'inactive')";
    client.batch_execute(insert).await.unwrap();
    let callers: Vec<_> = (0..12)
        .map(|number| {
            let storage = storage.clone();
            tokio::spawn(async move { storage.imports.conclude(&import(number % 3 + 1), NOW).await })
        })
        .collect();
    let watcher = database.client().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
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
            ended => assert_eq!(ended, ImportState::Refused { row: 1 }),
        }
    }
    assert_eq!(applied, 4, "one of the imports, and each who ended it is told so");
}

/// Twenty uploads that wait for a lock take a quarter of the pool, and sessions are looked up on the rest.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_leave_connections_to_others() {
    let database = TestDatabase::migrated().await;
    let mut options = options(database.url().parse().unwrap());
    options.max_connections = 4;
    let storage = storage::open(&options).await.unwrap().storage;
    let client = database.client().await;
    client.batch_execute("BEGIN; LOCK TABLE imports IN SHARE MODE").await.unwrap();
    let uploads: Vec<_> = (1..=20)
        .map(|number| {
            let (storage, import, later) = (storage.clone(), import(number), NOW + Duration::HOUR);
            let mode = ImportMode::BestEffort;
            let new = NewImport { import, mode, act: Act::operator(), key: None, created_at: NOW, keep_until: later };
            tokio::spawn(async move { storage.staging.open(&new).await })
        })
        .collect();
    let watcher = database.client().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    let token = SessionToken { session: SessionKey([7; 32]), token: TokenKey([7; 32]), issued_at: NOW };
    for _ in 0..20 {
        let found = tokio::time::timeout(std::time::Duration::from_secs(10), storage.sessions.find(&token, NOW)).await;
        assert_eq!(found.expect("a connection is left").unwrap(), None);
    }
    assert_eq!(watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0), 1);
    client.batch_execute("ROLLBACK").await.unwrap();
    for upload in uploads {
        upload.await.unwrap().unwrap();
    }
}
