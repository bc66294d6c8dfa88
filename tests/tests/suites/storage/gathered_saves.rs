//! Saves that go to PostgreSQL together, each with its own condition and its own outcome.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_domain::{
    Act, CallContext, Claimant, Device, DeviceDetails, DeviceEventKind, DeviceId, LocationId, MerchantId, Name,
    PairingCode, Scope, Transition, UserId,
};
use pos_port_storage::{History, SaveError, StorageError};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use time::OffsetDateTime;

const DEVICES: u32 = 200;
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

async fn opened(limit: Duration) -> (OpenedStorage, TestDatabase) {
    let database = TestDatabase::migrated().await;
    let url = database.url().parse().unwrap();
    let patient: StorageOptions = options(url);
    let new: Vec<_> = (0..DEVICES).map(new).collect();
    let storage = storage::open(&patient).await.unwrap().storage;
    pos_tests::people::add_merchant(&storage, new[0].device().merchant_id()).await;
    storage.fleet.create(Scope::Operator, &new, None).await.unwrap();
    let opened = storage::open(&StorageOptions { statement_timeout: limit, ..patient }).await.unwrap();
    (opened, database)
}

fn new(bits: u32) -> Transition {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    Device::provision(DeviceId::from_bits(bits), merchant, DeviceDetails::default(), Act::operator(), NOW)
}

fn code(device: Device, number: u32) -> Transition {
    let ttl = time::Duration::minutes(5);
    device.issue_pairing_code(PairingCode::from_bits(number), ttl, CallContext::default(), NOW).unwrap()
}

/// A first code for a device.
fn first(bits: u32, number: u32) -> Transition {
    code(new(bits).into_device(), number)
}

async fn save_all(opened: &OpenedStorage, steps: &[Transition]) -> Vec<Result<(), SaveError>> {
    join_all(steps.iter().map(|step| opened.storage.devices.save(step))).await
}

/// Holds every writer up until it is told to roll back, so that those who come meanwhile gather.
async fn hold_writers(database: &TestDatabase) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute("BEGIN; LOCK TABLE devices IN SHARE ROW EXCLUSIVE MODE").await.unwrap();
    client
}

async fn gathered(opened: &OpenedStorage, database: &TestDatabase, steps: &[Transition]) -> Vec<Result<(), SaveError>> {
    let holder = hold_writers(database).await;
    let (told, ()) = tokio::join!(save_all(opened, steps), async {
        holder.batch_execute("ROLLBACK").await.unwrap();
    });
    told
}

#[tokio::test]
async fn everybodys_save_is_kept_with_its_event_and_its_ended_code() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let firsts: Vec<_> = (0..DEVICES).map(|bits| first(bits, bits)).collect();
    let seconds: Vec<_> = firsts.iter().map(|step| code(step.device().clone(), 1_000 + step_number(step))).collect();
    for steps in [&firsts, &seconds] {
        let told = gathered(&opened, &database, steps).await;
        assert!(told.iter().all(Result::is_ok), "{told:?}");
    }
    for step in &seconds {
        let id = step.device().id();
        assert_eq!(opened.storage.devices.find(id).await.unwrap().as_ref(), Some(step.device()));
        let events = opened.storage.events.events_of(&History::whole(id)).await.unwrap();
        assert_eq!((events.len(), events.last()), (3, Some(step.event())));
        let ended = step.ended_code().unwrap();
        assert_eq!(opened.storage.devices.find_ended_code(ended.code).await.unwrap().as_ref(), Some(ended));
    }
}

fn step_number(step: &Transition) -> u32 {
    u32::from_str_radix(step.device().id().as_str().trim_start_matches("POS-"), 16).unwrap()
}

