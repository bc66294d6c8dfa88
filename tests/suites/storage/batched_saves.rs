//! Batched saves on PostgreSQL: each row keeps its own condition and outcome.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_domain::device::{Device, DeviceDetails, DeviceEventKind, PairingCode, Transition};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AuditContext, DeviceId, LocationId, MerchantId, Name, RequestContext, Scope, UserId};
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::shared::{SaveError, StorageError};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use time::OffsetDateTime;

const DEVICES: u32 = 200;
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

async fn opened(limit: Duration) -> (OpenedStorage, TestDatabase) {
    let database = TestDatabase::migrated().await;
    let url = database.url().parse().unwrap();
    let long_timeouts: StorageOptions = options(url);
    let new: Vec<_> = (0..DEVICES).map(new).collect();
    let storage = storage::open(&long_timeouts).await.unwrap().storage;
    pos_tests::users::add_merchant(&storage, new[0].device().merchant_id()).await;
    storage.fleet.create(Scope::Operator, &new, None).await.unwrap();
    let opened = storage::open(&StorageOptions { statement_timeout: limit, ..long_timeouts }).await.unwrap();
    (opened, database)
}

fn new(bits: u32) -> Transition {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    Device::provision(DeviceId::from_bits(bits), merchant, DeviceDetails::default(), AuditContext::operator(), NOW)
}

fn issue_code(device: Device, number: u32) -> Transition {
    let ttl = time::Duration::minutes(5);
    device.issue_pairing_code(PairingCode::from_bits(number), ttl, RequestContext::default(), NOW).unwrap()
}

/// The issue of a device's first code.
fn first_code(bits: u32, number: u32) -> Transition {
    issue_code(new(bits).into_device(), number)
}

async fn save_all(opened: &OpenedStorage, steps: &[Transition]) -> Vec<Result<(), SaveError>> {
    join_all(steps.iter().map(|step| opened.storage.devices.save(step))).await
}

/// Blocks every writer until the returned client rolls back, so that saves queue up for one batch.
async fn block_writers(database: &TestDatabase) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute("BEGIN; LOCK TABLE devices IN SHARE ROW EXCLUSIVE MODE").await.unwrap();
    client
}

/// Queues the saves behind a blocked writer, so that they go to the database in batches.
async fn save_while_blocked(
    opened: &OpenedStorage,
    database: &TestDatabase,
    steps: &[Transition],
) -> Vec<Result<(), SaveError>> {
    let holder = block_writers(database).await;
    let (results, ()) = tokio::join!(save_all(opened, steps), async {
        holder.batch_execute("ROLLBACK").await.unwrap();
    });
    results
}

#[tokio::test]
async fn every_save_stores_its_event_and_its_past_code() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let firsts: Vec<_> = (0..DEVICES).map(|bits| first_code(bits, bits)).collect();
    let seconds: Vec<_> =
        firsts.iter().map(|step| issue_code(step.device().clone(), 1_000 + device_number(step))).collect();
    for steps in [&firsts, &seconds] {
        let results = save_while_blocked(&opened, &database, steps).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    for step in &seconds {
        let id = step.device().id();
        assert_eq!(opened.storage.devices.find(id).await.unwrap().as_ref(), Some(step.device()));
        let events = opened.storage.events.events_of(&DeviceHistory::whole(id)).await.unwrap();
        assert_eq!((events.len(), events.last()), (3, Some(step.event())));
        let ended = step.past_code().unwrap();
        assert_eq!(opened.storage.devices.find_past_code(ended.code).await.unwrap().as_ref(), Some(ended));
    }
}

fn device_number(step: &Transition) -> u32 {
    u32::from_str_radix(step.device().id().as_str().trim_start_matches("POS-"), 16).unwrap()
}

