//! Every (state, action) pair, and what comes of it.

use pos_domain::{
    Act, ActivateRefusal, CallContext, ClaimRefusal, CodeEnd, Device, DeviceEventKind, DeviceStatus, IssueRefusal,
    PairingCodeStatus, ReleaseRefusal, Transition,
};
use time::Duration;

use crate::{MERCHANT, OTHER_MERCHANT, START, TTL, activated, claimant, claimed, code, inactive, pending};

const NOWHERE: CallContext = CallContext { origin: None, trace_id: None };

#[derive(Debug, Clone, Copy)]
enum Action {
    Issue,
    Claim,
    ClaimWithAnotherCode,
    ClaimAtExpiry,
    ClaimByAnotherMerchant,
    Activate,
    Release,
}

/// What a pair must come to: the next status, its code's status and the event, or the refusal's words.
type Outcome = Result<(DeviceStatus, PairingCodeStatus, DeviceEventKind), String>;
/// A state's name, a device in it, and what comes of each action.
type Row = (&'static str, fn() -> Device, Vec<(Action, Outcome)>);

fn perform(device: Device, action: Action) -> Result<Transition, String> {
    let later = START + Duration::seconds(1);
    match action {
        Action::Issue => {
            device.issue_pairing_code(code(2), TTL, NOWHERE, later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::Claim => {
            device.claim(code(1), &claimant(MERCHANT), NOWHERE, later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::ClaimWithAnotherCode => {
            device.claim(code(9), &claimant(MERCHANT), NOWHERE, later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::ClaimAtExpiry => {
            device.claim(code(1), &claimant(MERCHANT), NOWHERE, START + TTL).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::ClaimByAnotherMerchant => {
            device.claim(code(1), &claimant(OTHER_MERCHANT), NOWHERE, later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::Activate => device.activate(NOWHERE, later).map_err(|refusal| format!("{refusal:?}")),
        Action::Release => device.release(Act::operator(), later).map_err(|refusal| format!("{refusal:?}")),
    }
}

#[test]
fn every_pair_of_state_and_action_has_its_outcome() {
    use Action::{Activate, Claim, ClaimAtExpiry, ClaimByAnotherMerchant, ClaimWithAnotherCode, Issue, Release};
    let issued = Ok((DeviceStatus::Inactive, PairingCodeStatus::Pending, DeviceEventKind::PairingCodeIssued));
    let is_claimed = Ok((DeviceStatus::Claimed, PairingCodeStatus::Used, DeviceEventKind::Claimed));
    let is_activated = Ok((DeviceStatus::Activated, PairingCodeStatus::Used, DeviceEventKind::Activated));
    let released = Ok((DeviceStatus::Inactive, PairingCodeStatus::None, DeviceEventKind::Released));
    let no = |refusal: &dyn std::fmt::Debug| Err(format!("{refusal:?}"));
    let taken = || no(&IssueRefusal::AlreadyClaimed);
    let used = || no(&ClaimRefusal::AlreadyUsed);
    let expired = || no(&ClaimRefusal::Expired);

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
                (Activate, no(&ActivateRefusal::NotClaimed)),
                (Release, no(&ReleaseRefusal::NotClaimed)),
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
                (ClaimByAnotherMerchant, no(&ClaimRefusal::NotOwner)),
                (Activate, no(&ActivateRefusal::NotClaimed)),
                (Release, no(&ReleaseRefusal::NotClaimed)),
            ],
        ),
        (
            "claimed",
            claimed,
            vec![
                (Issue, taken()),
                (Claim, used()),
                (ClaimWithAnotherCode, expired()),
                (ClaimAtExpiry, used()),
                (ClaimByAnotherMerchant, used()),
                (Activate, is_activated),
                (Release, released.clone()),
            ],
        ),
        (
            "activated",
            activated,
            vec![
                (Issue, taken()),
                (Claim, used()),
                (ClaimWithAnotherCode, expired()),
                (ClaimAtExpiry, used()),
                (ClaimByAnotherMerchant, used()),
                (Activate, no(&ActivateRefusal::AlreadyActivated)),
                (Release, released),
            ],
        ),
    ];
    for (state, device, actions) in table {
        assert_eq!(actions.len(), 7, "{state}: an action is missing");
        for (action, outcome) in actions {
            let before = device();
            let came = perform(before.clone(), action);
            if let Ok(step) = &came {
                assert_eq!(step.expected_version(), before.version(), "{state}, {action:?}");
                assert_eq!(step.device().version(), before.version() + 1, "{state}, {action:?}");
                assert_eq!(step.event().sequence, step.device().version(), "{state}, {action:?}");
                assert_eq!(step.event().merchant_id, MERCHANT, "{state}, {action:?}");
            }
            let came = came.map(|step| {
                let device = step.device();
                (device.status(), device.pairing_code_status(START + Duration::seconds(1)), step.event().kind)
            });
            assert_eq!(came, outcome, "{state}, {action:?}");
        }
    }
}

#[test]
fn a_code_expires_at_the_very_instant() {
    let last = START + TTL - Duration::microseconds(1);
    assert_eq!(pending().pairing_code_status(last), PairingCodeStatus::Pending);
    assert_eq!(pending().pairing_code_status(START + TTL), PairingCodeStatus::Expired);
    assert!(pending().claim(code(1), &claimant(MERCHANT), NOWHERE, last).is_ok());
    assert_eq!(pending().claim(code(1), &claimant(MERCHANT), NOWHERE, START + TTL), Err(ClaimRefusal::Expired));
}

#[test]
fn refusals_come_in_the_documented_order() {
    let stranger = claimant(OTHER_MERCHANT);
    assert_eq!(claimed().claim(code(1), &stranger, NOWHERE, START + TTL), Err(ClaimRefusal::AlreadyUsed));
    assert_eq!(pending().claim(code(1), &stranger, NOWHERE, START + TTL), Err(ClaimRefusal::Expired));
    assert_eq!(pending().claim(code(1), &stranger, NOWHERE, START), Err(ClaimRefusal::NotOwner));
}

#[test]
fn a_step_tells_which_code_it_ended() {
    let ended = |step: Transition| step.ended_code().map(|ended| (ended.code, ended.end));
    assert_eq!(ended(inactive().issue_pairing_code(code(1), TTL, NOWHERE, START).unwrap()), None);
    assert_eq!(
        ended(pending().issue_pairing_code(code(2), TTL, NOWHERE, START).unwrap()),
        Some((code(1), CodeEnd::Retired))
    );
    assert_eq!(ended(pending().claim(code(1), &claimant(MERCHANT), NOWHERE, START).unwrap()), None);
    assert_eq!(ended(claimed().activate(NOWHERE, START).unwrap()), None);
    assert_eq!(ended(claimed().release(Act::operator(), START).unwrap()), Some((code(1), CodeEnd::Used)));
    assert_eq!(ended(activated().release(Act::operator(), START).unwrap()), Some((code(1), CodeEnd::Used)));
}

#[test]
fn a_new_device_starts_at_version_one_with_its_event() {
    let device = inactive();
    assert_eq!((device.version(), device.status()), (1, DeviceStatus::Inactive));
    assert_eq!(device.pairing_code_status(START), PairingCodeStatus::None);
    assert_eq!(device.provisioned_at(), START);
}

#[test]
fn a_code_at_the_end_of_time_does_not_overflow() {
    let end = time::PrimitiveDateTime::MAX.assume_utc();
    let device = inactive().issue_pairing_code(code(1), TTL, NOWHERE, end).unwrap().into_device();
    assert_eq!(device.pairing_code_status(end), PairingCodeStatus::Expired);
}
