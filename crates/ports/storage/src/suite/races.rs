//! Many callers at once: whatever the order, exactly one wins, and nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use pos_domain::{Act, Actor, ClaimLimit, Claimant, Device, DeviceDetails, Name, Party, Scope, Transition};
use time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::fixtures::{
    at, by_code, claimant, claimed, code, context, found, id, issued, keep, merchant, provisioned, refused, sighting,
    user, waiting,
};
use super::tenancy::{populated, reseller};
use crate::{CreateDevicesError, History, SaveError, Storage};

const CALLERS: u32 = 64;

/// Lets `CALLERS` callers start together and answers what each was told.
pub(super) async fn together<T, F>(call: impl Fn(u32) -> F) -> Vec<T>
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
    let answers = together(|number| {
        let (storage, transition) = (storage.clone(), transition(number));
        async move { storage.devices.save(&transition).await }
    });
    let (mut kept, mut conflicts, mut taken) = (0, 0, 0);
    for answer in answers.await {
        match answer {
            Ok(()) => kept += 1,
            Err(SaveError::Conflict) => conflicts += 1,
            Err(SaveError::CodeTaken) => taken += 1,
            Err(other @ (SaveError::UnknownMerchant | SaveError::UnknownLocation | SaveError::Storage(_))) => {
                panic!("{other:?}")
            }
        }
    }
    (kept, conflicts, taken)
}

/// Of any number of transitions from one version exactly one is kept; the others are conflicts.
pub async fn of_many_saves_of_one_version_one_is_kept(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    let claim = |number| {
        let by = Claimant { merchant_id: merchant(1), user_id: user(&format!("user-{number}")) };
        device.clone().claim(code(1), &by, context(), at(2)).unwrap()
    };
    assert_eq!(save_together(&storage, claim).await, (1, CALLERS - 1, 0));
    let after = found(&storage, &id(1)).await;
    assert_eq!(after.version(), device.version() + 1);
    let events = storage.events.events_of(&History::whole(&id(1))).await.unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2].act.actor, Actor::User(after.record().claimed_by.unwrap()));
}

/// So it is with what those do who manage devices, whoever they are: of moves, releases, amendments and the end of a
/// device made from one version one is kept.
pub async fn of_many_acts_on_one_version_one_is_kept(storage: Storage) {
    populated(&storage).await;
    type Step = fn(Device, u32) -> Transition;
    let on_inactive: [Step; 4] = [
        |device, number| issued(device, number, 2),
        |device, _| device.move_to(merchant(2), Act::operator(), at(2)).unwrap(),
        |device, number| device.amend(named(number), Act::operator(), at(2)).unwrap(),
        |device, _| device.decommission(Act::operator(), at(2)).unwrap(),
    ];
    let on_claimed: [Step; 4] = [
        |device, _| device.activate(context(), at(3)).unwrap(),
        |device, _| device.release(Act::operator(), at(3)).unwrap(),
        |device, number| device.amend(named(number), Act::operator(), at(3)).unwrap(),
        |device, _| device.decommission(Act::operator(), at(3)).unwrap(),
    ];
    let reseller = Scope::Of(Party::Reseller(reseller(1)));
    for round in 0..6_u32 {
        let inactive = waiting(&storage, 2 * round, 1_000 + 2 * round).await;
        let claimed = claimed(&storage, 2 * round + 1, 1_001 + 2 * round, 2).await;
        for (device, acts) in [(inactive, on_inactive), (claimed, on_claimed)] {
            let answers = together(|number| {
                let scope = if number.is_multiple_of(2) { Scope::Operator } else { reseller };
                // No code of a round before, which may still wait at that round's device.
                let step = acts[(number / 2 % 4) as usize](device.clone(), 10_000 * (round + 1) + number);
                let storage = storage.clone();
                async move { (storage.fleet.save(scope, &step).await, step) }
            });
            let (kept, refused): (Vec<_>, Vec<_>) = answers.await.into_iter().partition(|(answer, _)| answer.is_ok());
            let [(_, step)] = &kept[..] else { panic!("{} were kept", kept.len()) };
            assert!(refused.iter().all(|(answer, _)| matches!(answer, Err(SaveError::Conflict))), "{refused:?}");
            assert_eq!(&found(&storage, device.id()).await, step.device());
            let events = storage.events.events_of(&History::whole(device.id())).await.unwrap();
            assert_eq!(events.last(), Some(step.event()));
            assert_eq!(events.len() as u64, device.version() + 1);
        }
    }
}

fn named(number: u32) -> DeviceDetails {
    DeviceDetails { label: Some(Name::parse(&format!("Till {number}")).unwrap()), location_id: None }
}

