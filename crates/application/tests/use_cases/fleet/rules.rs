//! Tests of permissions, scopes and rules, with one caller at a time.

use super::*;

#[tokio::test]
async fn another_tenant_finds_nothing_and_changes_nothing() {
    let app = fleet([]).await;
    let id = claimed(&app, 1).await;
    let location = location(&app, MERCHANT).await;
    let before = app.storage.devices.find(&id).await.unwrap();
    let other = member(OTHER_MERCHANT, Role::Admin);
    // A reseller that is narrowed to the wrong merchant, or to none, is stopped by the store.
    let wide = reseller(OTHER_RESELLER, Role::Admin);
    let sisters = parent(&app, Role::Admin, SISTER).await;
    for stranger in [&*other, &wide, &*sisters] {
        for refused in [
            app.fleet.queries.one(stranger, &id).await.map(|_| ()),
            app.fleet.queries.events(stranger, &id, 0, 10).await.map(|_| ()),
            app.fleet.update.execute(stranger, &id, &labelled("Mine")).await.map(|_| ()),
            app.fleet.release.execute(stranger, &id).await.map(|_| ()),
            app.fleet.decommission.execute(stranger, &id).await.map(|_| ()),
        ] {
            assert!(matches!(refused, Err(FleetError::UnknownDevice)), "{refused:?}");
        }
        let listed = app.fleet.queries.list(stranger, DeviceFilter::default(), None, 10).await.unwrap();
        assert_eq!(listed.items, []);
        let refused = app.tenancy.locations.one(stranger, location.id).await;
        assert!(matches!(refused, Err(FleetError::UnknownLocation)), "{refused:?}");
        let refused = app.tenancy.locations.update(stranger, location.id, Some(&named("Mine"))).await;
        assert!(matches!(refused, Err(FleetError::UnknownLocation)), "{refused:?}");
        assert_eq!(app.tenancy.locations.list(stranger, None, 10).await.unwrap().items, []);
    }
    for refused in [
        app.tenancy.merchants.authorization(&wide, MERCHANT).await.map(|_| ()),
        app.tenancy.merchants.one(&wide, MERCHANT).await.map(|_| ()),
        app.tenancy.merchants.update(&wide, MERCHANT, Some(&named("Mine"))).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
    }
    assert_eq!(app.storage.devices.find(&id).await.unwrap(), before);
    assert_eq!(
        app.storage
            .directory
            .find_merchant(pos_domain::shared::Scope::Operator, MERCHANT)
            .await
            .unwrap()
            .unwrap()
            .name
            .as_str(),
        "Shop"
    );
    assert_eq!(app.audit_events_of(AuditKind::LocationUpdated).await, []);
}

#[tokio::test]
async fn each_action_requires_its_role() {
    let app = fleet([]).await;
    let (id, claimed) = (device(&app, 1).await, claimed(&app, 2).await);
    let location = location(&app, MERCHANT).await;
    let forbidden = |what: &str, refused: Result<(), FleetError>| {
        assert!(matches!(refused, Err(FleetError::Forbidden)), "{what}: {refused:?}");
    };
    for viewer in [own(Role::Viewer), parent(&app, Role::Viewer, MERCHANT).await] {
        app.fleet.queries.one(&viewer, &id).await.unwrap();
        app.fleet.queries.events(&viewer, &id, 0, 10).await.unwrap();
        app.tenancy.locations.one(&viewer, location.id).await.unwrap();
        forbidden("provision", app.fleet.provision.one(&viewer, &new_device(None)).await.map(|_| ()));
        forbidden("update", app.fleet.update.execute(&viewer, &id, &DetailsPatch::default()).await.map(|_| ()));
        forbidden("release", app.fleet.release.execute(&viewer, &claimed).await.map(|_| ()));
        forbidden("add location", app.tenancy.locations.add(&viewer, &named("x")).await.map(|_| ()));
        forbidden("rename", app.tenancy.locations.update(&viewer, location.id, None).await.map(|_| ()));
        forbidden("transfer", app.fleet.transfer.execute(&viewer, &id, SISTER).await.map(|_| ()));
    }
    for operator in [own(Role::Operator), parent(&app, Role::Operator, MERCHANT).await] {
        forbidden("decommission", app.fleet.decommission.execute(&operator, &id).await.map(|_| ()));
    }
    forbidden("own transfer", app.fleet.transfer.execute(&own(Role::Admin), &id, SISTER).await.map(|_| ()));
    forbidden("own merchant", app.tenancy.merchants.add(&own(Role::Admin), &named("x")).await.map(|_| ()));
    let operator = reseller(RESELLER, Role::Operator);
    app.tenancy.merchants.one(&operator, MERCHANT).await.unwrap();
    forbidden("add merchant", app.tenancy.merchants.add(&operator, &named("x")).await.map(|_| ()));
    forbidden("rename merchant", app.tenancy.merchants.update(&operator, MERCHANT, None).await.map(|_| ()));
    forbidden("operator's", app.tenancy.merchants.add(&Authorization::operator(), &named("x")).await.map(|_| ()));
}

