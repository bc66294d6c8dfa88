//! Tests of the flat record: it round-trips, and inconsistent columns are rejected with the device's id.

use pos_domain::device::{Device, DeviceRecord, DeviceStatus, Transition};
use pos_domain::shared::{AuditContext, UserId};

use crate::{START, activated, claimed, decommissioned, details, inactive, pending};

#[test]
fn every_state_round_trips_through_its_record() {
    for device in [inactive(), pending(), claimed(), activated(), decommissioned()] {
        let updated = device.clone().update(details(), AuditContext::operator(), START).map(Transition::into_device);
        let decommissioned_already = device.status() == DeviceStatus::Decommissioned;
        assert_eq!(updated.is_err(), decommissioned_already);
        for device in [Some(device), updated.ok()].into_iter().flatten() {
            assert_eq!(Device::restore(device.record()), Ok(device));
        }
    }
}

#[test]
fn inconsistent_columns_are_rejected() {
    let someone = || Some(UserId::parse("someone").unwrap());
    let faulty: Vec<(&str, DeviceRecord)> = vec![
        ("version 0", DeviceRecord { version: 0, ..inactive().record() }),
        ("a code without its end", DeviceRecord { code_expires_at: None, ..pending().record() }),
        ("an end without a code", DeviceRecord { code_expires_at: Some(START), ..inactive().record() }),
        ("claimed by nobody", DeviceRecord { claimed_by: None, ..claimed().record() }),
        ("inactive, yet claimed", DeviceRecord { status: DeviceStatus::Inactive, ..claimed().record() }),
        ("inactive, yet activated", DeviceRecord { activated_at: Some(START), ..pending().record() }),
        ("claimed without a claim", DeviceRecord { status: DeviceStatus::Claimed, ..pending().record() }),
        ("claimed, yet activated", DeviceRecord { status: DeviceStatus::Claimed, ..activated().record() }),
        ("activated at no time", DeviceRecord { status: DeviceStatus::Activated, ..claimed().record() }),
        ("inactive, yet out of use", DeviceRecord { decommissioned_at: Some(START), ..pending().record() }),
        ("claimed, yet out of use", DeviceRecord { decommissioned_at: Some(START), ..claimed().record() }),
        ("activated, yet out of use", DeviceRecord { decommissioned_at: Some(START), ..activated().record() }),
        ("out of use at no time", DeviceRecord { decommissioned_at: None, ..decommissioned().record() }),
        (
            "out of use with a code",
            DeviceRecord { status: DeviceStatus::Decommissioned, decommissioned_at: Some(START), ..pending().record() },
        ),
        (
            "out of use with a claim",
            DeviceRecord { claimed_by: someone(), claimed_at: Some(START), ..decommissioned().record() },
        ),
        ("out of use, yet activated", DeviceRecord { activated_at: Some(START), ..decommissioned().record() }),
        (
            "claimed without a code",
            DeviceRecord {
                status: DeviceStatus::Claimed,
                claimed_by: someone(),
                claimed_at: Some(START),
                ..inactive().record()
            },
        ),
    ];
    for (fault, record) in faulty {
        let refused = Device::restore(record).expect_err(fault);
        assert_eq!(refused.device_id, *inactive().id(), "{fault}");
    }
}
