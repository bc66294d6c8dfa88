//! Contract cases: devices filtered by scope, transfer, details and paging.

use pos_domain::device::{Device, DeviceDetails, DeviceStatus};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, Name, Party, Scope};

use crate::Storage;
use crate::device::DeviceHistory;
use crate::fleet::{CreateDevicesError, DevicePage};
use crate::shared::SaveError;
use crate::suite::fixtures::{
    at, claimant, code, context, created, id, issued, load, merchant, pending, provisioned, save,
};
use crate::suite::tenancy::fixtures::{populated, reseller, with_merchant};
use crate::suite::tenancy::locations::{location_id, with_location};

const OPERATOR: Scope = Scope::Operator;

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
    let history = DeviceHistory { scope, ..DeviceHistory::whole(&id(number)) };
    storage.events.events_of(&history).await.unwrap().iter().map(|event| event.sequence).collect()
}

fn ids(numbers: &[u32]) -> Vec<DeviceId> {
    numbers.iter().map(|number| id(*number)).collect()
}

/// Devices 1 to 4 belong to the merchants with their numbers; device 5 belongs to merchant 9, which has no reseller.
async fn with_devices(storage: &Storage) {
    populated(storage).await;
    for (number, owner) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 9)] {
        created(storage, number, merchant(owner), DeviceDetails::default()).await;
    }
}

/// A scope finds, lists, saves and reads the events of its own devices, and of no others.
pub async fn a_scope_reaches_its_own_devices_only(storage: Storage) {
    with_devices(&storage).await;
    let table: [(Scope, &[u32]); 9] = [
        (OPERATOR, &[1, 2, 3, 4, 5]),
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
            let device = load(&storage, &id(number)).await;
            let visible = storage.fleet.find(scope, &id(number)).await.unwrap();
            assert_eq!(visible, sees.then(|| device.clone()), "{scope:?} finds {number}");
            assert_eq!(!history(&storage, scope, number).await.is_empty(), sees, "{scope:?} reads {number}");
            let transition = issued(device.clone(), codes.next().unwrap(), 1);
            match storage.fleet.save(scope, &transition).await {
                Ok(()) if sees => assert_eq!(&load(&storage, &id(number)).await, transition.device()),
                Err(SaveError::Conflict) if !sees => assert_eq!(load(&storage, &id(number)).await, device),
                other => panic!("{scope:?} saves {number}: {other:?}"),
            }
        }
    }
}

/// An unknown device is not found in any scope and cannot be created by saving it.
pub async fn an_unknown_device_is_not_found_in_any_scope(storage: Storage) {
    with_devices(&storage).await;
    let never = issued(crate::suite::fixtures::new(77).into_device(), 1, 1);
    for scope in [OPERATOR, of_merchant(1), of_reseller(1)] {
        assert_eq!(storage.fleet.find(scope, &id(77)).await.unwrap(), None);
        assert!(matches!(storage.fleet.save(scope, &never).await, Err(SaveError::Conflict)), "{scope:?}");
        assert_eq!(history(&storage, scope, 77).await, []);
    }
}

/// Saving with a scope has the refusals of saving, and then stores nothing.
pub async fn a_scoped_save_has_the_same_refusals(storage: Storage) {
    with_devices(&storage).await;
    let device = load(&storage, &id(1)).await;
    let stale = issued(device.clone(), 1, 1);
    let current = save(&storage, issued(device, 2, 2)).await;
    for scope in [of_merchant(1), of_reseller(1)] {
        assert!(matches!(storage.fleet.save(scope, &stale).await, Err(SaveError::Conflict)), "{scope:?}");
        let taken = issued(load(&storage, &id(2)).await, 2, 3);
        assert!(matches!(storage.fleet.save(of_reseller(1), &taken).await, Err(SaveError::CodeTaken)), "{scope:?}");
    }
    assert_eq!(load(&storage, &id(1)).await, current);
    let superseded = issued(current, 3, 4);
    storage.fleet.save(of_merchant(1), &superseded).await.unwrap();
    assert_eq!(storage.devices.find_past_code(code(2)).await.unwrap().as_ref(), superseded.past_code());
    assert_eq!(history(&storage, of_merchant(1), 1).await, [1, 2, 3]);
}

