//! Tests of the domain rules: unit tests and property tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod attempt_limit;
mod fuzz;
mod hash_chain;
mod imports;
mod model;
mod names;
mod poll_interval;
mod records;
mod table;
mod tenancy;

use pos_domain::device::{Device, DeviceDetails, PairingCode};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AuditContext, DeviceId, LocationId, MerchantId, Name, RequestContext, UserId};
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
    Device::provision(id, MERCHANT, DeviceDetails::default(), AuditContext::operator(), START).into_device()
}

fn pending() -> Device {
    inactive().issue_pairing_code(code(1), TTL, RequestContext::default(), START).unwrap().into_device()
}

fn claimed() -> Device {
    pending().claim(code(1), &claimant(MERCHANT), RequestContext::default(), START).unwrap().into_device()
}

fn activated() -> Device {
    claimed().activate(RequestContext::default(), START).unwrap().into_device()
}

fn decommissioned() -> Device {
    claimed().decommission(AuditContext::operator(), START).unwrap().into_device()
}

fn details() -> DeviceDetails {
    DeviceDetails { label: Some(Name::parse("Till 1").unwrap()), location_id: Some(LocationId(Uuid::from_u128(9))) }
}
