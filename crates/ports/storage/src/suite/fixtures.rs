//! Fixtures of the contract cases: devices, users and instants.

use pos_domain::device::{Device, DeviceDetails, PairingCode, TerminalInfo, Transition, UserAgent};
use pos_domain::pairing::{RefusedClaim, RefusedClaimReason};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, RequestContext, Scope, TraceId, UserId};
use time::{Duration, OffsetDateTime};

use crate::Storage;
use crate::suite::tenancy::fixtures::with_merchant;

pub(super) const TTL: Duration = Duration::seconds(300);

/// An instant with odd microseconds, `seconds` after the suite's start.
pub(super) fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap() + Duration::microseconds(123_457)
}

pub(super) fn id(number: u32) -> DeviceId {
    DeviceId::from_bits(number)
}

pub(super) fn merchant(number: u8) -> MerchantId {
    let text = format!("0f0f0f0f-0000-4000-8000-0000000000{number:02x}");
    MerchantId(text.parse().unwrap())
}

pub(super) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(super) fn code(number: u32) -> PairingCode {
    PairingCode::from_bits(number)
}

pub(super) fn claimant() -> Claimant {
    Claimant { merchant_id: merchant(1), user_id: user("anna") }
}

/// A request from an address that needs all its digits.
pub(super) fn context() -> RequestContext {
    let client_ip = Some("2001:db8:85a3:1111:2222:8a2e:1370:7334".parse().unwrap());
    RequestContext { client_ip, trace_id: TraceId::from_bits(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736) }
}

pub(super) fn refused_claim(by: &Claimant, at: OffsetDateTime) -> RefusedClaim {
    let reason = RefusedClaimReason::NotFound;
    RefusedClaim { by: by.clone(), context: context(), at, device_id: Some(id(1)), reason }
}

pub(super) fn new(number: u32) -> Transition {
    Device::provision(id(number), merchant(1), DeviceDetails::default(), AuditContext::operator(), at(0))
}

pub(super) fn issued(device: Device, number: u32, seconds: i64) -> Transition {
    device.issue_pairing_code(code(number), TTL, context(), at(seconds)).unwrap()
}

pub(super) fn terminal_info(agent: &str, seconds: i64) -> TerminalInfo {
    TerminalInfo { agent: UserAgent::parse(agent).unwrap(), at: at(seconds) }
}

/// Creates a merchant's inactive device and reads it back.
pub(super) async fn created(storage: &Storage, number: u32, of: MerchantId, details: DeviceDetails) -> Device {
    with_merchant(storage, of).await;
    let transition = Device::provision(id(number), of, details, AuditContext::operator(), at(0));
    storage.fleet.create(Scope::Operator, std::slice::from_ref(&transition), None).await.unwrap();
    let stored = load(storage, &id(number)).await;
    assert_eq!(&stored, transition.device());
    stored
}

/// Creates an inactive device without a code.
pub(super) async fn provisioned(storage: &Storage, number: u32) -> Device {
    created(storage, number, merchant(1), DeviceDetails::default()).await
}

/// Saves a transition that must succeed, and reads the device back.
pub(super) async fn save(storage: &Storage, transition: Transition) -> Device {
    with_merchant(storage, transition.device().merchant_id()).await;
    storage.devices.save(&transition).await.unwrap();
    let stored = load(storage, transition.device().id()).await;
    assert_eq!(stored.record().version, transition.device().version());
    stored
}

/// Creates a device with a code issued in second 1.
pub(super) async fn pending(storage: &Storage, number: u32, with: u32) -> Device {
    let device = provisioned(storage, number).await;
    save(storage, issued(device, with, 1)).await
}

/// Creates a device that was claimed with a code.
pub(super) async fn claimed(storage: &Storage, number: u32, with: u32, seconds: i64) -> Device {
    let device = pending(storage, number, with).await;
    save(storage, device.claim(code(with), &claimant(), context(), at(seconds)).unwrap()).await
}

pub(super) async fn load(storage: &Storage, id: &DeviceId) -> Device {
    storage.devices.find(id).await.unwrap().expect("the device is stored")
}

pub(super) async fn by_code(storage: &Storage, number: u32) -> Option<Device> {
    storage.devices.find_by_pairing_code(code(number)).await.unwrap()
}
