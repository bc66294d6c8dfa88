//! Look-ups that go to PostgreSQL together, and what one of them may do to the others: nothing.

use std::time::Duration;

use futures_util::future::join_all;
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_domain::{Act, Device, DeviceDetails, DeviceId, MerchantId, Scope};
use pos_port_storage::{Storage, StorageError};
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
            Act::operator(),
            OffsetDateTime::UNIX_EPOCH,
        )
    };
    let devices: Vec<_> = (0..DEVICES).map(provision).collect();
    pos_tests::people::add_merchant(&opened.storage, merchant).await;
    opened.storage.fleet.create(Scope::Operator, &devices, None).await.unwrap();
    (opened, database)
}

/// Every device is asked for twice, and between them as many that do not exist.
async fn everybody_is_told_the_right_thing(storage: &Storage) {
    let ids = (0..DEVICES).chain(0..DEVICES * 2).map(DeviceId::from_bits).collect::<Vec<_>>();
    let found = join_all(ids.iter().map(|id| storage.devices.find(id))).await;
    for (id, device) in ids.iter().zip(found) {
        let exists = *id < DeviceId::from_bits(DEVICES);
        assert_eq!(device.unwrap().map(|device| device.id().clone()), exists.then(|| id.clone()));
    }
}

/// Holds every reader up until it is told to roll back.
async fn hold_readers(database: &TestDatabase) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute("BEGIN; LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").await.unwrap();
    client
}

#[tokio::test]
async fn on_a_thread_of_its_own() {
    let (opened, _database) = opened(Duration::from_secs(30)).await;
    everybody_is_told_the_right_thing(&opened.storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads() {
    let (opened, _database) = opened(Duration::from_secs(30)).await;
    join_all((0..4).map(|_| {
        let storage = opened.storage.clone();
        tokio::spawn(async move { everybody_is_told_the_right_thing(&storage).await })
    }))
    .await
    .into_iter()
    .for_each(Result::unwrap);
}

#[tokio::test]
async fn those_that_wait_are_answered_when_the_database_is_back() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let holder = hold_readers(&database).await;
    let (told, ()) = tokio::join!(everybody_is_told_the_right_thing(&opened.storage), async {
        holder.batch_execute("ROLLBACK").await.unwrap();
    });
    told
}

#[tokio::test]
async fn a_database_that_hangs_is_unavailable_in_time_and_forgotten() {
    let (opened, database) = opened(Duration::from_millis(300)).await;
    let holder = hold_readers(&database).await;
    let found = join_all((0..50).map(|bits| {
        let storage = opened.storage.clone();
        async move { storage.devices.find(&DeviceId::from_bits(bits)).await }
    }))
    .await;
    assert!(found.iter().all(|answer| matches!(answer, Err(StorageError::Unavailable(_)))), "{found:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    everybody_is_told_the_right_thing(&opened.storage).await;
}

#[tokio::test]
async fn a_connection_that_was_cut_while_idle_costs_nobody_an_answer() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    for _ in 0..3 {
        everybody_is_told_the_right_thing(&opened.storage).await;
        database.cut().await;
    }
    everybody_is_told_the_right_thing(&opened.storage).await;
}

/// The prepared look-up is outdated once a column has another type.
#[tokio::test]
async fn a_changed_column_costs_nobody_an_answer() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    for kind in ["varchar", "text"] {
        everybody_is_told_the_right_thing(&opened.storage).await;
        database.client().await.batch_execute(&format!("ALTER TABLE devices ALTER model TYPE {kind}")).await.unwrap();
    }
    everybody_is_told_the_right_thing(&opened.storage).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_its_callers_trouble_alone() {
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
async fn callers_that_go_away_leave_the_others_alone() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let holder = hold_readers(&database).await;
    let look_up = |bits| {
        let storage = opened.storage.clone();
        tokio::spawn(async move { storage.devices.find(&DeviceId::from_bits(bits)).await })
    };
    let (leaving, staying): (Vec<_>, Vec<_>) = (0..100).map(|bits| (look_up(bits), look_up(bits + 100))).unzip();
    tokio::task::yield_now().await;
    leaving.iter().for_each(tokio::task::JoinHandle::abort);
    holder.batch_execute("ROLLBACK").await.unwrap();
    for (bits, answer) in (100..).zip(join_all(staying).await) {
        assert_eq!(answer.unwrap().unwrap().map(|device| device.id().clone()), Some(DeviceId::from_bits(bits)));
    }
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_at_once() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let holder = hold_readers(&database).await;
    let storage = &opened.storage;
    let answers = join_all(
        (0..6_000).map(|bits| async move { storage.devices.find(&DeviceId::from_bits(bits % DEVICES)).await }),
    );
    let (answers, ()) = tokio::join!(answers, async {
        holder.batch_execute("ROLLBACK").await.unwrap();
    });
    let refused = answers.iter().filter(|answer| matches!(answer, Err(StorageError::Unavailable(_)))).count();
    let found = answers.iter().filter(|answer| matches!(answer, Ok(Some(_)))).count();
    assert!(refused > 0 && found >= 4_096 && refused + found == 6_000, "{refused} refused, {found} found");
}
