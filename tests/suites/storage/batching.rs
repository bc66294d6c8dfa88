//! Batched look-ups on PostgreSQL: a failing or cancelled look-up does not affect the others of its batch.

use std::time::Duration;

use futures_util::future::join_all;
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_domain::device::{Device, DeviceDetails};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, Scope};
use pos_port_storage::Storage;
use pos_port_storage::shared::StorageError;
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use time::OffsetDateTime;

const DEVICES: u32 = 300;

async fn opened(limit: Duration) -> (OpenedStorage, TestDatabase) {
    let database = TestDatabase::migrated().await;
    let url = database.url().parse().unwrap();
    let opened = storage::open(&StorageOptions { statement_timeout: limit, ..options(url) }).await.unwrap();
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    let provision = |bits| {
        Device::provision(
            DeviceId::from_bits(bits),
            merchant,
            DeviceDetails::default(),
            AuditContext::operator(),
            OffsetDateTime::UNIX_EPOCH,
        )
    };
    let devices: Vec<_> = (0..DEVICES).map(provision).collect();
    pos_tests::users::add_merchant(&opened.storage, merchant).await;
    opened.storage.fleet.create(Scope::Operator, &devices, None).await.unwrap();
    (opened, database)
}

/// Looks up every device twice, and as many ids that do not exist.
async fn assert_every_lookup_is_correct(storage: &Storage) {
    let ids = (0..DEVICES).chain(0..DEVICES * 2).map(DeviceId::from_bits).collect::<Vec<_>>();
    let found = join_all(ids.iter().map(|id| storage.devices.find(id))).await;
    for (id, device) in ids.iter().zip(found) {
        let exists = *id < DeviceId::from_bits(DEVICES);
        assert_eq!(device.unwrap().map(|device| device.id().clone()), exists.then(|| id.clone()));
    }
}

/// Blocks every reader until the returned client rolls back.
async fn block_readers(database: &TestDatabase) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute("BEGIN; LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").await.unwrap();
    client
}

#[tokio::test]
async fn lookups_on_one_thread_are_correct() {
    let (opened, _database) = opened(Duration::from_secs(30)).await;
    assert_every_lookup_is_correct(&opened.storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lookups_on_many_threads_are_correct() {
    let (opened, _database) = opened(Duration::from_secs(30)).await;
    join_all((0..4).map(|_| {
        let storage = opened.storage.clone();
        tokio::spawn(async move { assert_every_lookup_is_correct(&storage).await })
    }))
    .await
    .into_iter()
    .for_each(Result::unwrap);
}

#[tokio::test]
async fn waiting_lookups_are_answered_when_the_database_is_back() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let holder = block_readers(&database).await;
    let (lookups, ()) = tokio::join!(assert_every_lookup_is_correct(&opened.storage), async {
        holder.batch_execute("ROLLBACK").await.unwrap();
    });
    lookups
}

#[tokio::test]
async fn a_hanging_database_is_unavailable_in_time_and_recovers() {
    let (opened, database) = opened(Duration::from_millis(300)).await;
    let holder = block_readers(&database).await;
    let found = join_all((0..50).map(|bits| {
        let storage = opened.storage.clone();
        async move { storage.devices.find(&DeviceId::from_bits(bits)).await }
    }))
    .await;
    assert!(found.iter().all(|answer| matches!(answer, Err(StorageError::Unavailable(_)))), "{found:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_every_lookup_is_correct(&opened.storage).await;
}

#[tokio::test]
async fn a_connection_cut_while_idle_fails_no_lookup() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    for _ in 0..3 {
        assert_every_lookup_is_correct(&opened.storage).await;
        database.terminate_connections().await;
    }
    assert_every_lookup_is_correct(&opened.storage).await;
}

/// A changed column type invalidates the prepared look-up.
#[tokio::test]
async fn a_changed_column_type_fails_no_lookup() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    for kind in ["varchar", "text"] {
        assert_every_lookup_is_correct(&opened.storage).await;
        database.client().await.batch_execute(&format!("ALTER TABLE devices ALTER model TYPE {kind}")).await.unwrap();
    }
    assert_every_lookup_is_correct(&opened.storage).await;
}

#[tokio::test]
async fn an_unreadable_row_fails_only_its_own_callers() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let client = database.client().await;
    let corrupt = DeviceId::from_bits(7);
    client
        .execute(
            "UPDATE devices SET app_version = 'no version', seen_at = now() WHERE device_id = $1",
            &[&corrupt.as_str()],
        )
        .await
        .unwrap();
    let ids: Vec<_> = (0..20).chain([7]).map(DeviceId::from_bits).collect();
    let found = join_all(ids.iter().map(|id| opened.storage.devices.find(id))).await;
    for (id, answer) in ids.iter().zip(found) {
        match answer {
            Err(StorageError::Fault(cause)) if *id == corrupt => assert!(cause.to_string().contains(id.as_str())),
            Ok(Some(device)) if *id != corrupt => assert_eq!(device.id(), id),
            other => panic!("{id}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn cancelled_callers_do_not_affect_the_others() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let holder = block_readers(&database).await;
    let look_up = |bits| {
        let storage = opened.storage.clone();
        tokio::spawn(async move { storage.devices.find(&DeviceId::from_bits(bits)).await })
    };
    let (cancelled, remaining): (Vec<_>, Vec<_>) = (0..100).map(|bits| (look_up(bits), look_up(bits + 100))).unzip();
    tokio::task::yield_now().await;
    cancelled.iter().for_each(tokio::task::JoinHandle::abort);
    holder.batch_execute("ROLLBACK").await.unwrap();
    for (bits, answer) in (100..).zip(join_all(remaining).await) {
        assert_eq!(answer.unwrap().unwrap().map(|device| device.id().clone()), Some(DeviceId::from_bits(bits)));
    }
}

#[tokio::test]
async fn a_full_queue_rejects_at_once() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let holder = block_readers(&database).await;
    let storage = &opened.storage;
    let idempotency = join_all(
        (0..6_000).map(|bits| async move { storage.devices.find(&DeviceId::from_bits(bits % DEVICES)).await }),
    );
    let (idempotency, ()) = tokio::join!(idempotency, async {
        holder.batch_execute("ROLLBACK").await.unwrap();
    });
    let refused = idempotency.iter().filter(|answer| matches!(answer, Err(StorageError::Unavailable(_)))).count();
    let found = idempotency.iter().filter(|answer| matches!(answer, Ok(Some(_)))).count();
    assert!(refused > 0 && found >= 4_096 && refused + found == 6_000, "{refused} refused, {found} found");
}
