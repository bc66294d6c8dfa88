//! Devices as those see them who manage them: whoever is not meant to see one finds nothing, by whatever way.

use pos_domain::{Act, Device, DeviceDetails, DeviceId, DeviceStatus, MerchantId, Name, Party, Scope};

use super::fixtures::{at, claimant, code, context, created, found, id, issued, keep, merchant, provisioned, waiting};
use super::locations::{placed, spot};
use super::tenancy::{populated, reseller, with_merchant};
use crate::{CreateDevicesError, DevicePage, History, SaveError, Storage};

const EVERYBODYS: Scope = Scope::Operator;

fn of_merchant(number: u8) -> Scope {
    Scope::Of(Party::Merchant(merchant(number)))
}

fn of_reseller(number: u8) -> Scope {
    Scope::Of(Party::Reseller(reseller(number)))
}

fn label(text: &str) -> Option<Name> {
    Some(Name::parse(text).unwrap())
}

async fn listed(storage: &Storage, page: &DevicePage) -> Vec<DeviceId> {
    storage.fleet.list(page).await.unwrap().iter().map(|device| device.id().clone()).collect()
}

async fn history(storage: &Storage, scope: Scope, number: u32) -> Vec<u64> {
    let history = History { scope, ..History::whole(&id(number)) };
    storage.events.events_of(&history).await.unwrap().iter().map(|event| event.sequence).collect()
}

fn ids(numbers: &[u32]) -> Vec<DeviceId> {
    numbers.iter().map(|number| id(*number)).collect()
}

/// Each of the devices 1 to 4 is the merchant's of its number, and 5 is that of merchant 9, of no reseller.
async fn stocked(storage: &Storage) {
    populated(storage).await;
    for (number, owner) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 9)] {
        created(storage, number, merchant(owner), DeviceDetails::default()).await;
    }
}

/// A scope finds, lists and changes its own devices, reads their events, and does none of it to any other.
pub async fn a_scope_reaches_its_own_devices_only(storage: Storage) {
    stocked(&storage).await;
    let table: [(Scope, &[u32]); 9] = [
        (EVERYBODYS, &[1, 2, 3, 4, 5]),
        (of_merchant(1), &[1]),
        (of_merchant(2), &[2]),
        (of_merchant(4), &[4]),
        (of_merchant(9), &[5]),
        (of_merchant(8), &[]),
        (of_reseller(1), &[1, 2]),
        (of_reseller(2), &[3]),
        (of_reseller(9), &[]),
    ];
    let mut codes = 0..;
    for (scope, seen) in table {
        assert_eq!(listed(&storage, &DevicePage::first(scope, 100)).await, ids(seen), "{scope:?}");
        for number in 1..=5 {
            let sees = seen.contains(&number);
            let device = found(&storage, &id(number)).await;
            let told = storage.fleet.find(scope, &id(number)).await.unwrap();
            assert_eq!(told, sees.then(|| device.clone()), "{scope:?} finds {number}");
            assert_eq!(!history(&storage, scope, number).await.is_empty(), sees, "{scope:?} reads {number}");
            let step = issued(device.clone(), codes.next().unwrap(), 1);
            match storage.fleet.save(scope, &step).await {
                Ok(()) if sees => assert_eq!(&found(&storage, &id(number)).await, step.device()),
                Err(SaveError::Conflict) if !sees => assert_eq!(found(&storage, &id(number)).await, device),
                other => panic!("{scope:?} saves {number}: {other:?}"),
            }
        }
    }
}

/// An unknown device is found by nobody, and no party makes it by saving it.
pub async fn an_unknown_device_is_nobodys(storage: Storage) {
    stocked(&storage).await;
    let never = issued(super::fixtures::new(77).into_device(), 1, 1);
    for scope in [EVERYBODYS, of_merchant(1), of_reseller(1)] {
        assert_eq!(storage.fleet.find(scope, &id(77)).await.unwrap(), None);
        assert!(matches!(storage.fleet.save(scope, &never).await, Err(SaveError::Conflict)), "{scope:?}");
        assert_eq!(history(&storage, scope, 77).await, []);
    }
}