/// A transfer needs both merchants in scope; otherwise the device is unchanged.
pub async fn a_transfer_needs_both_merchants_in_scope(storage: Storage) {
    with_devices(&storage).await;
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
        let device = load(&storage, &id(number)).await;
        let transition = device.clone().transfer_to(merchant(to), AuditContext::operator(), at(1)).unwrap();
        let refused = storage.fleet.save(scope, &transition).await;
        assert!(matches!(refused, Err(SaveError::Conflict)), "{scope:?}, {number} to {to}: {refused:?}");
        assert_eq!(load(&storage, &id(number)).await, device);
    }
    for (scope, number, to) in [(of_reseller(1), 1, 2), (OPERATOR, 1, 3), (OPERATOR, 1, 9)] {
        let transition =
            load(&storage, &id(number)).await.transfer_to(merchant(to), AuditContext::operator(), at(1)).unwrap();
        storage.fleet.save(scope, &transition).await.unwrap();
        assert_eq!(&load(&storage, &id(number)).await, transition.device());
    }
}

/// After a transfer the former merchant does not find the device, and the new one sees only later events.
pub async fn a_transferred_device_is_hidden_from_its_former_merchant(storage: Storage) {
    populated(&storage).await;
    let details = DeviceDetails { label: label("Till 1"), location_id: Some(with_location(&storage, 1, 1).await) };
    let device = created(&storage, 1, merchant(1), details).await;
    let device = save(&storage, issued(device, 1, 1)).await;
    let transition = device.transfer_to(merchant(3), AuditContext::operator(), at(2)).unwrap();
    storage.fleet.save(OPERATOR, &transition).await.unwrap();
    let transferred = save(&storage, issued(transition.device().clone(), 2, 3)).await;
    assert_eq!((transferred.merchant_id(), transferred.details()), (merchant(3), &DeviceDetails::default()));
    for scope in [of_merchant(1), of_reseller(1)] {
        assert_eq!(storage.fleet.find(scope, &id(1)).await.unwrap(), None, "{scope:?}");
        assert_eq!(listed(&storage, &DevicePage::first(scope, 10)).await, []);
        assert_eq!(history(&storage, scope, 1).await, [1, 2], "its earlier events stay visible to its former merchant");
        let late = issued(transferred.clone(), 4, 4);
        assert!(matches!(storage.fleet.save(scope, &late).await, Err(SaveError::Conflict)), "{scope:?}");
    }
    for scope in [of_merchant(3), of_reseller(2)] {
        assert_eq!(storage.fleet.find(scope, &id(1)).await.unwrap().as_ref(), Some(&transferred), "{scope:?}");
        assert_eq!(history(&storage, scope, 1).await, [3, 4]);
    }
    assert_eq!(history(&storage, OPERATOR, 1).await, [1, 2, 3, 4]);
    assert_eq!(storage.devices.find_past_code(code(1)).await.unwrap().as_ref(), transition.past_code());
}

/// The events of a device are read page by page.
pub async fn events_of_a_device_are_paged(storage: Storage) {
    with_devices(&storage).await;
    let mut device = load(&storage, &id(1)).await;
    for number in 1..=6 {
        device = save(&storage, issued(device, number, 1)).await;
    }
    for (after, limit, expected) in [(0, 3, vec![1, 2, 3]), (3, 3, vec![4, 5, 6]), (6, 3, vec![7]), (7, 3, vec![])] {
        for scope in [OPERATOR, of_merchant(1), of_reseller(1)] {
            let history = DeviceHistory { scope, device_id: id(1), after, limit };
            let events = storage.events.events_of(&history).await.unwrap();
            let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
            assert_eq!(sequences, expected, "{limit} after {after}");
        }
    }
    let none = DeviceHistory { limit: 0, ..DeviceHistory::whole(&id(1)) };
    assert_eq!(storage.events.events_of(&none).await.unwrap(), []);
}

