//! Contract cases: idempotent creation of devices, and the order of its refusals.

use pos_domain::device::{Device, DeviceDetails, Transition};
use pos_domain::shared::{AuditContext, Fingerprint, IdempotencyKey, LocationId, Party, ResellerId, Scope};
use time::{Duration, OffsetDateTime};

use crate::Storage;
use crate::fleet::{CreateDevicesError, DevicePage};
use crate::shared::{IdempotencyRecord, StorageError};
use crate::suite::device::races::concurrently;
use crate::suite::fixtures::{at, created, id, load, merchant, new, provisioned};
use crate::suite::tenancy::fixtures::{populated, reseller, with_merchant};
use crate::suite::tenancy::locations::{location_id, with_location};

const OPERATOR: Scope = Scope::Operator;

/// A request at second 10 whose response expires at second 100.
pub(crate) fn idempotency(key: &str, party: Party, answer: &str) -> IdempotencyRecord {
    IdempotencyRecord {
        party,
        key: IdempotencyKey::parse(key).unwrap(),
        fingerprint: Fingerprint::of(&[answer.as_bytes()]),
        answer: answer.to_owned(),
        at: at(10),
        expires_at: at(100),
    }
}

async fn stored_response_at(storage: &Storage, idempotency: &IdempotencyRecord, now: OffsetDateTime) -> Option<String> {
    let stored = storage.idempotency.find(idempotency.party, &idempotency.key, now).await.unwrap();
    stored.map(|stored| {
        assert_eq!(stored.fingerprint, Fingerprint::of(&[stored.answer.as_bytes()]), "fingerprint of the response");
        stored.answer
    })
}

/// Returns the response stored under the key of a request at its instant.
pub(crate) async fn stored_response(storage: &Storage, idempotency: &IdempotencyRecord) -> Option<String> {
    stored_response_at(storage, idempotency, idempotency.at).await
}

async fn create(
    storage: &Storage,
    devices: &[Transition],
    idempotency: &IdempotencyRecord,
) -> Result<(), CreateDevicesError> {
    for device in devices.iter().map(Transition::device) {
        with_merchant(storage, device.merchant_id()).await;
    }
    storage.fleet.create(OPERATOR, devices, Some(idempotency)).await
}

fn replayed(answer: Result<(), CreateDevicesError>) -> String {
    match answer {
        Err(CreateDevicesError::Answered(stored)) => {
            assert_eq!(stored.fingerprint, Fingerprint::of(&[stored.answer.as_bytes()]));
            stored.answer
        }
        other => panic!("{other:?}"),
    }
}

fn own() -> Party {
    Party::Merchant(merchant(1))
}

/// A request whose key is already stored creates nothing, whatever it asks for, and returns the stored response.
pub async fn a_key_creates_once(storage: Storage) {
    let long = format!("{{\"device_ids\": \"{}\"}}", "№ ".repeat(50_000));
    let first = idempotency("key", own(), &long);
    assert_eq!(stored_response(&storage, &first).await, None);
    create(&storage, &[new(1)], &first).await.unwrap();
    assert_eq!(stored_response(&storage, &first).await, Some(long.clone()));
    for again in [vec![new(1)], vec![new(2)], vec![new(3), new(4)], Vec::new()] {
        assert_eq!(replayed(create(&storage, &again, &idempotency("key", own(), "second")).await), long);
    }
    assert_eq!(storage.fleet.list(&DevicePage::first(OPERATOR, 10)).await.unwrap(), [new(1).into_device()]);
    assert_eq!(stored_response(&storage, &first).await, Some(long));
}

/// Another key and the same key of another party are independent, also for a reseller with a merchant's id.
pub async fn keys_are_scoped_to_their_party(storage: Storage) {
    let parties =
        [own(), Party::Merchant(merchant(2)), Party::Reseller(reseller(1)), Party::Reseller(ResellerId(merchant(1).0))];
    for (number, party) in (1..).zip(parties) {
        create(&storage, &[new(number)], &idempotency("key", party, &format!("{number}"))).await.unwrap();
    }
    create(&storage, &[new(9)], &idempotency("Key", own(), "9")).await.unwrap();
    create(&storage, &[new(10)], &idempotency(&"~".repeat(255), own(), "10")).await.unwrap();
    create(&storage, &[new(11)], &idempotency("!\"'%_\\;--", own(), "11")).await.unwrap();
    for (number, party) in (1..).zip(parties) {
        let again = idempotency("key", party, "again");
        assert_eq!(stored_response(&storage, &again).await, Some(format!("{number}")), "{party:?}");
        assert_eq!(replayed(create(&storage, &[new(20)], &again).await), format!("{number}"), "{party:?}");
    }
    assert_eq!(stored_response(&storage, &idempotency("Key", own(), "")).await.as_deref(), Some("9"));
    assert_eq!(stored_response(&storage, &idempotency("kEY", own(), "")).await, None);
}