/// Saving on somebody's behalf refuses as saving does, and keeps nothing then.
pub async fn a_partys_save_is_refused_as_any(storage: Storage) {
    stocked(&storage).await;
    let device = found(&storage, &id(1)).await;
    let stale = issued(device.clone(), 1, 1);
    let current = keep(&storage, issued(device, 2, 2)).await;
    for scope in [of_merchant(1), of_reseller(1)] {
        assert!(matches!(storage.fleet.save(scope, &stale).await, Err(SaveError::Conflict)), "{scope:?}");
        let taken = issued(found(&storage, &id(2)).await, 2, 3);
        assert!(matches!(storage.fleet.save(of_reseller(1), &taken).await, Err(SaveError::CodeTaken)), "{scope:?}");
    }
    assert_eq!(found(&storage, &id(1)).await, current);
    let retired = issued(current, 3, 4);
    storage.fleet.save(of_merchant(1), &retired).await.unwrap();
    assert_eq!(storage.devices.find_ended_code(code(2)).await.unwrap().as_ref(), retired.ended_code());
    assert_eq!(history(&storage, of_merchant(1), 1).await, [1, 2, 3]);
}

/// Who moves a device must see both merchants; a device that did not move is where it was.
pub async fn a_move_needs_both_ends(storage: Storage) {
    stocked(&storage).await;
    let table = [
        (of_merchant(1), 1, 2),
        (of_merchant(2), 1, 2),
        (of_reseller(1), 1, 3),
        (of_reseller(2), 1, 3),
        (of_reseller(1), 3, 1),
        (of_reseller(1), 1, 9),
        (of_reseller(2), 3, 4),
    ];
    for (scope, number, to) in table {
        let device = found(&storage, &id(number)).await;
        let step = device.clone().move_to(merchant(to), Act::operator(), at(1)).unwrap();
        let refused = storage.fleet.save(scope, &step).await;
        assert!(matches!(refused, Err(SaveError::Conflict)), "{scope:?}, {number} to {to}: {refused:?}");
        assert_eq!(found(&storage, &id(number)).await, device);
    }
    for (scope, number, to) in [(of_reseller(1), 1, 2), (EVERYBODYS, 1, 3), (EVERYBODYS, 1, 9)] {
        let step = found(&storage, &id(number)).await.move_to(merchant(to), Act::operator(), at(1)).unwrap();
        storage.fleet.save(scope, &step).await.unwrap();
        assert_eq!(&found(&storage, &id(number)).await, step.device());
    }
}

/// After a move its former merchant knows nothing of a device, and the new one only what happened since.
pub async fn a_moved_device_leaves_its_former_merchant(storage: Storage) {
    populated(&storage).await;
    let details = DeviceDetails { label: label("Till 1"), location_id: Some(placed(&storage, 1, 1).await) };
    let device = created(&storage, 1, merchant(1), details).await;
    let device = keep(&storage, issued(device, 1, 1)).await;
    let step = device.move_to(merchant(3), Act::operator(), at(2)).unwrap();
    storage.fleet.save(EVERYBODYS, &step).await.unwrap();
    let moved = keep(&storage, issued(step.device().clone(), 2, 3)).await;
    assert_eq!((moved.merchant_id(), moved.details()), (merchant(3), &DeviceDetails::default()));
    for scope in [of_merchant(1), of_reseller(1)] {
        assert_eq!(storage.fleet.find(scope, &id(1)).await.unwrap(), None, "{scope:?}");
        assert_eq!(listed(&storage, &DevicePage::first(scope, 10)).await, []);
        assert_eq!(history(&storage, scope, 1).await, [1, 2], "what happened there stays theirs");
        let late = issued(moved.clone(), 4, 4);
        assert!(matches!(storage.fleet.save(scope, &late).await, Err(SaveError::Conflict)), "{scope:?}");
    }
    for scope in [of_merchant(3), of_reseller(2)] {
        assert_eq!(storage.fleet.find(scope, &id(1)).await.unwrap().as_ref(), Some(&moved), "{scope:?}");
        assert_eq!(history(&storage, scope, 1).await, [3, 4]);
    }
    assert_eq!(history(&storage, EVERYBODYS, 1).await, [1, 2, 3, 4]);
    assert_eq!(storage.devices.find_ended_code(code(1)).await.unwrap().as_ref(), step.ended_code());
}

/// The events of a device come page by page.
pub async fn events_of_a_device_come_in_pages(storage: Storage) {
    stocked(&storage).await;
    let mut device = found(&storage, &id(1)).await;
    for number in 1..=6 {
        device = keep(&storage, issued(device, number, 1)).await;
    }
    for (after, limit, expected) in [(0, 3, vec![1, 2, 3]), (3, 3, vec![4, 5, 6]), (6, 3, vec![7]), (7, 3, vec![])] {
        for scope in [EVERYBODYS, of_merchant(1), of_reseller(1)] {
            let history = History { scope, device_id: id(1), after, limit };
            let events = storage.events.events_of(&history).await.unwrap();
            let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
            assert_eq!(sequences, expected, "{limit} after {after}");
        }
    }
    let none = History { limit: 0, ..History::whole(&id(1)) };
    assert_eq!(storage.events.events_of(&none).await.unwrap(), []);
}