#[tokio::test]
async fn a_conflict_and_a_taken_code_are_their_own_callers_trouble_alone() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let waiting = first(199, 77);
    opened.storage.devices.save(&waiting).await.unwrap();
    let mut steps: Vec<_> = (0..50).map(|bits| first(bits, bits)).collect();
    steps.push(first(199, 500)); // of a version that is over
    steps.push(first(60, 77)); // the code of another
    steps.push(first(199, 77)); // both: the conflict comes first
    steps.push(first(5_000, 5_000)); // of nobody
    let told = gathered(&opened, &database, &steps).await;
    let (fine, rest) = told.split_at(50);
    assert!(fine.iter().all(Result::is_ok), "{fine:?}");
    assert!(
        matches!(
            rest,
            [Err(SaveError::Conflict), Err(SaveError::CodeTaken), Err(SaveError::Conflict), Err(SaveError::Conflict)]
        ),
        "{rest:?}"
    );
    assert_eq!(opened.storage.devices.find(&DeviceId::from_bits(60)).await.unwrap().unwrap().version(), 1);
}

#[tokio::test]
async fn of_many_for_one_device_one_is_kept_in_whatever_batch() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let steps: Vec<_> = (0..300).map(|number| first(number % 10, number)).collect();
    let told = gathered(&opened, &database, &steps).await;
    let mut kept = HashMap::new();
    for (step, answer) in steps.iter().zip(told) {
        match answer {
            Ok(()) => *kept.entry(step.device().id().clone()).or_insert(0) += 1,
            Err(error) => assert!(matches!(error, SaveError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(kept.into_values().collect::<Vec<_>>(), [1; 10]);
}

#[tokio::test]
async fn of_many_with_one_code_one_is_kept_in_whatever_batch() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let steps: Vec<_> = (0..100).map(|bits| first(bits, 7)).collect();
    let told = gathered(&opened, &database, &steps).await;
    assert_eq!(told.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(told.iter().filter(|answer| matches!(answer, Err(SaveError::CodeTaken))).count(), 99);
}

/// Two replicas gather at once, with the same devices and codes between them: nobody is told "unavailable", and the
/// database holds what was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_with_the_same_devices_do_not_stop_each_other() {
    let (one, database) = opened(Duration::from_secs(30)).await;
    let other = storage::open(&options(database.url().parse().unwrap())).await.unwrap();
    let mine: Vec<_> = (0..DEVICES).map(|bits| first(bits, bits)).collect();
    let theirs: Vec<_> = (0..DEVICES).rev().map(|bits| first(bits, (bits + 1) % DEVICES)).collect();
    let (mine_told, theirs_told) = tokio::join!(save_all(&one, &mine), save_all(&other, &theirs));
    let mut kept = HashMap::new();
    for (step, answer) in mine.iter().chain(&theirs).zip(mine_told.into_iter().chain(theirs_told)) {
        match answer {
            Ok(()) => assert!(kept.insert(step.device().id().clone(), step.device().clone()).is_none()),
            Err(error) => assert!(matches!(error, SaveError::Conflict | SaveError::CodeTaken), "{error:?}"),
        }
    }
    for (id, device) in kept {
        assert_eq!(one.storage.devices.find(&id).await.unwrap(), Some(device));
    }
}

#[tokio::test]
async fn a_row_that_the_database_cannot_stomach_fails_alone() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let client = database.client().await;
    client.batch_execute("ALTER TABLE device_events ADD CHECK (device_id <> 'POS-00000007') NOT VALID").await.unwrap();
    let steps: Vec<_> = (0..20).map(|bits| first(bits, bits)).collect();
    let told = gathered(&opened, &database, &steps).await;
    for (step, answer) in steps.iter().zip(told) {
        if step_number(step) == 7 {
            assert!(matches!(answer, Err(SaveError::Storage(StorageError::Fault(_)))), "{answer:?}");
        } else {
            answer.unwrap();
        }
    }
}

#[tokio::test]
async fn callers_that_go_away_before_their_batch_leave_nothing() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let holder = hold_writers(&database).await;
    let save = |bits: u32| {
        let (storage, step) = (opened.storage.clone(), first(bits, bits));
        tokio::spawn(async move { storage.devices.save(&step).await })
    };
    let under_way = save(199);
    tokio::task::yield_now().await;
    let (leaving, staying): (Vec<_>, Vec<_>) = (0..50).map(|bits| (save(bits), save(bits + 100))).unzip();
    tokio::task::yield_now().await;
    leaving.iter().for_each(tokio::task::JoinHandle::abort);
    holder.batch_execute("ROLLBACK").await.unwrap();
    for answer in join_all(staying.into_iter().chain([under_way])).await {
        answer.unwrap().unwrap();
    }
    for bits in 0..50 {
        let version = opened.storage.devices.find(&DeviceId::from_bits(bits)).await.unwrap().unwrap().version();
        assert_eq!(version, 1, "a save that was given up before it was sent");
    }
}