fn in_state(scope: Scope, status: DeviceStatus) -> DevicePage {
    DevicePage { status: Some(status), ..DevicePage::first(scope, 100) }
}

/// A page can be filtered by status and is in the order of ids.
pub async fn a_page_can_be_filtered_by_status(storage: Storage) {
    for number in 1..=8 {
        let device = pending(&storage, number, number).await;
        let claim = |device: Device| device.claim(code(number), &claimant(), context(), at(2)).unwrap();
        match number % 4 {
            0 => {}
            1 => drop(save(&storage, claim(device)).await),
            2 => {
                let claimed = save(&storage, claim(device)).await;
                save(&storage, claimed.activate(context(), at(3)).unwrap()).await;
            }
            _ => drop(save(&storage, device.decommission(AuditContext::operator(), at(2)).unwrap()).await),
        }
    }
    let table = [
        (DeviceStatus::Inactive, [4, 8]),
        (DeviceStatus::Claimed, [1, 5]),
        (DeviceStatus::Activated, [2, 6]),
        (DeviceStatus::Decommissioned, [3, 7]),
    ];
    for (status, numbers) in table {
        assert_eq!(listed(&storage, &in_state(OPERATOR, status)).await, ids(&numbers), "{status:?}");
        assert_eq!(listed(&storage, &in_state(of_merchant(1), status)).await, ids(&numbers), "{status:?}");
        assert_eq!(listed(&storage, &in_state(of_merchant(2), status)).await, [], "{status:?}");
        let second = DevicePage { after: Some(id(numbers[0])), limit: 1, ..in_state(OPERATOR, status) };
        assert_eq!(listed(&storage, &second).await, ids(&numbers[1..]), "{status:?}");
    }
}