#[tokio::test]
async fn a_conflict_or_taken_code_fails_only_its_own_caller() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let waiting = first_code(199, 77);
    opened.storage.devices.save(&waiting).await.unwrap();
    let mut steps: Vec<_> = (0..50).map(|bits| first_code(bits, bits)).collect();
    steps.push(first_code(199, 500)); // an outdated version
    steps.push(first_code(60, 77)); // another device's code
    steps.push(first_code(199, 77)); // both: the conflict comes first
    steps.push(first_code(5_000, 5_000)); // an unknown device
    let results = save_while_blocked(&opened, &database, &steps).await;
    let (valid, rejected) = results.split_at(50);
    assert!(valid.iter().all(Result::is_ok), "{valid:?}");
    assert!(
        matches!(
            rejected,
            [Err(SaveError::Conflict), Err(SaveError::CodeTaken), Err(SaveError::Conflict), Err(SaveError::Conflict)]
        ),
        "{rejected:?}"
    );
    assert_eq!(opened.storage.devices.find(&DeviceId::from_bits(60)).await.unwrap().unwrap().version(), 1);
}

#[tokio::test]
async fn one_of_many_saves_of_a_device_succeeds_across_batches() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let steps: Vec<_> = (0..300).map(|number| first_code(number % 10, number)).collect();
    let results = save_while_blocked(&opened, &database, &steps).await;
    let mut saved = HashMap::new();
    for (step, answer) in steps.iter().zip(results) {
        match answer {
            Ok(()) => *saved.entry(step.device().id().clone()).or_insert(0) += 1,
            Err(error) => assert!(matches!(error, SaveError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(saved.into_values().collect::<Vec<_>>(), [1; 10]);
}

#[tokio::test]
async fn one_of_many_saves_with_the_same_code_succeeds_across_batches() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let steps: Vec<_> = (0..100).map(|bits| first_code(bits, 7)).collect();
    let results = save_while_blocked(&opened, &database, &steps).await;
    assert_eq!(results.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|answer| matches!(answer, Err(SaveError::CodeTaken))).count(), 99);
}

/// Two replicas batch saves of the same devices and codes at once. No caller gets "unavailable", and the database holds
/// what was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_with_the_same_devices_do_not_block_each_other() {
    let (one, database) = opened(Duration::from_secs(30)).await;
    let other = storage::open(&options(database.url().parse().unwrap())).await.unwrap();
    let own: Vec<_> = (0..DEVICES).map(|bits| first_code(bits, bits)).collect();
    let others: Vec<_> = (0..DEVICES).rev().map(|bits| first_code(bits, (bits + 1) % DEVICES)).collect();
    let (own_results, other_results) = tokio::join!(save_all(&one, &own), save_all(&other, &others));
    let mut saved = HashMap::new();
    for (step, answer) in own.iter().chain(&others).zip(own_results.into_iter().chain(other_results)) {
        match answer {
            Ok(()) => assert!(saved.insert(step.device().id().clone(), step.device().clone()).is_none()),
            Err(error) => assert!(matches!(error, SaveError::Conflict | SaveError::CodeTaken), "{error:?}"),
        }
    }
    for (id, device) in saved {
        assert_eq!(one.storage.devices.find(&id).await.unwrap(), Some(device));
    }
}

#[tokio::test]
async fn a_row_that_the_database_rejects_fails_alone() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let client = database.client().await;
    client.batch_execute("ALTER TABLE device_events ADD CHECK (device_id <> 'POS-00000007') NOT VALID").await.unwrap();
    let steps: Vec<_> = (0..20).map(|bits| first_code(bits, bits)).collect();
    let results = save_while_blocked(&opened, &database, &steps).await;
    for (step, answer) in steps.iter().zip(results) {
        if device_number(step) == 7 {
            assert!(matches!(answer, Err(SaveError::Storage(StorageError::Fault(_)))), "{answer:?}");
        } else {
            answer.unwrap();
        }
    }
}

#[tokio::test]
async fn a_caller_cancelled_before_its_batch_writes_nothing() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let holder = block_writers(&database).await;
    let save = |bits: u32| {
        let (storage, step) = (opened.storage.clone(), first_code(bits, bits));
        tokio::spawn(async move { storage.devices.save(&step).await })
    };
    let in_flight = save(199);
    tokio::task::yield_now().await;
    let (cancelled, remaining): (Vec<_>, Vec<_>) = (0..50).map(|bits| (save(bits), save(bits + 100))).unzip();
    tokio::task::yield_now().await;
    cancelled.iter().for_each(tokio::task::JoinHandle::abort);
    holder.batch_execute("ROLLBACK").await.unwrap();
    for answer in join_all(remaining.into_iter().chain([in_flight])).await {
        answer.unwrap().unwrap();
    }
    for bits in 0..50 {
        let version = opened.storage.devices.find(&DeviceId::from_bits(bits)).await.unwrap().unwrap().version();
        assert_eq!(version, 1, "a save cancelled before it was sent");
    }
}