fn in_state(scope: Scope, status: DeviceStatus) -> DevicePage {
    DevicePage { status: Some(status), ..DevicePage::first(scope, 100) }
}

/// A page may ask for one state, and holds the devices in it, in the order of their ids.
pub async fn a_page_can_be_of_one_state(storage: Storage) {
    for number in 1..=8 {
        let device = waiting(&storage, number, number).await;
        let claim = |device: Device| device.claim(code(number), &claimant(), context(), at(2)).unwrap();
        match number % 4 {
            0 => {}
            1 => drop(keep(&storage, claim(device)).await),
            2 => {
                let claimed = keep(&storage, claim(device)).await;
                keep(&storage, claimed.activate(context(), at(3)).unwrap()).await;
            }
            _ => drop(keep(&storage, device.decommission(Act::operator(), at(2)).unwrap()).await),
        }
    }
    let table = [
        (DeviceStatus::Inactive, [4, 8]),
        (DeviceStatus::Claimed, [1, 5]),
        (DeviceStatus::Activated, [2, 6]),
        (DeviceStatus::Decommissioned, [3, 7]),
    ];
    for (status, numbers) in table {
        assert_eq!(listed(&storage, &in_state(EVERYBODYS, status)).await, ids(&numbers), "{status:?}");
        assert_eq!(listed(&storage, &in_state(of_merchant(1), status)).await, ids(&numbers), "{status:?}");
        assert_eq!(listed(&storage, &in_state(of_merchant(2), status)).await, [], "{status:?}");
        let second = DevicePage { after: Some(id(numbers[0])), limit: 1, ..in_state(EVERYBODYS, status) };
        assert_eq!(listed(&storage, &second).await, ids(&numbers[1..]), "{status:?}");
    }
}

/// A page may ask for one location or merchant; neither shows what the scope does not.
pub async fn a_page_can_be_of_one_location(storage: Storage) {
    populated(&storage).await;
    let (one, two, theirs) = (placed(&storage, 1, 1).await, placed(&storage, 2, 1).await, placed(&storage, 3, 3).await);
    let owners: [(u32, u8, _); 7] = [
        (1, 1, Some(one)),
        (2, 1, Some(two)),
        (3, 1, None),
        (4, 1, Some(one)),
        (5, 2, None),
        (6, 3, Some(theirs)),
        (7, 1, Some(one)),
    ];
    for (number, owner, location_id) in owners {
        created(&storage, number, merchant(owner), DeviceDetails { label: None, location_id }).await;
    }
    let page = |scope: Scope, merchant_id: Option<MerchantId>, location_id| DevicePage {
        merchant_id,
        location_id,
        ..DevicePage::first(scope, 100)
    };
    let table: [(DevicePage, &[u32]); 10] = [
        (page(EVERYBODYS, None, Some(one)), &[1, 4, 7]),
        (page(EVERYBODYS, None, Some(spot(9))), &[]),
        (page(of_merchant(1), None, Some(one)), &[1, 4, 7]),
        (page(of_merchant(1), Some(merchant(1)), Some(two)), &[2]),
        (page(of_merchant(1), None, Some(theirs)), &[]),
        (page(of_merchant(1), Some(merchant(3)), None), &[]),
        (page(of_reseller(1), Some(merchant(2)), None), &[5]),
        (page(of_reseller(1), None, None), &[1, 2, 3, 4, 5, 7]),
        (page(of_reseller(1), None, Some(theirs)), &[]),
        (page(of_reseller(2), Some(merchant(3)), Some(theirs)), &[6]),
    ];
    for (page, numbers) in table {
        assert_eq!(listed(&storage, &page).await, ids(numbers), "{page:?}");
        for limit in [1, 2] {
            let (mut all, mut page) = (Vec::new(), DevicePage { limit, ..page.clone() });
            loop {
                let some = listed(&storage, &page).await;
                assert!(some.len() <= limit as usize);
                let Some(last) = some.last() else { break };
                page.after = Some(last.clone());
                all.extend(some);
            }
            assert_eq!(all, ids(numbers), "pages of {limit}: {page:?}");
        }
    }
}

