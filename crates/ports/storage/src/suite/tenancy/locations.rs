//! Contract cases: locations and their audit events.

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{AuditContext, LocationId, Name, Party, Scope};
use pos_domain::tenancy::Location;

use crate::Storage;
use crate::shared::TimeRange;
use crate::suite::fixtures::{at, merchant};
use crate::suite::fleet::creation::{idempotency, stored_response};
use crate::suite::tenancy::fixtures::{populated, reseller};
use crate::tenancy::{AddLocationError, LocationPage};

pub(crate) fn location_id(number: u8) -> LocationId {
    LocationId(format!("0c0c0c0c-0000-4000-8000-0000000000{number:02x}").parse().unwrap())
}

fn location(number: u8, owner: u8) -> Location {
    let name = Name::parse(&format!("Platz № {number}")).unwrap();
    Location { id: location_id(number), merchant_id: merchant(owner), name, created_at: at(3) }
}

fn audit_event(kind: AuditKind, number: u8) -> AuditEvent {
    AuditEvent::of(kind, Subject::Location(location_id(number)), AuditContext::operator(), at(4))
        .with("name", "Platz № 1")
}

async fn add(storage: &Storage, scope: Scope, location: &Location) -> Result<(), AddLocationError> {
    let subject = Some(Subject::Location(location.id));
    let audit = AuditEvent { subject, ..audit_event(AuditKind::LocationAdded, 0) };
    storage.locations.add_location(scope, location, None, &audit).await
}

/// Creates a location of a merchant.
pub(crate) async fn with_location(storage: &Storage, number: u8, owner: u8) -> LocationId {
    add(storage, Scope::Operator, &location(number, owner)).await.unwrap();
    location_id(number)
}

/// Returns the audit events of locations: kind and subject.
async fn location_events(storage: &Storage) -> Vec<(AuditKind, Subject)> {
    let all = TimeRange { limit: 1_000, ..TimeRange::default() };
    let events = storage.trail.audit_by_time(&all, None).await.unwrap().into_iter().map(|stored| stored.event);
    let of_locations = |kind| matches!(kind, AuditKind::LocationAdded | AuditKind::LocationUpdated);
    events.filter(|event| of_locations(event.kind)).map(|event| (event.kind, event.subject.unwrap())).collect()
}