#[tokio::test]
async fn a_hanging_database_is_unavailable_in_time_and_recovers() {
    let (opened, database) = opened(Duration::from_millis(300)).await;
    let holder = block_writers(&database).await;
    let steps: Vec<_> = (0..20).map(|bits| first_code(bits, bits)).collect();
    let results = save_all(&opened, &steps).await;
    let unavailable =
        |answer: &Result<(), SaveError>| matches!(answer, Err(SaveError::Storage(StorageError::Unavailable(_))));
    assert!(results.iter().all(unavailable), "{results:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    let more: Vec<_> = (100..120).map(|bits| first_code(bits, bits)).collect();
    assert!(save_all(&opened, &more).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_cut_connection_is_replaced_and_nothing_is_saved_twice() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    for round in 0..3 {
        let steps: Vec<_> = (0..20).map(|bits| first_code(round * 20 + bits, round * 20 + bits)).collect();
        assert!(save_all(&opened, &steps).await.iter().all(Result::is_ok));
        database.terminate_connections().await;
        // Only the first save after the cut may notice it.
        let _ = opened.storage.devices.save(&first_code(190, 190)).await;
    }
    for bits in 0..60 {
        let events = opened.storage.events.events_of(&DeviceHistory::whole(&DeviceId::from_bits(bits))).await.unwrap();
        assert_eq!(events.len(), 2);
    }
}

/// Runs a statement in a transaction that keeps its locks until the returned client rolls back.
async fn begin_with(database: &TestDatabase, statement: &str) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
    client
}

/// Saves concurrently while `holder` has its locks. Asserts that every save but that of device 5 completes before it
/// releases them.
async fn assert_only_device_5_waits(opened: &OpenedStorage, holder: tokio_postgres::Client) {
    let (fifth, others): (Vec<_>, Vec<_>) =
        (0..12).map(|bits| first_code(bits, bits)).partition(|one| device_number(one) == 5);
    let waiting = tokio::spawn({
        let (storage, step) = (opened.storage.clone(), fifth[0].clone());
        async move { storage.devices.save(&step).await }
    });
    // Its first attempt runs alone, the next one in a batch with the others.
    tokio::task::yield_now().await;
    let batches = [others, (12..24).map(|bits| first_code(bits, bits)).collect()];
    for steps in batches {
        let results = tokio::time::timeout(Duration::from_secs(15), save_all(opened, &steps)).await;
        let results = results.expect("no other save waits for device 5");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert!(!waiting.is_finished());
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(opened.storage.devices.find(fifth[0].device().id()).await.unwrap().as_ref(), Some(fifth[0].device()));
}

#[tokio::test]
async fn a_locked_row_delays_only_its_own_caller() {
    let (opened, database) = opened(Duration::from_secs(60)).await;
    let holder = begin_with(&database, "SELECT FROM devices WHERE device_id = 'POS-00000005' FOR UPDATE").await;
    assert_only_device_5_waits(&opened, holder).await;
}

/// The unique index over unused codes makes another transaction wait for this one.
#[tokio::test]
async fn a_code_in_an_open_transaction_delays_only_its_own_caller() {
    let (opened, database) = opened(Duration::from_secs(60)).await;
    let issue = format!(
        "UPDATE devices SET pairing_code = '{}', code_issued_at = now(), code_expires_at = now()
         WHERE device_id = 'POS-000000C7'",
        PairingCode::from_bits(5).as_str()
    );
    assert_only_device_5_waits(&opened, begin_with(&database, &issue).await).await;
}

/// Every attempt is part of one batch.
#[tokio::test]
async fn a_row_that_stays_locked_fails_only_its_own_caller() {
    let (opened, database) = opened(Duration::from_millis(1_200)).await;
    let _holder = begin_with(&database, "SELECT FROM devices WHERE device_id = 'POS-00000005' FOR UPDATE").await;
    let steps: Vec<_> = (0..12).map(|bits| first_code(bits, bits)).collect();
    for (step, result) in steps.iter().zip(save_all(&opened, &steps).await) {
        let locked = matches!(result, Err(SaveError::Storage(StorageError::Unavailable(_))));
        assert!(if device_number(step) == 5 { locked } else { result.is_ok() }, "{}: {result:?}", step.device().id());
    }
}

/// A table lock like that of a migration, held for longer than a batch waits for it.
#[tokio::test]
async fn a_table_locked_for_longer_than_a_batch_waits_fails_no_save() {
    let (opened, database) = opened(Duration::from_secs(60)).await;
    let holder = block_writers(&database).await;
    let saving = tokio::spawn({
        let (opened, steps) = (opened.clone(), (0..20).map(|bits| first_code(bits, bits)).collect::<Vec<_>>());
        async move { save_all(&opened, &steps).await }
    });
    let blocked =
        "SELECT query_start FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let (client, mut query_starts) = (database.client().await, std::collections::BTreeSet::new());
    let retried = async {
        while query_starts.len() < 5 {
            query_starts.extend(
                client.query(blocked, &[]).await.unwrap().iter().map(|row| row.get::<_, std::time::SystemTime>(0)),
            );
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), retried).await.expect("the batch retries");
    holder.batch_execute("ROLLBACK").await.unwrap();
    let results = saving.await.unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// One batch with a transition of every kind, and one with another merchant's location.
#[tokio::test]
async fn a_batch_saves_every_kind_of_transition() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let by = || Claimant { merchant_id: new(0).device().merchant_id(), user_id: UserId::parse("ann").unwrap() };
    let claimed = async |bits: u32| {
        let step = first_code(bits, bits);
        opened.storage.devices.save(&step).await.unwrap();
        let claim =
            step.into_device().claim(PairingCode::from_bits(bits), &by(), RequestContext::default(), NOW).unwrap();
        opened.storage.devices.save(&claim).await.unwrap();
        claim.into_device()
    };
    let waiting = async |bits: u32| {
        let step = first_code(bits, bits);
        opened.storage.devices.save(&step).await.unwrap();
        step.into_device()
    };
    let label = DeviceDetails { label: Some(Name::parse("Till 1").unwrap()), location_id: None };
    let foreign_location = DeviceDetails { location_id: Some(LocationId(uuid::Uuid::from_u128(9))), ..label.clone() };
    let another = MerchantId(uuid::Uuid::from_u128(7));
    pos_tests::users::add_merchant(&opened.storage, another).await;
    let steps = vec![
        first_code(1, 1),
        waiting(2).await.claim(PairingCode::from_bits(2), &by(), RequestContext::default(), NOW).unwrap(),
        claimed(3).await.activate(RequestContext::default(), NOW).unwrap(),
        claimed(4).await.release(AuditContext::operator(), NOW).unwrap(),
        waiting(5).await.update(label, AuditContext::operator(), NOW).unwrap(),
        waiting(6).await.transfer_to(another, AuditContext::operator(), NOW).unwrap(),
        claimed(7).await.decommission(AuditContext::operator(), NOW).unwrap(),
    ];
    assert_eq!(
        steps.iter().map(|step| step.event().kind).collect::<Vec<_>>(),
        DeviceEventKind::ALL[1..],
        "a transition of every kind but provisioning"
    );
    let unknown_location = waiting(8).await.update(foreign_location, AuditContext::operator(), NOW).unwrap();
    let all: Vec<_> = steps.iter().cloned().chain([unknown_location]).collect();
    let mut results = save_while_blocked(&opened, &database, &all).await;
    assert!(matches!(results.pop(), Some(Err(SaveError::UnknownLocation))));
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    for step in &steps {
        let id = step.device().id();
        assert_eq!(opened.storage.devices.find(id).await.unwrap().as_ref(), Some(step.device()));
        let events = opened.storage.events.events_of(&DeviceHistory::whole(id)).await.unwrap();
        assert_eq!(events.last(), Some(step.event()));
        if let Some(ended) = step.past_code() {
            assert_eq!(opened.storage.devices.find_past_code(ended.code).await.unwrap().as_ref(), Some(ended));
        }
    }
}
