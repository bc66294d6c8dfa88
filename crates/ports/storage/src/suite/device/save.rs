//! Contract cases: saving a transition, reading a device and its events.

use pos_domain::device::{Device, DeviceDetails, DeviceEventKind, DeviceState, DeviceStatus};
use pos_domain::shared::{Actor, AuditContext, DeviceId, Name, Scope, UserId};
use time::Duration;

use crate::Storage;
use crate::device::DeviceHistory;
use crate::shared::SaveError;
use crate::suite::fixtures::{
    at, claimant, code, context, id, issued, load, merchant, new, pending, provisioned, save,
};

/// `find` returns nothing for an unknown id.
pub async fn unknown_device_is_none(storage: Storage) {
    provisioned(&storage, 1).await;
    assert_eq!(storage.devices.find(&id(2)).await.unwrap(), None);
    assert_eq!(storage.devices.find(&DeviceId::parse("POS-UNKNOWN").unwrap()).await.unwrap(), None);
}

fn till() -> DeviceDetails {
    DeviceDetails { label: Some(Name::parse("Till 1").unwrap()), location_id: None }
}

/// Each state of a device is read back exactly as saved; another device is unchanged.
pub async fn every_state_is_read_back_as_saved(storage: Storage) {
    let neighbour = pending(&storage, 99, 99).await;
    let mut device = provisioned(&storage, 1).await;
    assert_eq!(load(&storage, &id(1)).await, device);
    let steps: [fn(Device) -> pos_domain::device::Transition; 10] = [
        |device| issued(device, 7, 1),
        |device| issued(device, 8, 2),
        |device| device.claim(code(8), &claimant(), context(), at(3)).unwrap(),
        |device| device.activate(context(), at(4)).unwrap(),
        |device| device.release(AuditContext::operator(), at(5)).unwrap(),
        |device| issued(device, 9, 6),
        |device| device.update(till(), AuditContext::operator(), at(7)).unwrap(),
        |device| device.transfer_to(merchant(2), AuditContext::operator(), at(8)).unwrap(),
        |device| device.update(till(), AuditContext::operator(), at(9)).unwrap(),
        |device| device.decommission(AuditContext::operator(), at(10)).unwrap(),
    ];
    let statuses = [
        "inactive",
        "inactive",
        "claimed",
        "activated",
        "inactive",
        "inactive",
        "inactive",
        "inactive",
        "inactive",
        "decommissioned",
    ];
    for (step, status) in steps.into_iter().zip(statuses) {
        let transition = step(device);
        let stored = save(&storage, transition.clone()).await;
        assert_eq!(&stored, transition.device());
        assert_eq!(Some(stored.status()), DeviceStatus::parse(status));
        device = stored;
    }
    assert_eq!(load(&storage, &id(99)).await, neighbour);
}

/// Every instant of a device is read back to the microsecond.
pub async fn instants_keep_their_microseconds(storage: Storage) {
    let device = provisioned(&storage, 1).await;
    let moment = |micros: i64| at(10) + Duration::microseconds(micros);
    let transition =
        device.issue_pairing_code(code(1), Duration::microseconds(300_000_001), context(), moment(1)).unwrap();
    let device = save(&storage, transition).await;
    let device = save(&storage, device.claim(code(1), &claimant(), context(), moment(2)).unwrap()).await;
    let device = save(&storage, device.activate(context(), moment(999_999)).unwrap()).await;
    assert_eq!(device.provisioned_at(), at(0));
    let DeviceState::Activated { claim, at: activated } = device.state() else { panic!("not activated") };
    let decommissioned =
        save(&storage, device.clone().decommission(AuditContext::operator(), moment(1_999_999)).unwrap()).await;
    assert_eq!(decommissioned.state(), &DeviceState::Decommissioned { at: moment(1_999_999) });
    assert_eq!(claim.code.issued_at, moment(1));
    assert_eq!(claim.code.expires_at, moment(300_000_002));
    assert_eq!(claim.at, moment(2));
    assert_eq!(*activated, moment(999_999));
}

/// The longest device id and user id and ids of all visible characters are stored intact.
pub async fn the_longest_ids_are_stored(storage: Storage) {
    crate::suite::tenancy::fixtures::with_merchant(&storage, merchant(1)).await;
    let long = DeviceId::parse(&format!("POS-{}", "~".repeat(60))).unwrap();
    let odd = DeviceId::parse("POS-!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}").unwrap();
    let bare = DeviceId::parse("POS-").unwrap();
    let long_user = UserId::parse(&"é".repeat(127)).unwrap();
    for (name, number) in [(long, 1), (odd, 2), (bare, 3)] {
        let device = Device::provision(
            name.clone(),
            merchant(1),
            DeviceDetails::default(),
            context().with_actor(Actor::User(long_user.clone())),
            at(0),
        );
        storage.fleet.create(Scope::Operator, std::slice::from_ref(&device), None).await.unwrap();
        let device = save(&storage, issued(device.into_device(), number, 1)).await;
        let by = pos_domain::shared::Claimant { merchant_id: merchant(1), user_id: long_user.clone() };
        let device = save(&storage, device.claim(code(number), &by, context(), at(2)).unwrap()).await;
        assert_eq!(device.id(), &name);
        assert_eq!(device.record().claimed_by, Some(long_user.clone()));
        assert_eq!(
            storage.events.events_of(&DeviceHistory::whole(&name)).await.unwrap()[2].audit_context.actor,
            Actor::User(long_user.clone())
        );
    }
}

