//! One caller at a time.

use super::*;

#[tokio::test]
async fn a_strangers_call_finds_nothing_and_changes_nothing() {
    let fleet = Fleet::new([]).await;
    let id = fleet.claimed(1).await;
    let place = fleet.location(MERCHANT).await;
    let before = fleet.storage.devices.find(&id).await.unwrap();
    let other = member(Party::Merchant(OTHER_MERCHANT), Role::Admin);
    // Even a reseller whose mandate was narrowed to the wrong merchant, or to none, is held off by the store.
    let wide = reseller(OTHER_RESELLER, Role::Admin);
    let sisters = fleet.parent(Role::Admin, SISTER).await;
    for stranger in [&other, &wide, &sisters] {
        for refused in [
            fleet.view.one(stranger, &id).await.map(|_| ()),
            fleet.view.events(stranger, &id, 0, 10).await.map(|_| ()),
            fleet.amend.execute(stranger, &id, &labelled("Mine")).await.map(|_| ()),
            fleet.release.execute(stranger, &id).await.map(|_| ()),
            fleet.decommission.execute(stranger, &id).await.map(|_| ()),
        ] {
            assert!(matches!(refused, Err(FleetError::UnknownDevice)), "{refused:?}");
        }
        let listed = fleet.view.list(stranger, DeviceFilter::default(), None, 10).await.unwrap();
        assert_eq!(listed.items, []);
        let refused = fleet.locations.one(stranger, place.id).await;
        assert!(matches!(refused, Err(FleetError::UnknownLocation)), "{refused:?}");
        let refused = fleet.locations.amend(stranger, place.id, Some(&name("Mine"))).await;
        assert!(matches!(refused, Err(FleetError::UnknownLocation)), "{refused:?}");
        assert_eq!(fleet.locations.list(stranger, None, 10).await.unwrap().items, []);
    }
    for stranger in [&other, &sisters] {
        let refused = fleet.provision.one(stranger, &new(None), None).await;
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
        let refused = fleet.locations.add(stranger, MERCHANT, &name("Mine"), None).await;
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
    }
    let refused = fleet.provision.one(&wide, &new(None), None).await;
    assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "the store sees to it: {refused:?}");
    for refused in [
        fleet.merchants.mandate(&wide, MERCHANT).await.map(|_| ()),
        fleet.merchants.one(&wide, MERCHANT).await.map(|_| ()),
        fleet.merchants.amend(&wide, MERCHANT, Some(&name("Mine"))).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
    }
    assert_eq!(fleet.storage.devices.find(&id).await.unwrap(), before);
    assert_eq!(
        fleet
            .storage
            .directory
            .find_merchant(pos_domain::Scope::Operator, MERCHANT)
            .await
            .unwrap()
            .unwrap()
            .name
            .as_str(),
        "Shop"
    );
    assert_eq!(fleet.acts(AuditKind::LocationAmended).await, []);
}

#[tokio::test]
async fn each_act_asks_for_its_role() {
    let fleet = Fleet::new([]).await;
    let (id, claimed) = (fleet.device(1).await, fleet.claimed(2).await);
    let place = fleet.location(MERCHANT).await;
    let forbidden = |what: &str, refused: Result<(), FleetError>| {
        assert!(matches!(refused, Err(FleetError::Forbidden)), "{what}: {refused:?}");
    };
    for viewer in [own(Role::Viewer), fleet.parent(Role::Viewer, MERCHANT).await] {
        fleet.view.one(&viewer, &id).await.unwrap();
        fleet.view.events(&viewer, &id, 0, 10).await.unwrap();
        fleet.locations.one(&viewer, place.id).await.unwrap();
        forbidden("provision", fleet.provision.one(&viewer, &new(None), None).await.map(|_| ()));
        forbidden("amend", fleet.amend.execute(&viewer, &id, &DetailsPatch::default()).await.map(|_| ()));
        forbidden("release", fleet.release.execute(&viewer, &claimed).await.map(|_| ()));
        forbidden("locate", fleet.locations.add(&viewer, MERCHANT, &name("x"), None).await.map(|_| ()));
        forbidden("rename", fleet.locations.amend(&viewer, place.id, None).await.map(|_| ()));
        forbidden("move", fleet.relocate.execute(&viewer, &id, SISTER).await.map(|_| ()));
    }
    for operator in [own(Role::Operator), fleet.parent(Role::Operator, MERCHANT).await] {
        forbidden("decommission", fleet.decommission.execute(&operator, &id).await.map(|_| ()));
    }
    forbidden("own move", fleet.relocate.execute(&own(Role::Admin), &id, SISTER).await.map(|_| ()));
    forbidden("own merchant", fleet.merchants.add(&own(Role::Admin), &name("x"), None).await.map(|_| ()));
    let operator = reseller(RESELLER, Role::Operator);
    fleet.merchants.one(&operator, MERCHANT).await.unwrap();
    forbidden("add merchant", fleet.merchants.add(&operator, &name("x"), None).await.map(|_| ()));
    forbidden("rename merchant", fleet.merchants.amend(&operator, MERCHANT, None).await.map(|_| ()));
    forbidden("operator's", fleet.merchants.add(&Mandate::operator(), &name("x"), None).await.map(|_| ()));
}