#[tokio::test]
async fn a_database_that_hangs_is_unavailable_in_time_and_forgotten() {
    let (opened, database) = opened(Duration::from_millis(300)).await;
    let holder = hold_writers(&database).await;
    let steps: Vec<_> = (0..20).map(|bits| first(bits, bits)).collect();
    let told = save_all(&opened, &steps).await;
    let away = |answer: &Result<(), SaveError>| matches!(answer, Err(SaveError::Storage(StorageError::Unavailable(_))));
    assert!(told.iter().all(away), "{told:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    let more: Vec<_> = (100..120).map(|bits| first(bits, bits)).collect();
    assert!(save_all(&opened, &more).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_cut_connection_is_replaced_and_nothing_is_saved_twice() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    for round in 0..3 {
        let steps: Vec<_> = (0..20).map(|bits| first(round * 20 + bits, round * 20 + bits)).collect();
        assert!(save_all(&opened, &steps).await.iter().all(Result::is_ok));
        database.cut().await;
        // The cut may be noticed only by the first that comes after it.
        let _ = opened.storage.devices.save(&first(190, 190)).await;
    }
    for bits in 0..60 {
        let events = opened.storage.events.events_of(&History::whole(&DeviceId::from_bits(bits))).await.unwrap();
        assert_eq!(events.len(), 2);
    }
}

/// A session that does this and keeps its locks until it is told to roll back.
async fn hold(database: &TestDatabase, statement: &str) -> tokio_postgres::Client {
    let client = database.client().await;
    client.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
    client
}

/// Saves all at once while `holder` has its locks. Those of all but device 5 are done before it releases them.
async fn only_the_fifth_waits(opened: &OpenedStorage, holder: tokio_postgres::Client) {
    let (fifth, others): (Vec<_>, Vec<_>) =
        (0..12).map(|bits| first(bits, bits)).partition(|one| step_number(one) == 5);
    let waiting = tokio::spawn({
        let (storage, step) = (opened.storage.clone(), fifth[0].clone());
        async move { storage.devices.save(&step).await }
    });
    // It has its turn first, alone; then once more, in a batch with the others.
    tokio::task::yield_now().await;
    let both = [others, (12..24).map(|bits| first(bits, bits)).collect()];
    for steps in both {
        let told = tokio::time::timeout(Duration::from_secs(15), save_all(opened, &steps)).await;
        let told = told.expect("nobody waits for the fifth");
        assert!(told.iter().all(Result::is_ok), "{told:?}");
        assert!(!waiting.is_finished());
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(opened.storage.devices.find(fifth[0].device().id()).await.unwrap().as_ref(), Some(fifth[0].device()));
}

#[tokio::test]
async fn a_locked_row_is_waited_for_by_its_own_caller_alone() {
    let (opened, database) = opened(Duration::from_secs(60)).await;
    let holder = hold(&database, "SELECT FROM devices WHERE device_id = 'POS-00000005' FOR UPDATE").await;
    only_the_fifth_waits(&opened, holder).await;
}

/// The index over waiting codes has another transaction wait for this one.
#[tokio::test]
async fn a_code_that_is_being_given_out_elsewhere_is_waited_for_by_its_own_caller_alone() {
    let (opened, database) = opened(Duration::from_secs(60)).await;
    let give = format!(
        "UPDATE devices SET pairing_code = '{}', code_issued_at = now(), code_expires_at = now()
         WHERE device_id = 'POS-000000C7'",
        PairingCode::from_bits(5).as_str()
    );
    only_the_fifth_waits(&opened, hold(&database, &give).await).await;
}

/// In one batch from the beginning.
#[tokio::test]
async fn a_row_that_stays_locked_fails_its_own_caller_alone() {
    let (opened, database) = opened(Duration::from_millis(1_200)).await;
    let _holder = hold(&database, "SELECT FROM devices WHERE device_id = 'POS-00000005' FOR UPDATE").await;
    let steps: Vec<_> = (0..12).map(|bits| first(bits, bits)).collect();
    for (step, told) in steps.iter().zip(save_all(&opened, &steps).await) {
        let locked = matches!(told, Err(SaveError::Storage(StorageError::Unavailable(_))));
        assert!(if step_number(step) == 5 { locked } else { told.is_ok() }, "{}: {told:?}", step.device().id());
    }
}

/// A change of the table, as a migration makes, that takes longer than a batch waits for it.
#[tokio::test]
async fn a_table_that_is_locked_for_longer_than_a_batch_waits_fails_nobody() {
    let (opened, database) = opened(Duration::from_secs(60)).await;
    let holder = hold_writers(&database).await;
    let saving = tokio::spawn({
        let (opened, steps) = (opened.clone(), (0..20).map(|bits| first(bits, bits)).collect::<Vec<_>>());
        async move { save_all(&opened, &steps).await }
    });
    let waits =
        "SELECT query_start FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let (client, mut begun) = (database.client().await, std::collections::BTreeSet::new());
    let seen = async {
        while begun.len() < 5 {
            begun.extend(
                client.query(waits, &[]).await.unwrap().iter().map(|row| row.get::<_, std::time::SystemTime>(0)),
            );
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("it is tried again and again");
    holder.batch_execute("ROLLBACK").await.unwrap();
    let told = saving.await.unwrap();
    assert!(told.iter().all(Result::is_ok), "{told:?}");
}

/// One batch with a step of every kind, and one that would be at another merchant's location.
#[tokio::test]
async fn every_kind_of_step_goes_through_a_batch() {
    let (opened, database) = opened(Duration::from_secs(30)).await;
    let by = || Claimant { merchant_id: new(0).device().merchant_id(), user_id: UserId::parse("ann").unwrap() };
    let claimed = async |bits: u32| {
        let step = first(bits, bits);
        opened.storage.devices.save(&step).await.unwrap();
        let claim = step.into_device().claim(PairingCode::from_bits(bits), &by(), CallContext::default(), NOW).unwrap();
        opened.storage.devices.save(&claim).await.unwrap();
        claim.into_device()
    };
    let waiting = async |bits: u32| {
        let step = first(bits, bits);
        opened.storage.devices.save(&step).await.unwrap();
        step.into_device()
    };
    let label = DeviceDetails { label: Some(Name::parse("Till 1").unwrap()), location_id: None };
    let nowhere = DeviceDetails { location_id: Some(LocationId(uuid::Uuid::from_u128(9))), ..label.clone() };
    let another = MerchantId(uuid::Uuid::from_u128(7));
    pos_tests::people::add_merchant(&opened.storage, another).await;
    let steps = vec![
        first(1, 1),
        waiting(2).await.claim(PairingCode::from_bits(2), &by(), CallContext::default(), NOW).unwrap(),
        claimed(3).await.activate(CallContext::default(), NOW).unwrap(),
        claimed(4).await.release(Act::operator(), NOW).unwrap(),
        waiting(5).await.amend(label, Act::operator(), NOW).unwrap(),
        waiting(6).await.move_to(another, Act::operator(), NOW).unwrap(),
        claimed(7).await.decommission(Act::operator(), NOW).unwrap(),
    ];
    assert_eq!(
        steps.iter().map(|step| step.event().kind).collect::<Vec<_>>(),
        DeviceEventKind::ALL[1..],
        "a step of every kind but the first"
    );
    let lost = waiting(8).await.amend(nowhere, Act::operator(), NOW).unwrap();
    let all: Vec<_> = steps.iter().cloned().chain([lost]).collect();
    let mut told = gathered(&opened, &database, &all).await;
    assert!(matches!(told.pop(), Some(Err(SaveError::UnknownLocation))));
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    for step in &steps {
        let id = step.device().id();
        assert_eq!(opened.storage.devices.find(id).await.unwrap().as_ref(), Some(step.device()));
        let events = opened.storage.events.events_of(&History::whole(id)).await.unwrap();
        assert_eq!(events.last(), Some(step.event()));
        if let Some(ended) = step.ended_code() {
            assert_eq!(opened.storage.devices.find_ended_code(ended.code).await.unwrap().as_ref(), Some(ended));
        }
    }
}
