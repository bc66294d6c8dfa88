//! Contract cases: concurrent callers; exactly one wins, and nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use pos_domain::device::{Device, DeviceDetails, Transition};
use pos_domain::shared::Claimant;
use pos_domain::shared::{Actor, AttemptLimit, AuditContext, Name, Party, Scope};
use time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::Storage;
use crate::device::DeviceHistory;
use crate::fleet::CreateDevicesError;
use crate::shared::SaveError;
use crate::suite::fixtures::{
    at, by_code, claimant, claimed, code, context, id, issued, load, merchant, pending, provisioned, refused_claim,
    save, terminal_info, user,
};
use crate::suite::tenancy::fixtures::{populated, reseller};

const CALLERS: u32 = 64;

/// Runs `CALLERS` concurrent calls that start together, and returns their results.
pub(crate) async fn concurrently<T, F>(call: impl Fn(u32) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(CALLERS as usize));
    let mut calls = JoinSet::new();
    for number in 0..CALLERS {
        let (call, start) = (call(number), Arc::clone(&start));
        calls.spawn(async move {
            start.wait().await;
            call.await
        });
    }
    calls.join_all().await
}

async fn save_together(storage: &Storage, transition: impl Fn(u32) -> Transition) -> (u32, u32, u32) {
    let idempotency = concurrently(|number| {
        let (storage, transition) = (storage.clone(), transition(number));
        async move { storage.devices.save(&transition).await }
    });
    let (mut saved, mut conflicts, mut taken) = (0, 0, 0);
    for answer in idempotency.await {
        match answer {
            Ok(()) => saved += 1,
            Err(SaveError::Conflict) => conflicts += 1,
            Err(SaveError::CodeTaken) => taken += 1,
            Err(other @ (SaveError::UnknownMerchant | SaveError::UnknownLocation | SaveError::Storage(_))) => {
                panic!("{other:?}")
            }
        }
    }
    (saved, conflicts, taken)
}

/// Of concurrent transitions from one version exactly one is saved; the others are conflicts.
pub async fn concurrent_saves_of_one_version_succeed_once(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    let claim = |number| {
        let by = Claimant { merchant_id: merchant(1), user_id: user(&format!("user-{number}")) };
        device.clone().claim(code(1), &by, context(), at(2)).unwrap()
    };
    assert_eq!(save_together(&storage, claim).await, (1, CALLERS - 1, 0));
    let after = load(&storage, &id(1)).await;
    assert_eq!(after.version(), device.version() + 1);
    let events = storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2].audit_context.actor, Actor::User(after.record().claimed_by.unwrap()));
}

/// The same applies to management of devices in any scope: of concurrent transfers, releases, updates and decommissions
/// of one version, one is saved.
pub async fn concurrent_changes_of_one_version_succeed_once(storage: Storage) {
    populated(&storage).await;
    type Step = fn(Device, u32) -> Transition;
    let on_inactive: [Step; 4] = [
        |device, number| issued(device, number, 2),
        |device, _| device.transfer_to(merchant(2), AuditContext::operator(), at(2)).unwrap(),
        |device, number| device.update(named(number), AuditContext::operator(), at(2)).unwrap(),
        |device, _| device.decommission(AuditContext::operator(), at(2)).unwrap(),
    ];
    let on_claimed: [Step; 4] = [
        |device, _| device.activate(context(), at(3)).unwrap(),
        |device, _| device.release(AuditContext::operator(), at(3)).unwrap(),
        |device, number| device.update(named(number), AuditContext::operator(), at(3)).unwrap(),
        |device, _| device.decommission(AuditContext::operator(), at(3)).unwrap(),
    ];
    let reseller = Scope::Of(Party::Reseller(reseller(1)));
    for round in 0..6_u32 {
        let inactive = pending(&storage, 2 * round, 1_000 + 2 * round).await;
        let claimed = claimed(&storage, 2 * round + 1, 1_001 + 2 * round, 2).await;
        for (device, acts) in [(inactive, on_inactive), (claimed, on_claimed)] {
            let idempotency = concurrently(|number| {
                let scope = if number.is_multiple_of(2) { Scope::Operator } else { reseller };
                // Not a code of an earlier round, which may still be current on that round's device.
                let transition = acts[(number / 2 % 4) as usize](device.clone(), 10_000 * (round + 1) + number);
                let storage = storage.clone();
                async move { (storage.fleet.save(scope, &transition).await, transition) }
            });
            let (saved, refused): (Vec<_>, Vec<_>) =
                idempotency.await.into_iter().partition(|(answer, _)| answer.is_ok());
            let [(_, transition)] = &saved[..] else { panic!("{} were saved", saved.len()) };
            assert!(refused.iter().all(|(answer, _)| matches!(answer, Err(SaveError::Conflict))), "{refused:?}");
            assert_eq!(&load(&storage, device.id()).await, transition.device());
            let events = storage.events.events_of(&DeviceHistory::whole(device.id())).await.unwrap();
            assert_eq!(events.last(), Some(transition.event()));
            assert_eq!(events.len() as u64, device.version() + 1);
        }
    }
}

fn named(number: u32) -> DeviceDetails {
    DeviceDetails { label: Some(Name::parse(&format!("Till {number}")).unwrap()), location_id: None }
}