/// Of two devices that are given one code at once, one gets it.
pub async fn of_two_devices_with_one_code_one_is_kept(storage: Storage) {
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

/// So it is with many.
pub async fn of_many_devices_with_one_code_one_is_kept(storage: Storage) {
    let mut devices = Vec::new();
    for number in 0..CALLERS {
        devices.push(provisioned(&storage, number).await);
    }
    let give = |number: u32| issued(devices[number as usize].clone(), 1, 1);
    assert_eq!(save_together(&storage, give).await, (1, 0, CALLERS - 1));
}

/// Of callers that record at once each is told another count, and none is lost.
pub async fn every_failure_is_counted_once(storage: Storage) {
    let limit = ClaimLimit { max_failures: 10, window: Duration::seconds(300) };
    let told = together(|_| {
        let storage = storage.clone();
        async move { storage.failures.record(&refused(&claimant(), at(1)), &limit).await.unwrap() }
    });
    let told = told.await;
    let all: BTreeSet<u32> = (1..=CALLERS).collect();
    assert_eq!(told.iter().map(|standing| standing.merchant.unwrap().failures).collect::<BTreeSet<_>>(), all);
    assert_eq!(told.iter().map(|standing| standing.user.unwrap().failures).collect::<BTreeSet<_>>(), all);
}

/// Callers whose merchants and users overlap crosswise all get through.
pub async fn crossing_failures_do_not_block_each_other(storage: Storage) {
    let limit = ClaimLimit { max_failures: 10, window: Duration::seconds(300) };
    let claimant = |number: u32| Claimant {
        merchant_id: merchant((number % 2) as u8),
        user_id: user(if (number / 2).is_multiple_of(2) { "anna" } else { "bert" }),
    };
    let told = together(|number| {
        let storage = storage.clone();
        async move { storage.failures.record(&refused(&claimant(number), at(1)), &limit).await.map(|_| ()) }
    });
    assert!(told.await.into_iter().all(|answer| answer.is_ok()));
    for number in 0..4 {
        let standing = storage.failures.standing(&claimant(number)).await.unwrap();
        assert_eq!(standing.merchant.unwrap().failures, CALLERS / 2);
        assert_eq!(standing.user.unwrap().failures, CALLERS / 2);
    }
}

/// A terminal that is seen all the time can be claimed, and the claim takes no sighting back.
pub async fn sightings_and_saves_do_not_disturb_each_other(storage: Storage) {
    let mut device = waiting(&storage, 1, 1).await;
    let seen = sighting("Viopay-POS/1.4.2 (Android 12; PAX-A920)", 5);
    let sightings = tokio::spawn({
        let (storage, seen) = (storage.clone(), seen.clone());
        async move {
            for _ in 0..50 {
                storage.devices.record_sighting(&id(1), &seen).await.unwrap();
            }
        }
    });
    for number in 2..=20 {
        device = keep(&storage, issued(device, number, i64::from(number))).await;
    }
    sightings.await.unwrap();
    let after = found(&storage, &id(1)).await;
    assert_eq!((after.version(), after.state()), (device.version(), device.state()));
    assert_eq!(after.last_seen(), Some(&seen));
}

/// Of callers that create one id at once, one does; the others create nothing.
pub async fn of_many_who_create_one_id_one_does(storage: Storage) {
    for number in 0..20 {
        super::tenancy::with_merchant(&storage, merchant(number)).await;
    }
    let told = together(|number| {
        let storage = storage.clone();
        let mine =
            Device::provision(id(1), merchant((number % 20) as u8), DeviceDetails::default(), Act::operator(), at(0));
        let own = Device::provision(id(1_000 + number), merchant(1), DeviceDetails::default(), Act::operator(), at(0));
        let devices = if number % 2 == 0 { [mine, own] } else { [own, mine] };
        async move { (number, storage.fleet.create(Scope::Operator, &devices, None).await) }
    });
    let told = told.await;
    assert_eq!(told.iter().filter(|(_, answer)| answer.is_ok()).count(), 1);
    for (number, answer) in told {
        let own = storage.devices.find(&id(1_000 + number)).await.unwrap();
        match answer {
            Ok(()) => assert_eq!(own.map(|device| device.version()), Some(1)),
            Err(CreateDevicesError::Taken(taken)) => assert_eq!((taken.as_slice(), own), ([id(1)].as_slice(), None)),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// A store that is there says so, to everyone.
pub async fn every_ping_is_answered(storage: Storage) {
    let told = together(|_| {
        let storage = storage.clone();
        async move { storage.health.ping().await.is_ok() }
    });
    assert!(told.await.into_iter().all(|answered| answered));
}
