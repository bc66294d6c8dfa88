//! Calls that create something: all of it or nothing, once for each key, and the refusals in their order.

use pos_domain::{
    Act, Device, DeviceDetails, Fingerprint, IdempotencyKey, LocationId, Party, ResellerId, Scope, Transition,
};
use time::{Duration, OffsetDateTime};

use super::fixtures::{at, created, found, id, merchant, new, provisioned};
use super::locations::{placed, spot};
use super::races::together;
use super::tenancy::{populated, reseller, with_merchant};
use crate::{CreateDevicesError, DevicePage, Once, Storage, StorageError};

const EVERYBODYS: Scope = Scope::Operator;

/// A key of a call at second 10, whose answer is kept for 90 seconds.
pub(super) fn once(key: &str, party: Party, answer: &str) -> Once {
    Once {
        party,
        key: IdempotencyKey::parse(key).unwrap(),
        fingerprint: Fingerprint::of(&[answer.as_bytes()]),
        answer: answer.to_owned(),
        at: at(10),
        keep_until: at(100),
    }
}

async fn kept_at(storage: &Storage, once: &Once, now: OffsetDateTime) -> Option<String> {
    let kept = storage.answers.find(once.party, &once.key, now).await.unwrap();
    kept.map(|kept| {
        assert_eq!(kept.fingerprint, Fingerprint::of(&[kept.answer.as_bytes()]), "the fingerprint is its answer's");
        kept.answer
    })
}

/// The answer that is kept under the key of a call when it is made.
pub(super) async fn kept(storage: &Storage, once: &Once) -> Option<String> {
    kept_at(storage, once, once.at).await
}

async fn create(storage: &Storage, devices: &[Transition], once: &Once) -> Result<(), CreateDevicesError> {
    for device in devices.iter().map(Transition::device) {
        with_merchant(storage, device.merchant_id()).await;
    }
    storage.fleet.create(EVERYBODYS, devices, Some(once)).await
}

fn told(answer: Result<(), CreateDevicesError>) -> String {
    match answer {
        Err(CreateDevicesError::Answered(kept)) => {
            assert_eq!(kept.fingerprint, Fingerprint::of(&[kept.answer.as_bytes()]));
            kept.answer
        }
        other => panic!("{other:?}"),
    }
}

fn own() -> Party {
    Party::Merchant(merchant(1))
}

/// A call whose key is kept creates nothing, whatever it asks for, and is told the answer that is kept.
pub async fn a_key_creates_once(storage: Storage) {
    let long = format!("{{\"device_ids\": \"{}\"}}", "№ ".repeat(50_000));
    let first = once("key", own(), &long);
    assert_eq!(kept(&storage, &first).await, None);
    create(&storage, &[new(1)], &first).await.unwrap();
    assert_eq!(kept(&storage, &first).await, Some(long.clone()));
    for again in [vec![new(1)], vec![new(2)], vec![new(3), new(4)], Vec::new()] {
        assert_eq!(told(create(&storage, &again, &once("key", own(), "second")).await), long);
    }
    assert_eq!(storage.fleet.list(&DevicePage::first(EVERYBODYS, 10)).await.unwrap(), [new(1).into_device()]);
    assert_eq!(kept(&storage, &first).await, Some(long));
}

/// Another key, and the same key of another party, are free; so is a reseller's that has a merchant's id.
pub async fn a_key_is_its_partys(storage: Storage) {
    let parties =
        [own(), Party::Merchant(merchant(2)), Party::Reseller(reseller(1)), Party::Reseller(ResellerId(merchant(1).0))];
    for (number, party) in (1..).zip(parties) {
        create(&storage, &[new(number)], &once("key", party, &format!("{number}"))).await.unwrap();
    }
    create(&storage, &[new(9)], &once("Key", own(), "9")).await.unwrap();
    create(&storage, &[new(10)], &once(&"~".repeat(255), own(), "10")).await.unwrap();
    create(&storage, &[new(11)], &once("!\"'%_\\;--", own(), "11")).await.unwrap();
    for (number, party) in (1..).zip(parties) {
        let again = once("key", party, "again");
        assert_eq!(kept(&storage, &again).await, Some(format!("{number}")), "{party:?}");
        assert_eq!(told(create(&storage, &[new(20)], &again).await), format!("{number}"), "{party:?}");
    }
    assert_eq!(kept(&storage, &once("Key", own(), "")).await.as_deref(), Some("9"));
    assert_eq!(kept(&storage, &once("kEY", own(), "")).await, None);
}