/// Of two devices that get one code concurrently, one succeeds.
pub async fn two_devices_cannot_get_one_code(storage: Storage) {
    for round in 0..8 {
        let (first, second) = (round * 2 + 1, round * 2 + 2);
        let one = issued(provisioned(&storage, first).await, round, 1);
        let two = issued(provisioned(&storage, second).await, round, 1);
        let (one, two) = tokio::join!(storage.devices.save(&one), storage.devices.save(&two));
        let winner = match (one, two) {
            (Ok(()), Err(SaveError::CodeTaken)) => first,
            (Err(SaveError::CodeTaken), Ok(())) => second,
            other => panic!("one must win: {other:?}"),
        };
        assert_eq!(by_code(&storage, round).await.expect("the code is known").id(), &id(winner));
    }
}

/// The same applies to many devices.
pub async fn many_devices_cannot_get_one_code(storage: Storage) {
    let mut devices = Vec::new();
    for number in 0..CALLERS {
        devices.push(provisioned(&storage, number).await);
    }
    let give = |number: u32| issued(devices[number as usize].clone(), 1, 1);
    assert_eq!(save_together(&storage, give).await, (1, 0, CALLERS - 1));
}

/// Concurrent callers get different counts, and no failure is lost.
pub async fn every_failure_is_counted_once(storage: Storage) {
    let limit = AttemptLimit { max_failures: 10, window: Duration::seconds(300) };
    let results = concurrently(|_| {
        let storage = storage.clone();
        async move { storage.failures.record(&refused_claim(&claimant(), at(1)), &limit).await.unwrap() }
    });
    let results = results.await;
    let all: BTreeSet<u32> = (1..=CALLERS).collect();
    assert_eq!(results.iter().map(|counts| counts.merchant.unwrap().failures).collect::<BTreeSet<_>>(), all);
    assert_eq!(results.iter().map(|counts| counts.user.unwrap().failures).collect::<BTreeSet<_>>(), all);
}

/// Callers whose merchants and users overlap crosswise all succeed.
pub async fn overlapping_failures_do_not_deadlock(storage: Storage) {
    let limit = AttemptLimit { max_failures: 10, window: Duration::seconds(300) };
    let claimant = |number: u32| Claimant {
        merchant_id: merchant((number % 2) as u8),
        user_id: user(if (number / 2).is_multiple_of(2) { "anna" } else { "bert" }),
    };
    let results = concurrently(|number| {
        let storage = storage.clone();
        async move { storage.failures.record(&refused_claim(&claimant(number), at(1)), &limit).await.map(|_| ()) }
    });
    assert!(results.await.into_iter().all(|answer| answer.is_ok()));
    for number in 0..4 {
        let counts = storage.failures.attempt_counts(&claimant(number)).await.unwrap();
        assert_eq!(counts.merchant.unwrap().failures, CALLERS / 2);
        assert_eq!(counts.user.unwrap().failures, CALLERS / 2);
    }
}

/// A device whose terminal info is updated continuously can be saved, and saves preserve the terminal info.
pub async fn terminal_info_and_saves_do_not_conflict(storage: Storage) {
    let mut device = pending(&storage, 1, 1).await;
    let seen = terminal_info("Viopay-POS/1.4.2 (Android 12; PAX-A920)", 5);
    let terminal_infos = tokio::spawn({
        let (storage, seen) = (storage.clone(), seen.clone());
        async move {
            for _ in 0..50 {
                storage.devices.update_terminal_info(&id(1), &seen).await.unwrap();
            }
        }
    });
    for number in 2..=20 {
        device = save(&storage, issued(device, number, i64::from(number))).await;
    }
    terminal_infos.await.unwrap();
    let after = load(&storage, &id(1)).await;
    assert_eq!((after.version(), after.state()), (device.version(), device.state()));
    assert_eq!(after.last_seen(), Some(&seen));
}

/// Of concurrent creations of one id one succeeds; the others create nothing.
pub async fn concurrent_creations_of_one_id_succeed_once(storage: Storage) {
    for number in 0..20 {
        crate::suite::tenancy::fixtures::with_merchant(&storage, merchant(number)).await;
    }
    let results = concurrently(|number| {
        let storage = storage.clone();
        let mine = Device::provision(
            id(1),
            merchant((number % 20) as u8),
            DeviceDetails::default(),
            AuditContext::operator(),
            at(0),
        );
        let own = Device::provision(
            id(1_000 + number),
            merchant(1),
            DeviceDetails::default(),
            AuditContext::operator(),
            at(0),
        );
        let devices = if number % 2 == 0 { [mine, own] } else { [own, mine] };
        async move { (number, storage.fleet.create(Scope::Operator, &devices, None).await) }
    });
    let results = results.await;
    assert_eq!(results.iter().filter(|(_, answer)| answer.is_ok()).count(), 1);
    for (number, answer) in results {
        let own = storage.devices.find(&id(1_000 + number)).await.unwrap();
        match answer {
            Ok(()) => assert_eq!(own.map(|device| device.version()), Some(1)),
            Err(CreateDevicesError::Taken(taken)) => assert_eq!((taken.as_slice(), own), ([id(1)].as_slice(), None)),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// A reachable store answers every ping.
pub async fn concurrent_pings_succeed(storage: Storage) {
    let results = concurrently(|_| {
        let storage = storage.clone();
        async move { storage.health.ping().await.is_ok() }
    });
    assert!(results.await.into_iter().all(|answered| answered));
}
