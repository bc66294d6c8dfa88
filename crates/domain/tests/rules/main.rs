//! The rules of the domain, case by case and by chance.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests"
)]

mod chain;
mod claim_limit;
mod fuzz;
mod imports;
mod model;
mod names;
mod pace;
mod records;
mod table;
mod tenancy;

use pos_domain::{
    Act, CallContext, Claimant, Device, DeviceDetails, DeviceId, LocationId, MerchantId, Name, PairingCode, UserId,
};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const START: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
const TTL: Duration = Duration::seconds(300);
const MERCHANT: MerchantId = MerchantId(Uuid::from_u128(1));
const OTHER_MERCHANT: MerchantId = MerchantId(Uuid::from_u128(2));

fn code(number: u32) -> PairingCode {
    PairingCode::from_bits(number)
}

fn claimant(merchant_id: MerchantId) -> Claimant {
    Claimant { merchant_id, user_id: UserId::parse("user-1").unwrap() }
}

fn inactive() -> Device {
    let id = DeviceId::parse_new("POS-8F3A2C91").unwrap();
    Device::provision(id, MERCHANT, DeviceDetails::default(), Act::operator(), START).into_device()
}

fn pending() -> Device {
    inactive().issue_pairing_code(code(1), TTL, CallContext::default(), START).unwrap().into_device()
}

fn claimed() -> Device {
    pending().claim(code(1), &claimant(MERCHANT), CallContext::default(), START).unwrap().into_device()
}

fn activated() -> Device {
    claimed().activate(CallContext::default(), START).unwrap().into_device()
}

fn decommissioned() -> Device {
    claimed().decommission(Act::operator(), START).unwrap().into_device()
}

fn details() -> DeviceDetails {
    DeviceDetails { label: Some(Name::parse("Till 1").unwrap()), location_id: Some(LocationId(Uuid::from_u128(9))) }
}