/// From the instant on to which it is kept, an answer is forgotten and its key is free.
pub async fn a_key_is_free_when_its_time_is_over(storage: Storage) {
    let first = once("key", own(), "first");
    create(&storage, &[new(1)], &first).await.unwrap();
    let last = at(100) - Duration::microseconds(1);
    assert_eq!(kept_at(&storage, &first, last).await.as_deref(), Some("first"));
    assert_eq!(kept_at(&storage, &first, at(100)).await, None);
    let later = |at, answer| Once { at, keep_until: at + Duration::seconds(90), ..once("key", own(), answer) };
    assert_eq!(told(create(&storage, &[new(2)], &later(last, "second")).await), "first");
    create(&storage, &[new(2)], &later(at(100), "second")).await.unwrap();
    assert_eq!(kept_at(&storage, &first, at(100)).await.as_deref(), Some("second"));
    assert_eq!(told(create(&storage, &[new(3)], &later(at(189), "third")).await), "second");
    create(&storage, &[new(3)], &later(at(190), "third")).await.unwrap();
    assert_eq!(kept_at(&storage, &first, at(190)).await.as_deref(), Some("third"));
}

/// A call without a key keeps no answer, and one that creates nothing may keep one.
pub async fn a_call_may_have_no_key(storage: Storage) {
    with_merchant(&storage, merchant(1)).await;
    storage.fleet.create(EVERYBODYS, &[new(1)], None).await.unwrap();
    assert_eq!(kept(&storage, &once("key", own(), "")).await, None);
    create(&storage, &[], &once("key", own(), "nothing")).await.unwrap();
    assert_eq!(kept(&storage, &once("key", own(), "")).await.as_deref(), Some("nothing"));
}

fn of(number: u32, owner: u8, location_id: Option<LocationId>) -> Transition {
    let details = DeviceDetails { label: None, location_id };
    Device::provision(id(number), merchant(owner), details, Act::operator(), at(50))
}

/// A refused call creates nothing and keeps no key, and says the first thing that is wrong.
pub async fn refusals_to_create_come_in_order(storage: Storage) {
    populated(&storage).await;
    let theirs = placed(&storage, 2, 2).await;
    let known = provisioned(&storage, 1).await;
    let kept_key = once("kept", own(), "kept");
    create(&storage, &[], &kept_key).await.unwrap();
    let scope = Scope::Of(own());
    let (free, taken) = (of(10, 1, None), of(1, 1, None));
    let (hidden, nowhere) = (of(11, 2, None), of(12, 1, Some(spot(9))));
    let (elsewhere, hidden_place) = (of(13, 1, Some(theirs)), of(14, 2, Some(theirs)));
    type Refused = fn(&CreateDevicesError) -> bool;
    let unknown_merchant: Refused = |error| matches!(error, CreateDevicesError::UnknownMerchant);
    let unknown_location: Refused = |error| matches!(error, CreateDevicesError::UnknownLocation);
    let is_taken: Refused = |error| matches!(error, CreateDevicesError::Taken(ids) if *ids == [id(1)]);
    let fault: Refused = |error| matches!(error, CreateDevicesError::Storage(StorageError::Fault(_)));
    let table: [(Vec<&Transition>, Refused); 9] = [
        (vec![&free, &hidden], unknown_merchant),
        (vec![&hidden_place], unknown_merchant),
        (vec![&taken, &nowhere, &hidden], unknown_merchant),
        (vec![&free, &nowhere], unknown_location),
        (vec![&elsewhere, &free], unknown_location),
        (vec![&taken, &elsewhere, &taken], unknown_location),
        (vec![&free, &taken], is_taken),
        (vec![&taken, &free, &taken], is_taken),
        (vec![&free, &hidden], unknown_merchant),
    ];
    let step = super::fixtures::issued(known.clone(), 1, 1);
    let broken = (vec![&free, &step, &hidden], fault);
    for (number, (devices, refused)) in table.into_iter().chain([broken]).enumerate() {
        let devices: Vec<Transition> = devices.into_iter().cloned().collect();
        for key in [None, Some(once("free", own(), "free"))] {
            let answer = storage.fleet.create(scope, &devices, key.as_ref()).await;
            let error = answer.expect_err("it must be refused");
            assert!(refused(&error), "case {number}: {error:?}");
            assert_eq!(kept(&storage, &once("free", own(), "")).await, None, "case {number} keeps a key");
        }
        if number < 9 {
            assert_eq!(told(storage.fleet.create(scope, &devices, Some(&kept_key)).await), "kept", "case {number}");
        }
        let all = storage.fleet.list(&DevicePage::first(EVERYBODYS, 10)).await.unwrap();
        assert_eq!(all, std::slice::from_ref(&known), "case {number} creates something");
    }
    storage.fleet.create(scope, &[free], Some(&once("free", own(), "free"))).await.unwrap();
}