/// A transition from a version that is no longer stored is refused.
pub async fn stale_version_is_a_conflict(storage: Storage) {
    let device = provisioned(&storage, 1).await;
    let stale = issued(device.clone(), 2, 2);
    let current = save(&storage, issued(device, 1, 1)).await;
    assert!(matches!(storage.devices.save(&stale).await, Err(SaveError::Conflict)));
    assert_eq!(load(&storage, &id(1)).await, current);
}

/// A transition from a version that is not stored yet is refused.
pub async fn a_version_ahead_is_a_conflict(storage: Storage) {
    let device = provisioned(&storage, 1).await;
    let ahead = issued(issued(device.clone(), 1, 1).into_device(), 2, 2);
    assert!(matches!(storage.devices.save(&ahead).await, Err(SaveError::Conflict)));
    assert_eq!(load(&storage, &id(1)).await, device);
}

/// An unknown device cannot be saved and is not created by it.
pub async fn unknown_device_is_a_conflict(storage: Storage) {
    let transition = issued(new(1).into_device(), 1, 1);
    assert!(matches!(storage.devices.save(&transition).await, Err(SaveError::Conflict)));
    assert!(matches!(storage.devices.save(&new(1)).await, Err(SaveError::Conflict)));
    assert_eq!(storage.devices.find(&id(1)).await.unwrap(), None);
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap(), []);
}

/// A refused transition stores no event, no past code and no current code.
pub async fn a_refused_save_stores_nothing(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    let stale = issued(device.clone(), 2, 2);
    save(&storage, issued(device, 3, 3)).await;
    let before = storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap();
    let first_end = storage.devices.find_past_code(code(1)).await.unwrap();
    assert!(matches!(storage.devices.save(&stale).await, Err(SaveError::Conflict)));
    let other = pending(&storage, 2, 4).await;
    let taken = issued(other, 3, 5);
    assert!(matches!(storage.devices.save(&taken).await, Err(SaveError::CodeTaken)));
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap(), before);
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(2))).await.unwrap().len(), 2);
    assert_eq!(storage.devices.find_past_code(code(1)).await.unwrap(), first_end);
    assert_eq!(storage.devices.find_past_code(code(4)).await.unwrap(), None);
    assert_eq!(storage.devices.find_by_pairing_code(code(2)).await.unwrap(), None);
}

/// The events of a device are numbered 1, 2, 3 … and returned in that order, without those of other devices.
pub async fn events_are_in_order_and_without_gaps(storage: Storage) {
    pending(&storage, 2, 1_000).await;
    let mut device = provisioned(&storage, 1).await;
    for number in 1..=12 {
        device = save(&storage, issued(device, number, i64::from(number))).await;
    }
    let events = storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap();
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=13).collect::<Vec<u64>>());
    assert!(events.iter().all(|event| event.device_id == id(1)));
}

/// An unknown device has no events.
pub async fn an_unknown_device_has_no_events(storage: Storage) {
    pending(&storage, 1, 1).await;
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(2))).await.unwrap(), []);
}

/// Each event is read back as created: kind, actor, merchant and instant.
pub async fn events_store_actor_and_time(storage: Storage) {
    crate::suite::tenancy::fixtures::with_merchant(&storage, merchant(1)).await;
    let mut expected = vec![new(1)];
    storage.fleet.create(Scope::Operator, &expected, None).await.unwrap();
    let mut expect = |transition: pos_domain::device::Transition| {
        expected.push(transition.clone());
        transition
    };
    let device = new(1).into_device();
    let device = save(&storage, expect(issued(device, 1, 1))).await;
    let device = save(&storage, expect(device.claim(code(1), &claimant(), context(), at(2)).unwrap())).await;
    let device = save(&storage, expect(device.activate(context(), at(3)).unwrap())).await;
    let device = save(&storage, expect(device.release(AuditContext::operator(), at(4)).unwrap())).await;
    let device = save(&storage, expect(device.update(till(), AuditContext::operator(), at(5)).unwrap())).await;
    let device =
        save(&storage, expect(device.transfer_to(merchant(2), AuditContext::operator(), at(6)).unwrap())).await;
    let provider = context().with_actor(Actor::IdentityProvider);
    save(&storage, expect(device.decommission(provider, at(7)).unwrap())).await;
    let events = storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap();
    let expected: Vec<_> = expected.iter().map(|transition| transition.event().clone()).collect();
    assert_eq!(events, expected);
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, DeviceEventKind::ALL);
}
