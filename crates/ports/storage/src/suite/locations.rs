//! Places where terminals stand, and what is on record of them.

use pos_domain::{Act, AuditEvent, AuditKind, Location, LocationId, Name, Party, Scope, Subject};

use super::creation::{kept, once};
use super::fixtures::{at, merchant};
use super::tenancy::{populated, reseller};
use crate::{AddLocationError, LocationPage, Span, Storage};

pub(super) fn spot(number: u8) -> LocationId {
    LocationId(format!("0c0c0c0c-0000-4000-8000-0000000000{number:02x}").parse().unwrap())
}

fn location(number: u8, owner: u8) -> Location {
    let name = Name::parse(&format!("Platz № {number}")).unwrap();
    Location { id: spot(number), merchant_id: merchant(owner), name, created_at: at(3) }
}

fn told(kind: AuditKind, number: u8) -> AuditEvent {
    AuditEvent::of(kind, Subject::Location(spot(number)), Act::operator(), at(4)).with("name", "Platz № 1")
}

async fn add(storage: &Storage, scope: Scope, location: &Location) -> Result<(), AddLocationError> {
    let told = AuditEvent { subject: Some(Subject::Location(location.id)), ..told(AuditKind::LocationAdded, 0) };
    storage.locations.add_location(scope, location, None, &told).await
}

/// A location of a merchant, kept.
pub(super) async fn placed(storage: &Storage, number: u8, owner: u8) -> LocationId {
    add(storage, Scope::Operator, &location(number, owner)).await.unwrap();
    spot(number)
}

/// What is on record of locations: what was done, and to which.
async fn on_record(storage: &Storage) -> Vec<(AuditKind, Subject)> {
    let all = Span { limit: 1_000, ..Span::default() };
    let events = storage.events.audit_by_time(&all, None).await.unwrap().into_iter().map(|kept| kept.event);
    let of_locations = |kind| matches!(kind, AuditKind::LocationAdded | AuditKind::LocationAmended);
    events.filter(|event| of_locations(event.kind)).map(|event| (event.kind, event.subject.unwrap())).collect()
}