/// From its expiry on a response is not returned and its key can be used again.
pub async fn an_expired_key_can_be_used_again(storage: Storage) {
    let first = idempotency("key", own(), "first");
    create(&storage, &[new(1)], &first).await.unwrap();
    let last = at(100) - Duration::microseconds(1);
    assert_eq!(stored_response_at(&storage, &first, last).await.as_deref(), Some("first"));
    assert_eq!(stored_response_at(&storage, &first, at(100)).await, None);
    let later = |at, answer| IdempotencyRecord {
        at,
        expires_at: at + Duration::seconds(90),
        ..idempotency("key", own(), answer)
    };
    assert_eq!(replayed(create(&storage, &[new(2)], &later(last, "second")).await), "first");
    create(&storage, &[new(2)], &later(at(100), "second")).await.unwrap();
    assert_eq!(stored_response_at(&storage, &first, at(100)).await.as_deref(), Some("second"));
    assert_eq!(replayed(create(&storage, &[new(3)], &later(at(189), "third")).await), "second");
    create(&storage, &[new(3)], &later(at(190), "third")).await.unwrap();
    assert_eq!(stored_response_at(&storage, &first, at(190)).await.as_deref(), Some("third"));
}

/// A request without a key stores no response; one that creates nothing may store one.
pub async fn the_key_is_optional(storage: Storage) {
    with_merchant(&storage, merchant(1)).await;
    storage.fleet.create(OPERATOR, &[new(1)], None).await.unwrap();
    assert_eq!(stored_response(&storage, &idempotency("key", own(), "")).await, None);
    create(&storage, &[], &idempotency("key", own(), "nothing")).await.unwrap();
    assert_eq!(stored_response(&storage, &idempotency("key", own(), "")).await.as_deref(), Some("nothing"));
}

fn of(number: u32, owner: u8, location_id: Option<LocationId>) -> Transition {
    let details = DeviceDetails { label: None, location_id };
    Device::provision(id(number), merchant(owner), details, AuditContext::operator(), at(50))
}

/// A refused request creates nothing, stores no key, and returns the first applicable error.
pub async fn creation_refusals_have_a_documented_order(storage: Storage) {
    populated(&storage).await;
    let foreign_location = with_location(&storage, 2, 2).await;
    let known = provisioned(&storage, 1).await;
    let used_key = idempotency("stored", own(), "stored");
    create(&storage, &[], &used_key).await.unwrap();
    let scope = Scope::Of(own());
    let (free, taken) = (of(10, 1, None), of(1, 1, None));
    let (hidden, unknown_location_device) = (of(11, 2, None), of(12, 1, Some(location_id(9))));
    let (other_location, hidden_location) = (of(13, 1, Some(foreign_location)), of(14, 2, Some(foreign_location)));
    type Refused = fn(&CreateDevicesError) -> bool;
    let unknown_merchant: Refused = |error| matches!(error, CreateDevicesError::UnknownMerchant);
    let unknown_location: Refused = |error| matches!(error, CreateDevicesError::UnknownLocation);
    let is_taken: Refused = |error| matches!(error, CreateDevicesError::Taken(ids) if *ids == [id(1)]);
    let fault: Refused = |error| matches!(error, CreateDevicesError::Storage(StorageError::Fault(_)));
    let table: [(Vec<&Transition>, Refused); 9] = [
        (vec![&free, &hidden], unknown_merchant),
        (vec![&hidden_location], unknown_merchant),
        (vec![&taken, &unknown_location_device, &hidden], unknown_merchant),
        (vec![&free, &unknown_location_device], unknown_location),
        (vec![&other_location, &free], unknown_location),
        (vec![&taken, &other_location, &taken], unknown_location),
        (vec![&free, &taken], is_taken),
        (vec![&taken, &free, &taken], is_taken),
        (vec![&free, &hidden], unknown_merchant),
    ];
    let later = crate::suite::fixtures::issued(known.clone(), 1, 1);
    let broken = (vec![&free, &later, &hidden], fault);
    for (number, (devices, refused)) in table.into_iter().chain([broken]).enumerate() {
        let devices: Vec<Transition> = devices.into_iter().cloned().collect();
        for key in [None, Some(idempotency("free", own(), "free"))] {
            let answer = storage.fleet.create(scope, &devices, key.as_ref()).await;
            let error = answer.expect_err("it must be refused");
            assert!(refused(&error), "case {number}: {error:?}");
            let stored = stored_response(&storage, &idempotency("free", own(), "")).await;
            assert_eq!(stored, None, "case {number} stores a key");
        }
        if number < 9 {
            let answer = storage.fleet.create(scope, &devices, Some(&used_key)).await;
            assert_eq!(replayed(answer), "stored", "case {number}");
        }
        let all = storage.fleet.list(&DevicePage::first(OPERATOR, 10)).await.unwrap();
        assert_eq!(all, std::slice::from_ref(&known), "case {number} creates something");
    }
    storage.fleet.create(scope, &[free], Some(&idempotency("free", own(), "free"))).await.unwrap();
}