#[tokio::test]
async fn the_events_of_a_device_record_its_whole_life() {
    let app = fleet([]).await;
    let location = location(&app, MERCHANT).await;
    let id = claimed(&app, 1).await;
    let (operator, admin) = (own(Role::Operator), own(Role::Admin));
    let patch = DetailsPatch { label: Some(Some(named("Till"))), location_id: Some(Some(location.id)) };
    let updated = app.fleet.update.execute(&operator, &id, &patch).await.unwrap();
    assert_eq!(updated.details().location_id, Some(location.id));
    let same = app.fleet.update.execute(&operator, &id, &patch).await.unwrap();
    assert_eq!(same.version(), updated.version(), "nothing changed");
    let unlocated =
        app.fleet.update.execute(&operator, &id, &DetailsPatch { location_id: Some(None), label: None }).await.unwrap();
    let (label, location_id) = (unlocated.details().label.as_ref().map(Name::as_str), unlocated.details().location_id);
    assert_eq!((label, location_id), (Some("Till"), None));
    let parent = parent(&app, Role::Operator, MERCHANT).await;
    let refused = app.fleet.transfer.execute(&parent, &id, SISTER).await;
    assert!(
        matches!(refused, Err(FleetError::Refused(StateRefusal::Move(TransferRefusal::AlreadyClaimed)))),
        "{refused:?}"
    );
    assert_eq!(app.fleet.release.execute(&operator, &id).await.unwrap().status(), DeviceStatus::Inactive);
    let again = app.fleet.release.execute(&operator, &id).await;
    assert!(matches!(again, Err(FleetError::Refused(StateRefusal::Release(ReleaseRefusal::NotClaimed)))), "{again:?}");
    let transferred = app.fleet.transfer.execute(&parent, &id, SISTER).await.unwrap();
    assert_eq!((transferred.merchant_id(), transferred.details()), (SISTER, &DeviceDetails::default()));
    assert!(
        matches!(app.fleet.queries.one(&admin, &id).await, Err(FleetError::UnknownDevice)),
        "it belongs to another merchant"
    );
    let sister = member(SISTER, Role::Admin);
    let seen = app.fleet.queries.events(&sister, &id, 0, 10).await.unwrap();
    assert_eq!(seen.items.iter().map(|event| event.kind).collect::<Vec<_>>(), [DeviceEventKind::Transferred]);
    let decommissioned = app.fleet.decommission.execute(&sister, &id).await.unwrap();
    assert_eq!(decommissioned.status(), DeviceStatus::Decommissioned);
    let twice = app.fleet.decommission.execute(&sister, &id).await;
    let refusal = StateRefusal::Decommission(DecommissionRefusal::AlreadyDecommissioned);
    assert!(matches!(twice, Err(FleetError::Refused(why)) if why == refusal), "{twice:?}");
    let late = app.fleet.update.execute(&sister, &id, &DetailsPatch::default()).await;
    let refusal = StateRefusal::Update(UpdateRefusal::Decommissioned);
    assert!(matches!(late, Err(FleetError::Refused(why)) if why == refusal), "{late:?}");
    use DeviceEventKind::{Claimed, Decommissioned, PairingCodeIssued, Provisioned, Released, Transferred, Updated};
    let trail = [Provisioned, PairingCodeIssued, Claimed, Updated, Updated, Released, Transferred, Decommissioned];
    assert_eq!(app.event_kinds(&id).await, trail);
    let events = app.device_events(&id).await;
    let last = &events[7].audit_context;
    assert_eq!((last.actor.to_string(), last.client_ip), ("user:ann".to_owned(), request_from(3).client_ip));
}

#[tokio::test]
async fn a_device_may_only_have_a_location_of_its_merchant() {
    let app = fleet([]).await;
    let (own_location, sisters) = (location(&app, MERCHANT).await, location(&app, SISTER).await);
    let parent = parent(&app, Role::Admin, MERCHANT).await;
    let at = |location| NewDevice {
        details: DeviceDetails { label: None, location_id: Some(location) },
        ..new_device(None)
    };
    let unknown = LocationId(Uuid::from_u128(99));
    for location in [sisters.id, unknown] {
        let refused = app.fleet.provision.one(&parent, &at(location)).await;
        assert!(matches!(refused, Err(FleetError::InvalidLocation(id)) if id == location), "{refused:?}");
    }
    let device = app.fleet.provision.one(&parent, &at(own_location.id)).await.unwrap();
    let patch = DetailsPatch { label: None, location_id: Some(Some(sisters.id)) };
    let refused = app.fleet.update.execute(&parent, device.id(), &patch).await;
    assert!(matches!(refused, Err(FleetError::InvalidLocation(id)) if id == sisters.id), "{refused:?}");
    assert_eq!(app.event_kinds(device.id()).await, [DeviceEventKind::Provisioned]);
}