/// A page can be filtered by location and merchant; neither shows devices out of scope.
pub async fn a_page_can_be_filtered_by_location(storage: Storage) {
    populated(&storage).await;
    let (one, two) = (with_location(&storage, 1, 1).await, with_location(&storage, 2, 1).await);
    let foreign = with_location(&storage, 3, 3).await;
    let owners: [(u32, u8, _); 7] = [
        (1, 1, Some(one)),
        (2, 1, Some(two)),
        (3, 1, None),
        (4, 1, Some(one)),
        (5, 2, None),
        (6, 3, Some(foreign)),
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
        (page(OPERATOR, None, Some(one)), &[1, 4, 7]),
        (page(OPERATOR, None, Some(location_id(9))), &[]),
        (page(of_merchant(1), None, Some(one)), &[1, 4, 7]),
        (page(of_merchant(1), Some(merchant(1)), Some(two)), &[2]),
        (page(of_merchant(1), None, Some(foreign)), &[]),
        (page(of_merchant(1), Some(merchant(3)), None), &[]),
        (page(of_reseller(1), Some(merchant(2)), None), &[5]),
        (page(of_reseller(1), None, None), &[1, 2, 3, 4, 5, 7]),
        (page(of_reseller(1), None, Some(foreign)), &[]),
        (page(of_reseller(2), Some(merchant(3)), Some(foreign)), &[6]),
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

/// Details are read back in every state, including the longest label, and can be removed.
pub async fn details_are_read_back_in_every_state(storage: Storage) {
    populated(&storage).await;
    let long =
        DeviceDetails { label: label(&"№".repeat(200)), location_id: Some(with_location(&storage, 1, 1).await) };
    let mut device = created(&storage, 1, merchant(1), long.clone()).await;
    let steps: [fn(Device) -> pos_domain::device::Transition; 5] = [
        |device| issued(device, 1, 1),
        |device| device.claim(code(1), &claimant(), context(), at(2)).unwrap(),
        |device| device.activate(context(), at(3)).unwrap(),
        |device| device.release(AuditContext::operator(), at(4)).unwrap(),
        |device| device.decommission(AuditContext::operator(), at(5)).unwrap(),
    ];
    assert_eq!(load(&storage, &id(1)).await.details(), &long);
    for step in steps {
        device = save(&storage, step(device)).await;
        assert_eq!(device.details(), &long, "{:?}", device.status());
    }
    let other = DeviceDetails { label: label("Till"), location_id: Some(with_location(&storage, 2, 1).await) };
    let table = [other.clone(), DeviceDetails { label: None, ..other }, DeviceDetails::default(), long];
    let mut device = created(&storage, 2, merchant(1), DeviceDetails::default()).await;
    for details in table {
        device = save(&storage, device.update(details.clone(), AuditContext::operator(), at(9)).unwrap()).await;
        assert_eq!(device.details(), &details);
    }
}

/// An unknown location or one of another merchant is refused; a conflict and a taken code take precedence.
pub async fn a_location_of_another_merchant_is_refused(storage: Storage) {
    populated(&storage).await;
    let (own, foreign) = (with_location(&storage, 1, 1).await, with_location(&storage, 2, 2).await);
    pending(&storage, 1, 1).await;
    let device = provisioned(&storage, 2).await;
    for (location, scope) in
        [(foreign, OPERATOR), (location_id(9), OPERATOR), (foreign, of_merchant(1)), (location_id(9), of_reseller(1))]
    {
        let details = DeviceDetails { label: None, location_id: Some(location) };
        let update = |device: Device| device.update(details.clone(), AuditContext::operator(), at(2)).unwrap();
        let refused = storage.fleet.save(scope, &update(device.clone())).await;
        assert!(matches!(refused, Err(SaveError::UnknownLocation)), "{scope:?}: {refused:?}");
        assert!(matches!(storage.devices.save(&update(device.clone())).await, Err(SaveError::UnknownLocation)));
        assert_eq!(load(&storage, &id(2)).await, device);
        assert_eq!(history(&storage, OPERATOR, 2).await, [1]);
        let as_if = |details| Device::restore(pos_domain::device::DeviceRecord { details, ..device.record() }).unwrap();
        let taken = issued(as_if(details.clone()), 1, 3);
        assert!(matches!(storage.fleet.save(scope, &taken).await, Err(SaveError::CodeTaken)), "{scope:?}");
        let ahead = update(issued(device.clone(), 2, 2).into_device());
        assert!(matches!(storage.fleet.save(scope, &ahead).await, Err(SaveError::Conflict)), "{scope:?}");
    }
    let details = DeviceDetails { label: None, location_id: Some(own) };
    save(&storage, device.update(details, AuditContext::operator(), at(4)).unwrap()).await;
}

/// A device's merchant must exist: no device is created for or transferred to an unknown one, by any method.
pub async fn a_merchant_without_a_row_has_no_device(storage: Storage) {
    let device = provisioned(&storage, 1).await;
    let transferred = device.transfer_to(merchant(9), AuditContext::operator(), at(2)).unwrap();
    assert!(matches!(storage.devices.save(&transferred).await, Err(SaveError::UnknownMerchant)));
    assert!(matches!(storage.fleet.save(OPERATOR, &transferred).await, Err(SaveError::UnknownMerchant)));
    for scope in [of_merchant(1), of_merchant(9)] {
        assert!(matches!(storage.fleet.save(scope, &transferred).await, Err(SaveError::Conflict)), "{scope:?}");
    }
    assert_eq!(load(&storage, &id(1)).await.version(), 1, "nothing was saved");
    let new = Device::provision(id(2), merchant(9), DeviceDetails::default(), AuditContext::operator(), at(0));
    for scope in [OPERATOR, of_merchant(9), of_reseller(1)] {
        let refused = storage.fleet.create(scope, std::slice::from_ref(&new), None).await;
        assert!(matches!(refused, Err(CreateDevicesError::UnknownMerchant)), "{scope:?}: {refused:?}");
    }
    with_merchant(&storage, merchant(9)).await;
    storage.devices.save(&transferred).await.unwrap();
    assert_eq!(load(&storage, &id(1)).await.merchant_id(), merchant(9));
}
