//! Tests of the device state machine: the outcome of every (state, action) pair.

use pos_domain::device::{
    ActivateRefusal, ClaimRefusal, CodeEnd, DecommissionRefusal, Device, DeviceDetails, DeviceEventKind, DeviceState,
    DeviceStatus, IssueRefusal, PairingCodeStatus, ReleaseRefusal, TransferRefusal, Transition, UpdateRefusal,
};
use pos_domain::shared::{AuditContext, RequestContext};
use time::Duration;

use crate::{
    MERCHANT, OTHER_MERCHANT, START, TTL, activated, claimant, claimed, code, decommissioned, details, inactive,
    pending,
};

const CONTEXT: RequestContext = RequestContext { client_ip: None, trace_id: None };

#[derive(Debug, Clone, Copy)]
enum Action {
    Issue,
    Claim,
    ClaimWithAnotherCode,
    ClaimAtExpiry,
    ClaimByAnotherMerchant,
    Activate,
    Release,
    Update,
    Transfer,
    TransferToItsOwnMerchant,
    Decommission,
}

/// Expected outcome of a pair: next status, its code's status and the event, or the name of the refusal.
type Outcome = Result<(DeviceStatus, PairingCodeStatus, DeviceEventKind), String>;
/// A state's name, a device in that state, and the outcome of each action.
type Row = (&'static str, fn() -> Device, Vec<(Action, Outcome)>);

fn perform(device: Device, action: Action) -> Result<Transition, String> {
    let later = START + Duration::seconds(1);
    match action {
        Action::Issue => {
            device.issue_pairing_code(code(2), TTL, CONTEXT, later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::Claim => {
            device.claim(code(1), &claimant(MERCHANT), CONTEXT, later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::ClaimWithAnotherCode => {
            device.claim(code(9), &claimant(MERCHANT), CONTEXT, later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::ClaimAtExpiry => {
            device.claim(code(1), &claimant(MERCHANT), CONTEXT, START + TTL).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::ClaimByAnotherMerchant => {
            device.claim(code(1), &claimant(OTHER_MERCHANT), CONTEXT, later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::Activate => device.activate(CONTEXT, later).map_err(|refusal| format!("{refusal:?}")),
        Action::Release => device.release(AuditContext::operator(), later).map_err(|refusal| format!("{refusal:?}")),
        Action::Update => {
            device.update(details(), AuditContext::operator(), later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::Transfer => device
            .transfer_to(OTHER_MERCHANT, AuditContext::operator(), later)
            .map_err(|refusal| format!("{refusal:?}")),
        Action::TransferToItsOwnMerchant => {
            device.transfer_to(MERCHANT, AuditContext::operator(), later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::Decommission => {
            device.decommission(AuditContext::operator(), later).map_err(|refusal| format!("{refusal:?}"))
        }
    }
}

#[test]
fn every_pair_of_state_and_action_has_its_outcome() {
    use Action::{
        Activate, Claim, ClaimAtExpiry, ClaimByAnotherMerchant, ClaimWithAnotherCode, Decommission, Issue, Release,
        Transfer, TransferToItsOwnMerchant, Update,
    };
    let issued = Ok((DeviceStatus::Inactive, PairingCodeStatus::Pending, DeviceEventKind::PairingCodeIssued));
    let is_claimed = Ok((DeviceStatus::Claimed, PairingCodeStatus::Used, DeviceEventKind::Claimed));
    let is_activated = Ok((DeviceStatus::Activated, PairingCodeStatus::Used, DeviceEventKind::Activated));
    let released = Ok((DeviceStatus::Inactive, PairingCodeStatus::None, DeviceEventKind::Released));
    let transferred = || Ok((DeviceStatus::Inactive, PairingCodeStatus::None, DeviceEventKind::Transferred));
    let is_decommissioned =
        || Ok((DeviceStatus::Decommissioned, PairingCodeStatus::None, DeviceEventKind::Decommissioned));
    let updated = |status, code| Ok((status, code, DeviceEventKind::Updated));
    let refused = |refusal: &dyn std::fmt::Debug| Err(format!("{refusal:?}"));
    let already_claimed = || refused(&IssueRefusal::AlreadyClaimed);
    let used = || refused(&ClaimRefusal::AlreadyUsed);
    let expired = || refused(&ClaimRefusal::Expired);
    let same = || refused(&TransferRefusal::SameMerchant);
    let must_be_released = || refused(&TransferRefusal::AlreadyClaimed);

    let table: Vec<Row> = vec![
        (
            "inactive without a code",
            inactive,
            vec![
                (Issue, issued.clone()),
                (Claim, expired()),
                (ClaimWithAnotherCode, expired()),
                (ClaimAtExpiry, expired()),
                (ClaimByAnotherMerchant, expired()),
                (Activate, refused(&ActivateRefusal::NotClaimed)),
                (Release, refused(&ReleaseRefusal::NotClaimed)),
                (Update, updated(DeviceStatus::Inactive, PairingCodeStatus::None)),
                (Transfer, transferred()),
                (TransferToItsOwnMerchant, same()),
                (Decommission, is_decommissioned()),
            ],
        ),
        (
            "inactive with a code",
            pending,
            vec![
                (Issue, issued),
                (Claim, is_claimed),
                (ClaimWithAnotherCode, expired()),
                (ClaimAtExpiry, expired()),
                (ClaimByAnotherMerchant, refused(&ClaimRefusal::NotOwner)),
                (Activate, refused(&ActivateRefusal::NotClaimed)),
                (Release, refused(&ReleaseRefusal::NotClaimed)),
                (Update, updated(DeviceStatus::Inactive, PairingCodeStatus::Pending)),
                (Transfer, transferred()),
                (TransferToItsOwnMerchant, same()),
                (Decommission, is_decommissioned()),
            ],
        ),
        (
            "claimed",
            claimed,
            vec![
                (Issue, already_claimed()),
                (Claim, used()),
                (ClaimWithAnotherCode, expired()),
                (ClaimAtExpiry, used()),
                (ClaimByAnotherMerchant, used()),
                (Activate, is_activated),
                (Release, released.clone()),
                (Update, updated(DeviceStatus::Claimed, PairingCodeStatus::Used)),
                (Transfer, must_be_released()),
                (TransferToItsOwnMerchant, must_be_released()),
                (Decommission, is_decommissioned()),
            ],
        ),
        (
            "activated",
            activated,
            vec![
                (Issue, already_claimed()),
                (Claim, used()),
                (ClaimWithAnotherCode, expired()),
                (ClaimAtExpiry, used()),
                (ClaimByAnotherMerchant, used()),
                (Activate, refused(&ActivateRefusal::AlreadyActivated)),
                (Release, released),
                (Update, updated(DeviceStatus::Activated, PairingCodeStatus::Used)),
                (Transfer, must_be_released()),
                (TransferToItsOwnMerchant, must_be_released()),
                (Decommission, is_decommissioned()),
            ],
        ),
        (
            "decommissioned",
            decommissioned,
            vec![
                (Issue, refused(&IssueRefusal::Decommissioned)),
                (Claim, expired()),
                (ClaimWithAnotherCode, expired()),
                (ClaimAtExpiry, expired()),
                (ClaimByAnotherMerchant, expired()),
                (Activate, refused(&ActivateRefusal::Decommissioned)),
                (Release, refused(&ReleaseRefusal::Decommissioned)),
                (Update, refused(&UpdateRefusal::Decommissioned)),
                (Transfer, refused(&TransferRefusal::Decommissioned)),
                (TransferToItsOwnMerchant, refused(&TransferRefusal::Decommissioned)),
                (Decommission, refused(&DecommissionRefusal::AlreadyDecommissioned)),
            ],
        ),
    ];
    for (state, device, actions) in table {
        assert_eq!(actions.len(), 11, "{state}: an action is missing");
        for (action, outcome) in actions {
            let before = device();
            let actual = perform(before.clone(), action);
            if let Ok(transition) = &actual {
                assert_eq!(transition.expected_version(), before.version(), "{state}, {action:?}");
                assert_eq!(transition.device().version(), before.version() + 1, "{state}, {action:?}");
                assert_eq!(transition.event().sequence, transition.device().version(), "{state}, {action:?}");
                let merchant = if matches!(action, Transfer) { OTHER_MERCHANT } else { MERCHANT };
                assert_eq!(transition.device().merchant_id(), merchant, "{state}, {action:?}");
                assert_eq!(transition.event().merchant_id, merchant, "{state}, {action:?}");
            }
            let actual = actual.map(|transition| {
                let device = transition.device();
                (device.status(), device.pairing_code_status(START + Duration::seconds(1)), transition.event().kind)
            });
            assert_eq!(actual, outcome, "{state}, {action:?}");
        }
    }
}

#[test]
fn a_code_expires_exactly_at_its_expiry() {
    let last = START + TTL - Duration::microseconds(1);
    assert_eq!(pending().pairing_code_status(last), PairingCodeStatus::Pending);
    assert_eq!(pending().pairing_code_status(START + TTL), PairingCodeStatus::Expired);
    assert!(pending().claim(code(1), &claimant(MERCHANT), CONTEXT, last).is_ok());
    assert_eq!(pending().claim(code(1), &claimant(MERCHANT), CONTEXT, START + TTL), Err(ClaimRefusal::Expired));
}

#[test]
fn claim_refusals_have_the_documented_order() {
    let stranger = claimant(OTHER_MERCHANT);
    assert_eq!(claimed().claim(code(1), &stranger, CONTEXT, START + TTL), Err(ClaimRefusal::AlreadyUsed));
    assert_eq!(pending().claim(code(1), &stranger, CONTEXT, START + TTL), Err(ClaimRefusal::Expired));
    assert_eq!(pending().claim(code(1), &stranger, CONTEXT, START), Err(ClaimRefusal::NotOwner));
}

#[test]
fn a_transition_returns_the_code_it_invalidated() {
    let ended = |transition: Transition| transition.past_code().map(|ended| (ended.code, ended.end));
    assert_eq!(ended(inactive().issue_pairing_code(code(1), TTL, CONTEXT, START).unwrap()), None);
    assert_eq!(
        ended(pending().issue_pairing_code(code(2), TTL, CONTEXT, START).unwrap()),
        Some((code(1), CodeEnd::Superseded))
    );
    assert_eq!(ended(pending().claim(code(1), &claimant(MERCHANT), CONTEXT, START).unwrap()), None);
    assert_eq!(ended(claimed().activate(CONTEXT, START).unwrap()), None);
    assert_eq!(ended(claimed().release(AuditContext::operator(), START).unwrap()), Some((code(1), CodeEnd::Used)));
    assert_eq!(ended(activated().release(AuditContext::operator(), START).unwrap()), Some((code(1), CodeEnd::Used)));
    for device in [inactive(), pending(), claimed(), activated()] {
        assert_eq!(ended(device.update(details(), AuditContext::operator(), START).unwrap()), None);
    }
    let by_transfer =
        |device: Device| ended(device.transfer_to(OTHER_MERCHANT, AuditContext::operator(), START).unwrap());
    assert_eq!((by_transfer(inactive()), by_transfer(pending())), (None, Some((code(1), CodeEnd::Superseded))));
    let by_decommission = |device: Device| ended(device.decommission(AuditContext::operator(), START).unwrap());
    assert_eq!((by_decommission(inactive()), by_decommission(pending())), (None, Some((code(1), CodeEnd::Superseded))));
    let used = Some((code(1), CodeEnd::Used));
    assert_eq!((by_decommission(claimed()), by_decommission(activated())), (used, used));
}

#[test]
fn an_update_replaces_only_the_details() {
    for device in [inactive(), pending(), claimed(), activated()] {
        let updated = device.clone().update(details(), AuditContext::operator(), START).unwrap().into_device();
        assert_eq!((updated.details(), updated.state()), (&details(), device.state()));
        let plain = updated.update(DeviceDetails::default(), AuditContext::operator(), START).unwrap().into_device();
        assert_eq!((plain.details(), plain.state()), (&DeviceDetails::default(), device.state()));
    }
}

#[test]
fn details_are_kept_except_on_transfer() {
    let updated = || pending().update(details(), AuditContext::operator(), START).unwrap().into_device();
    let claimed = updated().claim(code(1), &claimant(MERCHANT), CONTEXT, START).unwrap().into_device();
    let released = claimed.clone().release(AuditContext::operator(), START).unwrap().into_device();
    let decommissioned = claimed.clone().decommission(AuditContext::operator(), START).unwrap().into_device();
    for device in [updated(), claimed, released, decommissioned] {
        assert_eq!(device.details(), &details(), "{:?}", device.status());
    }
    let transferred = updated().transfer_to(OTHER_MERCHANT, AuditContext::operator(), START).unwrap().into_device();
    assert_eq!(transferred.details(), &DeviceDetails::default());
    assert_eq!(transferred.state(), &DeviceState::Inactive { code: None });
}

#[test]
fn a_new_device_starts_at_version_one_with_its_event() {
    let device = inactive();
    assert_eq!((device.version(), device.status()), (1, DeviceStatus::Inactive));
    assert_eq!(device.pairing_code_status(START), PairingCodeStatus::None);
    assert_eq!(device.provisioned_at(), START);
}

#[test]
fn an_expiry_beyond_the_last_instant_does_not_overflow() {
    let end = time::PrimitiveDateTime::MAX.assume_utc();
    let device = inactive().issue_pairing_code(code(1), TTL, CONTEXT, end).unwrap().into_device();
    assert_eq!(device.pairing_code_status(end), PairingCodeStatus::Expired);
}