#[tokio::test]
async fn a_device_lives_its_life_and_leaves_a_trail() {
    let fleet = Fleet::new([]).await;
    let place = fleet.location(MERCHANT).await;
    let id = fleet.claimed(1).await;
    let (operator, admin) = (own(Role::Operator), own(Role::Admin));
    let patch = DetailsPatch { label: Some(Some(name("Till"))), location_id: Some(Some(place.id)) };
    let amended = fleet.amend.execute(&operator, &id, &patch).await.unwrap();
    assert_eq!(amended.details().location_id, Some(place.id));
    let same = fleet.amend.execute(&operator, &id, &patch).await.unwrap();
    assert_eq!(same.version(), amended.version(), "nothing changed");
    let kept =
        fleet.amend.execute(&operator, &id, &DetailsPatch { location_id: Some(None), label: None }).await.unwrap();
    assert_eq!((kept.details().label.as_ref().map(Name::as_str), kept.details().location_id), (Some("Till"), None));
    let parent = fleet.parent(Role::Operator, MERCHANT).await;
    let moved = fleet.relocate.execute(&parent, &id, SISTER).await;
    assert!(matches!(moved, Err(FleetError::Refused(StateRefusal::Move(MoveRefusal::AlreadyClaimed)))), "{moved:?}");
    assert_eq!(fleet.release.execute(&operator, &id).await.unwrap().status(), DeviceStatus::Inactive);
    let again = fleet.release.execute(&operator, &id).await;
    assert!(matches!(again, Err(FleetError::Refused(StateRefusal::Release(ReleaseRefusal::NotClaimed)))), "{again:?}");
    let moved = fleet.relocate.execute(&parent, &id, SISTER).await.unwrap();
    assert_eq!((moved.merchant_id(), moved.details()), (SISTER, &DeviceDetails::default()));
    assert!(matches!(fleet.view.one(&admin, &id).await, Err(FleetError::UnknownDevice)), "it is gone from here");
    let sister = member(Party::Merchant(SISTER), Role::Admin);
    let seen = fleet.view.events(&sister, &id, 0, 10).await.unwrap();
    assert_eq!(seen.items.iter().map(|event| event.kind).collect::<Vec<_>>(), [DeviceEventKind::Moved]);
    let out = fleet.decommission.execute(&sister, &id).await.unwrap();
    assert_eq!(out.status(), DeviceStatus::Decommissioned);
    let twice = fleet.decommission.execute(&sister, &id).await;
    let refusal = StateRefusal::Decommission(DecommissionRefusal::AlreadyDecommissioned);
    assert!(matches!(twice, Err(FleetError::Refused(why)) if why == refusal), "{twice:?}");
    let late = fleet.amend.execute(&sister, &id, &DetailsPatch::default()).await;
    let refusal = StateRefusal::Amend(AmendRefusal::Decommissioned);
    assert!(matches!(late, Err(FleetError::Refused(why)) if why == refusal), "{late:?}");
    use DeviceEventKind::{Amended, Claimed, Decommissioned, Moved, PairingCodeIssued, Provisioned, Released};
    let trail = [Provisioned, PairingCodeIssued, Claimed, Amended, Amended, Released, Moved, Decommissioned];
    assert_eq!(fleet.kinds(&id).await, trail);
    let events = fleet.storage.events.events_of(&History::whole(&id)).await.unwrap();
    let last = &events[7].act;
    assert_eq!((last.actor.to_string(), last.origin), ("user:ann".to_owned(), from(3).origin));
}