/// Devices can be created only for existing merchants in scope.
pub async fn a_scope_creates_for_its_own_merchants(storage: Storage) {
    populated(&storage).await;
    let table: [(Scope, &[u8]); 6] = [
        (OPERATOR, &[1, 2, 3, 4]),
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
                Ok(()) if seen.contains(&owner) => assert_eq!(load(&storage, &id(number)).await.version(), 1),
                Err(CreateDevicesError::UnknownMerchant) if !seen.contains(&owner) => {
                    assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
                }
                other => panic!("{scope:?} creates for {owner}: {other:?}"),
            }
        }
    }
    let location = with_location(&storage, 1, 1).await;
    let details = DeviceDetails { label: None, location_id: Some(location) };
    assert_eq!(created(&storage, 99, merchant(1), details.clone()).await.details(), &details);
}

/// Of concurrent requests with one key, on any replica, one creates; all others get its response.
pub async fn concurrent_requests_with_one_key_create_once(storage: Storage) {
    let before = idempotency("key", own(), "before");
    for (round, now) in [(0, at(10)), (1, at(100))] {
        let idempotency = concurrently(|number| {
            let storage = storage.clone();
            let mine = Device::provision(
                id(1_000 * (round + 1) + number),
                merchant(1),
                DeviceDetails::default(),
                AuditContext::operator(),
                at(0),
            );
            let answer = format!("{round} {number}");
            let idempotency = IdempotencyRecord {
                at: now,
                expires_at: now + Duration::seconds(90),
                ..idempotency("key", own(), &answer)
            };
            async move { (number, create(&storage, &[mine], &idempotency).await) }
        });
        let (mut creators, mut others) = (Vec::new(), Vec::new());
        for (number, answer) in idempotency.await {
            match answer {
                Ok(()) => creators.push(number),
                refused => others.push(replayed(refused)),
            }
        }
        let [creator] = creators[..] else { panic!("{} created, in round {round}", creators.len()) };
        let answer = format!("{round} {creator}");
        assert!(others.iter().all(|response| *response == answer), "in round {round}");
        assert_eq!(stored_response_at(&storage, &before, now).await, Some(answer));
        assert!(storage.devices.find(&id(1_000 * (round + 1) + creator)).await.unwrap().is_some());
        let all = storage.fleet.list(&DevicePage::first(OPERATOR, 100)).await.unwrap();
        assert_eq!(all.len(), round as usize + 1, "in round {round}");
    }
}

/// If a request is refused while others wait for its key, one of those that can succeed does.
pub async fn a_refused_request_releases_its_key(storage: Storage) {
    provisioned(&storage, 1).await;
    let requests = concurrently(|number| {
        let storage = storage.clone();
        let device = if number % 2 == 0 { new(1) } else { new(1_000 + number) };
        let idempotency = idempotency("key", own(), &format!("{number}"));
        async move { (number, create(&storage, &[device], &idempotency).await) }
    });
    let (mut creators, mut others) = (Vec::new(), Vec::new());
    for (number, answer) in requests.await {
        match answer {
            Ok(()) => creators.push(number),
            Err(CreateDevicesError::Taken(taken)) => assert_eq!((number % 2, taken), (0, vec![id(1)])),
            refused => others.push(replayed(refused)),
        }
    }
    let [creator] = creators[..] else { panic!("{} created", creators.len()) };
    assert!(others.iter().all(|response| *response == creator.to_string()));
    assert_eq!(stored_response(&storage, &idempotency("key", own(), "")).await, Some(creator.to_string()));
    assert_eq!(storage.fleet.list(&DevicePage::first(OPERATOR, 100)).await.unwrap().len(), 2);
}
