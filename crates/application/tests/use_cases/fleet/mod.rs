//! Tests of the fleet use cases: rules, refusals and concurrency.

mod keys;
mod races;
mod rules;

use std::sync::Arc;

use pos_application::Rules;
use pos_application::fleet::{DetailsPatch, DeviceFilter, NewDevice};
use pos_application::support::{
    Authorization, EncodedResponse, FleetError, MerchantAuthorization, ResponseEncoder, StateRefusal,
};
use pos_application::test_support::{
    MERCHANT, OTHER_MERCHANT, OTHER_RESELLER, RESELLER, SISTER, START, TestApp, claimant, named, new_device,
    request_from,
};
use pos_domain::audit::{AuditKind, Subject};
use pos_domain::device::{
    DecommissionRefusal, DeviceDetails, DeviceEventKind, DeviceStatus, PairingCode, ReleaseRefusal, TransferRefusal,
    UpdateRefusal,
};
use pos_domain::shared::{
    DeviceId, Fingerprint, IdempotencyKey, LocationId, MerchantId, Name, Party, ResellerId, Role, UserId,
};
use pos_domain::tenancy::{Location, Member, Merchant};
use time::Duration;
use uuid::Uuid;

use crate::{TTL, in_memory, rules};

const KEEP: Duration = Duration::hours(1);

/// All use cases on one store. One reseller has two merchants, the other has one.
async fn fleet(script: impl IntoIterator<Item = u32>) -> Arc<TestApp> {
    let app = TestApp::scripted(in_memory(), script, &Rules { idempotency_retention: KEEP, ..rules() });
    for id in [RESELLER, OTHER_RESELLER] {
        app.add_reseller(id, "Reseller").await;
    }
    for (id, reseller) in [(MERCHANT, RESELLER), (SISTER, RESELLER), (OTHER_MERCHANT, OTHER_RESELLER)] {
        app.add_merchant(id, "Shop", Some(reseller)).await;
    }
    Arc::new(app)
}

/// Provisions a device of `MERCHANT`.
async fn device(app: &TestApp, number: u32) -> DeviceId {
    let id = DeviceId::from_bits(number);
    app.fleet.provision.one(&own(Role::Operator), &new_device(Some(id.clone()))).await.unwrap();
    id
}

/// Provisions a device of `MERCHANT` and claims it.
async fn claimed(app: &TestApp, number: u32) -> DeviceId {
    let id = device(app, number).await;
    let device = app.storage.devices.find(&id).await.unwrap().unwrap();
    let code = PairingCode::from_bits(number);
    let shown = device.issue_pairing_code(code, TTL, request_from(1), START).unwrap();
    app.storage.devices.save(&shown).await.unwrap();
    let claimed = shown.into_device().claim(code, &claimant(MERCHANT, "ann"), request_from(1), START).unwrap();
    app.storage.devices.save(&claimed).await.unwrap();
    id
}

async fn location(app: &TestApp, merchant: MerchantId) -> Location {
    app.tenancy.locations.add(&MerchantAuthorization::operator(merchant), &named("Here")).await.unwrap()
}

/// The reseller's authorization for a merchant.
async fn parent(app: &TestApp, role: Role, merchant: MerchantId) -> MerchantAuthorization {
    app.tenancy.merchants.authorization(&reseller(RESELLER, role), merchant).await.unwrap()
}

fn keyed<'a, T>(app: &'a TestApp, key: &str, asks: &[u8]) -> ResponseEncoder<'a, T>
where
    T: std::fmt::Debug,
{
    let serialize = |new: &T| Ok(format!("{new:?}"));
    app.idempotency.keyed(IdempotencyKey::parse(key).unwrap(), Fingerprint::of(&[asks]), serialize)
}

fn ann(party: Party, role: Role) -> Member {
    Member { user_id: UserId::parse("ann").unwrap(), party, role }
}

/// The authorization of a merchant's member.
fn member(merchant: MerchantId, role: Role) -> MerchantAuthorization {
    MerchantAuthorization::of(&ann(Party::Merchant(merchant), role), request_from(3)).unwrap()
}

fn own(role: Role) -> MerchantAuthorization {
    member(MERCHANT, role)
}

fn reseller(id: ResellerId, role: Role) -> Authorization {
    Authorization::of(&ann(Party::Reseller(id), role), request_from(3))
}

fn labelled(text: &str) -> DetailsPatch {
    DetailsPatch { label: Some(Some(named(text))), location_id: None }
}

fn new_body(response: EncodedResponse) -> String {
    match response {
        EncodedResponse::New(body) => body,
        before @ EncodedResponse::Replayed(_) => panic!("{before:?}"),
    }
}