#[tokio::test]
async fn a_device_stands_only_where_its_merchant_does() {
    let fleet = Fleet::new([]).await;
    let (own_place, sisters) = (fleet.location(MERCHANT).await, fleet.location(SISTER).await);
    let parent = fleet.parent(Role::Admin, MERCHANT).await;
    let at = |place| NewDevice { details: DeviceDetails { label: None, location_id: Some(place) }, ..new(None) };
    let nowhere = LocationId(Uuid::from_u128(99));
    for place in [sisters.id, nowhere] {
        let refused = fleet.provision.one(&parent, &at(place), None).await;
        assert!(matches!(refused, Err(FleetError::NoSuchPlace(id)) if id == place), "{refused:?}");
    }
    let device = now(fleet.provision.one(&parent, &at(own_place.id), None).await.unwrap());
    let patch = DetailsPatch { label: None, location_id: Some(Some(sisters.id)) };
    let refused = fleet.amend.execute(&parent, device.id(), &patch).await;
    assert!(matches!(refused, Err(FleetError::NoSuchPlace(id)) if id == sisters.id), "{refused:?}");
    assert_eq!(fleet.kinds(device.id()).await, [DeviceEventKind::Provisioned]);
}

#[tokio::test]
async fn a_taken_id_is_refused_and_a_drawn_one_drawn_again() {
    let fleet = Fleet::new([1, 1, 2]).await;
    let id = fleet.device(1).await;
    let other = member(Party::Merchant(OTHER_MERCHANT), Role::Admin);
    let theirs = NewDevice { merchant_id: OTHER_MERCHANT, ..new(Some(id)) };
    let refused = fleet.provision.one(&other, &theirs, None).await;
    assert!(matches!(refused, Err(FleetError::Taken)), "{refused:?}");
    let drawn = now(fleet.provision.one(&other, &NewDevice { id: None, ..theirs }, None).await.unwrap());
    assert_eq!(drawn.id(), &DeviceId::from_bits(2));
}

#[tokio::test]
async fn a_move_asks_both_ends() {
    let fleet = Fleet::new([]).await;
    let id = fleet.device(1).await;
    let parent = fleet.parent(Role::Operator, MERCHANT).await;
    let nobody = MerchantId(Uuid::from_u128(99));
    for to in [OTHER_MERCHANT, nobody] {
        let refused = fleet.relocate.execute(&parent, &id, to).await;
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
    }
    let same = fleet.relocate.execute(&parent, &id, MERCHANT).await;
    assert!(matches!(same, Err(FleetError::Refused(StateRefusal::Move(MoveRefusal::SameMerchant)))), "{same:?}");
    let unknown = fleet.relocate.execute(&Mandate::operator(), &id, nobody).await;
    assert!(matches!(unknown, Err(FleetError::UnknownMerchant)), "{unknown:?}");
    let moved = fleet.relocate.execute(&Mandate::operator(), &id, OTHER_MERCHANT).await.unwrap();
    assert_eq!(moved.merchant_id(), OTHER_MERCHANT);
}

#[tokio::test]
async fn administrative_acts_are_on_record_once_and_only_when_something_changed() {
    let fleet = Fleet::new([]).await;
    let place = now(fleet.locations.add(&own(Role::Operator), MERCHANT, &name("Here"), None).await.unwrap());
    let merchant = now(fleet.merchants.add(&reseller(RESELLER, Role::Admin), &name("New"), None).await.unwrap());
    assert_eq!(merchant.reseller, Some(RESELLER));
    for text in ["There", "There"] {
        fleet.locations.amend(&own(Role::Operator), place.id, Some(&name(text))).await.unwrap();
        let admin = reseller(RESELLER, Role::Admin);
        fleet.merchants.amend(&admin, merchant.id, Some(&name(text))).await.unwrap();
    }
    for (kind, subject, of) in [
        (AuditKind::LocationAdded, Subject::Location(place.id), MERCHANT),
        (AuditKind::LocationAmended, Subject::Location(place.id), MERCHANT),
        (AuditKind::MerchantAmended, Subject::Merchant(merchant.id), merchant.id),
    ] {
        let told = fleet.acts(kind).await;
        assert_eq!(told.len(), 1, "{kind:?}");
        assert_eq!((&told[0].subject, told[0].merchant_id), (&Some(subject), Some(of)));
        assert_eq!(told[0].act.actor.to_string(), "user:ann");
    }
    let added = fleet.acts(AuditKind::MerchantAdded).await;
    assert_eq!(added.last().unwrap().subject, Some(Subject::Merchant(merchant.id)));
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let fleet = Fleet::new([]).await;
    for number in 1..=5 {
        fleet.device(number).await;
    }
    let own = own(Role::Viewer);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = fleet.view.list(&own, DeviceFilter::default(), after, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|device| device.id().clone()));
        after = seen.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=5).map(DeviceId::from_bits).collect::<Vec<_>>());
    let whole = fleet.view.list(&own, DeviceFilter::default(), None, 5).await.unwrap();
    assert!(!whole.more, "a full page may be the last");
    let filter = DeviceFilter { status: Some(DeviceStatus::Claimed), location_id: None };
    assert_eq!(fleet.view.list(&own, filter, None, 5).await.unwrap().items, []);
}