#[tokio::test]
async fn a_given_id_in_use_is_refused_and_a_generated_one_generated_again() {
    let app = fleet([1, 1, 2]).await;
    let id = device(&app, 1).await;
    let other = member(OTHER_MERCHANT, Role::Admin);
    let refused = app.fleet.provision.one(&other, &new_device(Some(id))).await;
    assert!(matches!(refused, Err(FleetError::Taken)), "{refused:?}");
    let generated = app.fleet.provision.one(&other, &new_device(None)).await.unwrap();
    assert_eq!((generated.id(), generated.merchant_id()), (&DeviceId::from_bits(2), OTHER_MERCHANT));
    let of_reseller = MerchantAuthorization::of(&ann(Party::Reseller(RESELLER), Role::Admin), request_from(3));
    assert!(of_reseller.is_none(), "a reseller's member is narrowed by a merchant from the store");
}

#[tokio::test]
async fn a_transfer_must_be_authorized_for_both_merchants() {
    let app = fleet([]).await;
    let id = device(&app, 1).await;
    let parent = parent(&app, Role::Operator, MERCHANT).await;
    let nobody = MerchantId(Uuid::from_u128(99));
    for to in [OTHER_MERCHANT, nobody] {
        let refused = app.fleet.transfer.execute(&parent, &id, to).await;
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
    }
    let same = app.fleet.transfer.execute(&parent, &id, MERCHANT).await;
    assert!(matches!(same, Err(FleetError::Refused(StateRefusal::Move(TransferRefusal::SameMerchant)))), "{same:?}");
    let unknown = app.fleet.transfer.execute(&Authorization::operator(), &id, nobody).await;
    assert!(matches!(unknown, Err(FleetError::UnknownMerchant)), "{unknown:?}");
    let transferred = app.fleet.transfer.execute(&Authorization::operator(), &id, OTHER_MERCHANT).await.unwrap();
    assert_eq!(transferred.merchant_id(), OTHER_MERCHANT);
}

#[tokio::test]
async fn administrative_changes_are_audited_once_and_only_if_something_changed() {
    let app = fleet([]).await;
    let location = app.tenancy.locations.add(&own(Role::Operator), &named("Here")).await.unwrap();
    let merchant = app.tenancy.merchants.add(&reseller(RESELLER, Role::Admin), &named("New")).await.unwrap();
    assert_eq!(merchant.reseller, Some(RESELLER));
    for text in ["There", "There"] {
        app.tenancy.locations.update(&own(Role::Operator), location.id, Some(&named(text))).await.unwrap();
        let admin = reseller(RESELLER, Role::Admin);
        app.tenancy.merchants.update(&admin, merchant.id, Some(&named(text))).await.unwrap();
    }
    for (kind, subject, of) in [
        (AuditKind::LocationAdded, Subject::Location(location.id), MERCHANT),
        (AuditKind::LocationUpdated, Subject::Location(location.id), MERCHANT),
        (AuditKind::MerchantUpdated, Subject::Merchant(merchant.id), merchant.id),
    ] {
        let events = app.audit_events_of(kind).await;
        assert_eq!(events.len(), 1, "{kind:?}");
        assert_eq!((&events[0].subject, events[0].merchant_id), (&Some(subject), Some(of)));
        assert_eq!(events[0].audit_context.actor.to_string(), "user:ann");
    }
    let added = app.audit_events_of(AuditKind::MerchantAdded).await;
    assert_eq!(added.last().unwrap().subject, Some(Subject::Merchant(merchant.id)));
}

#[tokio::test]
async fn each_page_starts_after_the_previous_one() {
    let app = fleet([]).await;
    for number in 1..=5 {
        device(&app, number).await;
    }
    let own = own(Role::Viewer);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = app.fleet.queries.list(&own, DeviceFilter::default(), after, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|device| device.id().clone()));
        after = seen.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=5).map(DeviceId::from_bits).collect::<Vec<_>>());
    let all = app.fleet.queries.list(&own, DeviceFilter::default(), None, 5).await.unwrap();
    assert!(!all.more, "a full page may be the last");
    let filter = DeviceFilter { status: Some(DeviceStatus::Claimed), location_id: None };
    assert_eq!(app.fleet.queries.list(&own, filter, None, 5).await.unwrap().items, []);
}