/// Operators, merchants and resellers by whom each of the locations 1 to 4 is seen: its merchant has its number.
fn scopes() -> [(Scope, &'static [u8]); 8] {
    [
        (Scope::Operator, &[1, 2, 3, 4]),
        (Scope::Of(Party::Merchant(merchant(1))), &[1]),
        (Scope::Of(Party::Merchant(merchant(4))), &[4]),
        (Scope::Of(Party::Merchant(merchant(9))), &[]),
        (Scope::Of(Party::Reseller(reseller(1))), &[1, 2]),
        (Scope::Of(Party::Reseller(reseller(2))), &[3]),
        (Scope::Of(Party::Reseller(reseller(9))), &[]),
        // The id of a merchant, which is no reseller's.
        (Scope::Of(Party::Reseller(pos_domain::ResellerId(merchant(1).0))), &[]),
    ]
}

/// A location is made known once, by those who see its merchant; nothing else is kept or goes on record.
pub async fn a_location_is_made_known_once(storage: Storage) {
    populated(&storage).await;
    let own = Scope::Of(Party::Merchant(merchant(1)));
    add(&storage, own, &location(1, 1)).await.unwrap();
    assert_eq!(storage.locations.find_location(own, spot(1)).await.unwrap(), Some(location(1, 1)));
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
    assert_eq!(storage.locations.find_location(Scope::Operator, spot(1)).await.unwrap(), Some(location(1, 1)));
    assert_eq!(storage.locations.find_location(Scope::Operator, spot(5)).await.unwrap(), None);
    assert_eq!(on_record(&storage).await, [(AuditKind::LocationAdded, Subject::Location(spot(1)))]);
    add(&storage, Scope::Of(Party::Reseller(reseller(1))), &location(6, 2)).await.unwrap();
}

/// A key of a creating call holds for locations too: it is answered before anything else, and a refused call keeps none.
pub async fn a_location_is_made_known_once_by_its_key(storage: Storage) {
    populated(&storage).await;
    let once = once("key", Party::Merchant(merchant(1)), "first");
    let added = async |number, owner| {
        let told = told(AuditKind::LocationAdded, number);
        storage.locations.add_location(Scope::Operator, &location(number, owner), Some(&once), &told).await
    };
    placed(&storage, 1, 1).await;
    for (number, owner) in [(1, 1), (2, 9)] {
        let refused = added(number, owner).await;
        assert!(matches!(refused, Err(AddLocationError::Taken | AddLocationError::UnknownMerchant)), "{refused:?}");
        assert_eq!(kept(&storage, &once).await, None);
    }
    added(2, 1).await.unwrap();
    assert_eq!(kept(&storage, &once).await.as_deref(), Some("first"));
    for (number, owner) in [(2, 1), (3, 1), (3, 9)] {
        match added(number, owner).await {
            Err(AddLocationError::Answered(told)) => assert_eq!(told.answer, "first"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(storage.locations.find_location(Scope::Operator, spot(3)).await.unwrap(), None);
    let expected = [1, 2].map(|number| (AuditKind::LocationAdded, Subject::Location(spot(number))));
    assert_eq!(on_record(&storage).await, expected);
}

/// What goes on record with a location comes back whole.
pub async fn a_locations_record_is_read_back(storage: Storage) {
    populated(&storage).await;
    let by = super::fixtures::context().by(pos_domain::Actor::IdentityProvider);
    let told = AuditEvent { act: by, ..told(AuditKind::LocationAdded, 1) }.for_merchant(merchant(1));
    storage.locations.add_location(Scope::Operator, &location(1, 1), None, &told).await.unwrap();
    let all = Span { limit: 1_000, ..Span::default() };
    let events = storage.events.audit_by_time(&all, None).await.unwrap();
    assert_eq!(events.last().map(|kept| &kept.event), Some(&told));
}

/// A location gets another name from those who see it, which goes on record; others change nothing and leave no word.
pub async fn a_location_is_renamed_by_those_who_see_it(storage: Storage) {
    populated(&storage).await;
    for number in 1..=4 {
        placed(&storage, number, number).await;
    }
    let mut recorded = on_record(&storage).await;
    for (turn, (scope, seen)) in scopes().into_iter().enumerate() {
        for number in 1..=5 {
            let before = storage.locations.find_location(Scope::Operator, spot(number)).await.unwrap();
            let name = Name::parse(&format!("{} {turn}", "é".repeat(190))).unwrap();
            let told = told(AuditKind::LocationAmended, number);
            let renamed = storage.locations.rename_location(scope, spot(number), &name, &told).await.unwrap();
            let sees = seen.contains(&number);
            assert_eq!(renamed, sees.then(|| Location { name, ..location(number, number) }), "{scope:?}, {number}");
            let after = storage.locations.find_location(Scope::Operator, spot(number)).await.unwrap();
            assert_eq!(after, if sees { renamed } else { before }, "{scope:?}, {number}");
            recorded.extend(sees.then(|| (AuditKind::LocationAmended, Subject::Location(spot(number)))));
        }
    }
    assert_eq!(on_record(&storage).await, recorded);
}

/// A scope finds its own merchants' locations and no other, by id as in lists, page by page.
pub async fn locations_are_found_and_listed_by_scope(storage: Storage) {
    populated(&storage).await;
    for number in [3, 1, 4, 2] {
        placed(&storage, number, number).await;
    }
    let listed = async |page: LocationPage| -> Vec<LocationId> {
        storage.locations.list_locations(&page).await.unwrap().into_iter().map(|location| location.id).collect()
    };
    for (scope, seen) in scopes() {
        let all: Vec<LocationId> = seen.iter().map(|number| spot(*number)).collect();
        let page = LocationPage { scope, merchant_id: None, after: None, limit: 100 };
        assert_eq!(listed(page).await, all, "{scope:?}");
        assert_eq!(listed(LocationPage { limit: 1, ..page }).await, all[..all.len().min(1)], "{scope:?}");
        let later: Vec<LocationId> = all.iter().copied().filter(|id| *id > spot(1)).collect();
        assert_eq!(listed(LocationPage { after: Some(spot(1)), ..page }).await, later, "{scope:?}");
        for number in 1..=5 {
            let sees = seen.contains(&number);
            let found = storage.locations.find_location(scope, spot(number)).await.unwrap();
            assert_eq!(found, sees.then(|| location(number, number)), "{scope:?} and location {number}");
            let theirs = listed(LocationPage { merchant_id: Some(merchant(number)), ..page }).await;
            assert_eq!(theirs, if sees { vec![spot(number)] } else { Vec::new() }, "{scope:?} and merchant {number}");
        }
    }
}