/// Scopes and the locations 1 to 4 in them; each location belongs to the merchant with its number.
fn scopes() -> [(Scope, &'static [u8]); 8] {
    [
        (Scope::Operator, &[1, 2, 3, 4]),
        (Scope::Of(Party::Merchant(merchant(1))), &[1]),
        (Scope::Of(Party::Merchant(merchant(4))), &[4]),
        (Scope::Of(Party::Merchant(merchant(9))), &[]),
        (Scope::Of(Party::Reseller(reseller(1))), &[1, 2]),
        (Scope::Of(Party::Reseller(reseller(2))), &[3]),
        (Scope::Of(Party::Reseller(reseller(9))), &[]),
        // The id of a merchant, which is not the id of a reseller.
        (Scope::Of(Party::Reseller(pos_domain::shared::ResellerId(merchant(1).0))), &[]),
    ]
}

/// A location is created once, if its merchant is in scope; a refused call stores nothing.
pub async fn a_location_is_created_once(storage: Storage) {
    populated(&storage).await;
    let own = Scope::Of(Party::Merchant(merchant(1)));
    add(&storage, own, &location(1, 1)).await.unwrap();
    assert_eq!(storage.locations.find_location(own, location_id(1)).await.unwrap(), Some(location(1, 1)));
    let again = add(&storage, Scope::Operator, &Location { created_at: at(9), ..location(1, 2) }).await;
    assert!(matches!(again, Err(AddLocationError::Taken)), "{again:?}");
    let unseen: [(Scope, u8); 5] = [
        (own, 2),
        (own, 9),
        (Scope::Of(Party::Reseller(reseller(2))), 1),
        (Scope::Of(Party::Merchant(merchant(9))), 9),
        (Scope::Operator, 9),
    ];
    for (scope, owner) in unseen {
        for number in [1, 5] {
            let refused = add(&storage, scope, &location(number, owner)).await;
            assert!(matches!(refused, Err(AddLocationError::UnknownMerchant)), "{scope:?}, {owner}: {refused:?}");
        }
    }
    assert_eq!(storage.locations.find_location(Scope::Operator, location_id(1)).await.unwrap(), Some(location(1, 1)));
    assert_eq!(storage.locations.find_location(Scope::Operator, location_id(5)).await.unwrap(), None);
    assert_eq!(location_events(&storage).await, [(AuditKind::LocationAdded, Subject::Location(location_id(1)))]);
    add(&storage, Scope::Of(Party::Reseller(reseller(1))), &location(6, 2)).await.unwrap();
}

/// An idempotency key applies to locations too: it takes precedence over other errors, and a refused request stores
/// none.
pub async fn a_location_is_created_once_per_key(storage: Storage) {
    populated(&storage).await;
    let idempotency = idempotency("key", Party::Merchant(merchant(1)), "first");
    let added = async |number, owner| {
        let audit = audit_event(AuditKind::LocationAdded, number);
        storage.locations.add_location(Scope::Operator, &location(number, owner), Some(&idempotency), &audit).await
    };
    with_location(&storage, 1, 1).await;
    for (number, owner) in [(1, 1), (2, 9)] {
        let refused = added(number, owner).await;
        assert!(matches!(refused, Err(AddLocationError::Taken | AddLocationError::UnknownMerchant)), "{refused:?}");
        assert_eq!(stored_response(&storage, &idempotency).await, None);
    }
    added(2, 1).await.unwrap();
    assert_eq!(stored_response(&storage, &idempotency).await.as_deref(), Some("first"));
    for (number, owner) in [(2, 1), (3, 1), (3, 9)] {
        match added(number, owner).await {
            Err(AddLocationError::Answered(stored)) => assert_eq!(stored.answer, "first"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(storage.locations.find_location(Scope::Operator, location_id(3)).await.unwrap(), None);
    let expected = [1, 2].map(|number| (AuditKind::LocationAdded, Subject::Location(location_id(number))));
    assert_eq!(location_events(&storage).await, expected);
}

/// The audit event of a location is read back intact.
pub async fn the_audit_event_of_a_location_is_read_back(storage: Storage) {
    populated(&storage).await;
    let by = crate::suite::fixtures::context().with_actor(pos_domain::shared::Actor::IdentityProvider);
    let audit = AuditEvent { audit_context: by, ..audit_event(AuditKind::LocationAdded, 1) }.for_merchant(merchant(1));
    storage.locations.add_location(Scope::Operator, &location(1, 1), None, &audit).await.unwrap();
    let all = TimeRange { limit: 1_000, ..TimeRange::default() };
    let events = storage.trail.audit_by_time(&all, None).await.unwrap();
    assert_eq!(events.last().map(|stored| &stored.event), Some(&audit));
}

/// A location in scope can be renamed, which is audited; other callers change and store nothing.
pub async fn a_location_is_renamed_within_a_scope(storage: Storage) {
    populated(&storage).await;
    for number in 1..=4 {
        with_location(&storage, number, number).await;
    }
    let mut recorded = location_events(&storage).await;
    for (turn, (scope, seen)) in scopes().into_iter().enumerate() {
        for number in 1..=5 {
            let before = storage.locations.find_location(Scope::Operator, location_id(number)).await.unwrap();
            let name = Name::parse(&format!("{} {turn}", "é".repeat(190))).unwrap();
            let audit = audit_event(AuditKind::LocationUpdated, number);
            let renamed = storage.locations.rename_location(scope, location_id(number), &name, &audit).await.unwrap();
            let sees = seen.contains(&number);
            assert_eq!(renamed, sees.then(|| Location { name, ..location(number, number) }), "{scope:?}, {number}");
            let after = storage.locations.find_location(Scope::Operator, location_id(number)).await.unwrap();
            assert_eq!(after, if sees { renamed } else { before }, "{scope:?}, {number}");
            recorded.extend(sees.then(|| (AuditKind::LocationUpdated, Subject::Location(location_id(number)))));
        }
    }
    assert_eq!(location_events(&storage).await, recorded);
}

/// A scope finds only its own merchants' locations, by id and in lists, page by page.
pub async fn locations_are_found_and_listed_by_scope(storage: Storage) {
    populated(&storage).await;
    for number in [3, 1, 4, 2] {
        with_location(&storage, number, number).await;
    }
    let listed = async |page: LocationPage| -> Vec<LocationId> {
        storage.locations.list_locations(&page).await.unwrap().into_iter().map(|location| location.id).collect()
    };
    for (scope, seen) in scopes() {
        let all: Vec<LocationId> = seen.iter().map(|number| location_id(*number)).collect();
        let page = LocationPage { scope, merchant_id: None, after: None, limit: 100 };
        assert_eq!(listed(page).await, all, "{scope:?}");
        assert_eq!(listed(LocationPage { limit: 1, ..page }).await, all[..all.len().min(1)], "{scope:?}");
        let later: Vec<LocationId> = all.iter().copied().filter(|id| *id > location_id(1)).collect();
        assert_eq!(listed(LocationPage { after: Some(location_id(1)), ..page }).await, later, "{scope:?}");
        for number in 1..=5 {
            let sees = seen.contains(&number);
            let found = storage.locations.find_location(scope, location_id(number)).await.unwrap();
            assert_eq!(found, sees.then(|| location(number, number)), "{scope:?} and location {number}");
            let theirs = listed(LocationPage { merchant_id: Some(merchant(number)), ..page }).await;
            let expected = if sees { vec![location_id(number)] } else { Vec::new() };
            assert_eq!(theirs, expected, "{scope:?} and merchant {number}");
        }
    }
}