/// What people keep of a device is read back in every state, the longest label too, and can be taken away.
pub async fn details_are_read_back_in_every_state(storage: Storage) {
    populated(&storage).await;
    let long = DeviceDetails { label: label(&"№".repeat(200)), location_id: Some(placed(&storage, 1, 1).await) };
    let mut device = created(&storage, 1, merchant(1), long.clone()).await;
    let steps: [fn(Device) -> pos_domain::Transition; 5] = [
        |device| issued(device, 1, 1),
        |device| device.claim(code(1), &claimant(), context(), at(2)).unwrap(),
        |device| device.activate(context(), at(3)).unwrap(),
        |device| device.release(Act::operator(), at(4)).unwrap(),
        |device| device.decommission(Act::operator(), at(5)).unwrap(),
    ];
    assert_eq!(found(&storage, &id(1)).await.details(), &long);
    for step in steps {
        device = keep(&storage, step(device)).await;
        assert_eq!(device.details(), &long, "{:?}", device.status());
    }
    let other = DeviceDetails { label: label("Till"), location_id: Some(placed(&storage, 2, 1).await) };
    let table = [other.clone(), DeviceDetails { label: None, ..other }, DeviceDetails::default(), long];
    let mut device = created(&storage, 2, merchant(1), DeviceDetails::default()).await;
    for details in table {
        device = keep(&storage, device.amend(details.clone(), Act::operator(), at(9)).unwrap()).await;
        assert_eq!(device.details(), &details);
    }
}

/// A location that is not the device's merchant's, or not there, is refused, after a conflict and a taken code.
pub async fn a_location_elsewhere_is_refused(storage: Storage) {
    populated(&storage).await;
    let (own, theirs) = (placed(&storage, 1, 1).await, placed(&storage, 2, 2).await);
    waiting(&storage, 1, 1).await;
    let device = provisioned(&storage, 2).await;
    for (location, scope) in
        [(theirs, EVERYBODYS), (spot(9), EVERYBODYS), (theirs, of_merchant(1)), (spot(9), of_reseller(1))]
    {
        let details = DeviceDetails { label: None, location_id: Some(location) };
        let amend = |device: Device| device.amend(details.clone(), Act::operator(), at(2)).unwrap();
        let refused = storage.fleet.save(scope, &amend(device.clone())).await;
        assert!(matches!(refused, Err(SaveError::UnknownLocation)), "{scope:?}: {refused:?}");
        assert!(matches!(storage.devices.save(&amend(device.clone())).await, Err(SaveError::UnknownLocation)));
        assert_eq!(found(&storage, &id(2)).await, device);
        assert_eq!(history(&storage, EVERYBODYS, 2).await, [1]);
        let as_if = |details| Device::restore(pos_domain::DeviceRecord { details, ..device.record() }).unwrap();
        let taken = issued(as_if(details.clone()), 1, 3);
        assert!(matches!(storage.fleet.save(scope, &taken).await, Err(SaveError::CodeTaken)), "{scope:?}");
        let ahead = amend(issued(device.clone(), 2, 2).into_device());
        assert!(matches!(storage.fleet.save(scope, &ahead).await, Err(SaveError::Conflict)), "{scope:?}");
    }
    let details = DeviceDetails { label: None, location_id: Some(own) };
    keep(&storage, device.amend(details, Act::operator(), at(4)).unwrap()).await;
}

/// A device belongs to a merchant that is there: none is created for another, and none is moved to one, by whatever way.
pub async fn a_merchant_without_a_row_has_no_device(storage: Storage) {
    let device = provisioned(&storage, 1).await;
    let moved = device.move_to(merchant(9), Act::operator(), at(2)).unwrap();
    assert!(matches!(storage.devices.save(&moved).await, Err(SaveError::UnknownMerchant)));
    assert!(matches!(storage.fleet.save(EVERYBODYS, &moved).await, Err(SaveError::UnknownMerchant)));
    for scope in [of_merchant(1), of_merchant(9)] {
        assert!(matches!(storage.fleet.save(scope, &moved).await, Err(SaveError::Conflict)), "{scope:?}");
    }
    assert_eq!(found(&storage, &id(1)).await.version(), 1, "nothing of it is kept");
    let new = Device::provision(id(2), merchant(9), DeviceDetails::default(), Act::operator(), at(0));
    for scope in [EVERYBODYS, of_merchant(9), of_reseller(1)] {
        let refused = storage.fleet.create(scope, std::slice::from_ref(&new), None).await;
        assert!(matches!(refused, Err(CreateDevicesError::UnknownMerchant)), "{scope:?}: {refused:?}");
    }
    with_merchant(&storage, merchant(9)).await;
    storage.devices.save(&moved).await.unwrap();
    assert_eq!(found(&storage, &id(1)).await.merchant_id(), merchant(9));
}