/// A scope creates for the merchants it sees; nobody does for one that has no row.
pub async fn a_scope_creates_for_its_own_merchants(storage: Storage) {
    populated(&storage).await;
    let table: [(Scope, &[u8]); 6] = [
        (EVERYBODYS, &[1, 2, 3, 4]),
        (Scope::Of(own()), &[1]),
        (Scope::Of(Party::Merchant(merchant(9))), &[]),
        (Scope::Of(Party::Reseller(reseller(1))), &[1, 2]),
        (Scope::Of(Party::Reseller(reseller(2))), &[3]),
        (Scope::Of(Party::Reseller(reseller(9))), &[]),
    ];
    let mut numbers = 1..;
    for (scope, seen) in table {
        for owner in [1, 2, 3, 4, 9] {
            let number = numbers.next().unwrap();
            let answer = storage.fleet.create(scope, &[of(number, owner, None)], None).await;
            match answer {
                Ok(()) if seen.contains(&owner) => assert_eq!(found(&storage, &id(number)).await.version(), 1),
                Err(CreateDevicesError::UnknownMerchant) if !seen.contains(&owner) => {
                    assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
                }
                other => panic!("{scope:?} creates for {owner}: {other:?}"),
            }
        }
    }
    let place = placed(&storage, 1, 1).await;
    let details = DeviceDetails { label: None, location_id: Some(place) };
    assert_eq!(created(&storage, 99, merchant(1), details.clone()).await.details(), &details);
}

/// Of many calls with one key, on whatever replicas, one creates; all others are told what it was told.
pub async fn of_many_calls_with_one_key_one_creates(storage: Storage) {
    let before = once("key", own(), "before");
    for (round, now) in [(0, at(10)), (1, at(100))] {
        let answers = together(|number| {
            let storage = storage.clone();
            let mine = Device::provision(
                id(1_000 * (round + 1) + number),
                merchant(1),
                DeviceDetails::default(),
                Act::operator(),
                at(0),
            );
            let answer = format!("{round} {number}");
            let once = Once { at: now, keep_until: now + Duration::seconds(90), ..once("key", own(), &answer) };
            async move { (number, create(&storage, &[mine], &once).await) }
        });
        let (mut creators, mut others) = (Vec::new(), Vec::new());
        for (number, answer) in answers.await {
            match answer {
                Ok(()) => creators.push(number),
                refused => others.push(told(refused)),
            }
        }
        let [creator] = creators[..] else { panic!("{} created, in round {round}", creators.len()) };
        let answer = format!("{round} {creator}");
        assert!(others.iter().all(|told| *told == answer), "in round {round}");
        assert_eq!(kept_at(&storage, &before, now).await, Some(answer));
        assert!(storage.devices.find(&id(1_000 * (round + 1) + creator)).await.unwrap().is_some());
        let all = storage.fleet.list(&DevicePage::first(EVERYBODYS, 100)).await.unwrap();
        assert_eq!(all.len(), round as usize + 1, "in round {round}");
    }
}

/// A call that is refused while others wait for its key hands the key on: one of those that can be done is.
pub async fn a_refused_call_hands_its_key_on(storage: Storage) {
    provisioned(&storage, 1).await;
    let answers = together(|number| {
        let storage = storage.clone();
        let device = if number % 2 == 0 { new(1) } else { new(1_000 + number) };
        let once = once("key", own(), &format!("{number}"));
        async move { (number, create(&storage, &[device], &once).await) }
    });
    let (mut creators, mut others) = (Vec::new(), Vec::new());
    for (number, answer) in answers.await {
        match answer {
            Ok(()) => creators.push(number),
            Err(CreateDevicesError::Taken(taken)) => assert_eq!((number % 2, taken), (0, vec![id(1)])),
            refused => others.push(told(refused)),
        }
    }
    let [creator] = creators[..] else { panic!("{} created", creators.len()) };
    assert!(others.iter().all(|told| *told == creator.to_string()));
    assert_eq!(kept(&storage, &once("key", own(), "")).await, Some(creator.to_string()));
    assert_eq!(storage.fleet.list(&DevicePage::first(EVERYBODYS, 100)).await.unwrap().len(), 2);
}
