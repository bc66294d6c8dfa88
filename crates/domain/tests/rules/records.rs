//! A record that fits no state is refused, naming the device.

use pos_domain::{Device, DeviceRecord, DeviceStatus, UserId};

use crate::{START, activated, claimed, inactive, pending};

#[test]
fn every_state_survives_being_laid_flat() {
    for device in [inactive(), pending(), claimed(), activated()] {
        assert_eq!(Device::restore(device.record()), Ok(device));
    }
}

#[test]
fn facts_that_do_not_fit_are_refused() {
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
