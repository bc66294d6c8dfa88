//! Every (state, action) pair, and what comes of it.

use pos_domain::{
    Act, ActivateRefusal, AmendRefusal, CallContext, ClaimRefusal, CodeEnd, DecommissionRefusal, Device, DeviceDetails,
    DeviceEventKind, DeviceState, DeviceStatus, IssueRefusal, MoveRefusal, PairingCodeStatus, ReleaseRefusal,
    Transition,
};
use time::Duration;

use crate::{
    MERCHANT, OTHER_MERCHANT, START, TTL, activated, claimant, claimed, code, decommissioned, details, inactive,
    pending,
};

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
    Amend,
    Move,
    MoveToItsOwnMerchant,
    Decommission,
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
        Action::Amend => device.amend(details(), Act::operator(), later).map_err(|refusal| format!("{refusal:?}")),
        Action::Move => {
            device.move_to(OTHER_MERCHANT, Act::operator(), later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::MoveToItsOwnMerchant => {
            device.move_to(MERCHANT, Act::operator(), later).map_err(|refusal| format!("{refusal:?}"))
        }
        Action::Decommission => device.decommission(Act::operator(), later).map_err(|refusal| format!("{refusal:?}")),
    }
}

#[test]
fn every_pair_of_state_and_action_has_its_outcome() {
    use Action::{
        Activate, Amend, Claim, ClaimAtExpiry, ClaimByAnotherMerchant, ClaimWithAnotherCode, Decommission, Issue, Move,
        MoveToItsOwnMerchant, Release,
    };
    let issued = Ok((DeviceStatus::Inactive, PairingCodeStatus::Pending, DeviceEventKind::PairingCodeIssued));
    let is_claimed = Ok((DeviceStatus::Claimed, PairingCodeStatus::Used, DeviceEventKind::Claimed));
    let is_activated = Ok((DeviceStatus::Activated, PairingCodeStatus::Used, DeviceEventKind::Activated));
    let released = Ok((DeviceStatus::Inactive, PairingCodeStatus::None, DeviceEventKind::Released));
    let moved = || Ok((DeviceStatus::Inactive, PairingCodeStatus::None, DeviceEventKind::Moved));
    let gone = || Ok((DeviceStatus::Decommissioned, PairingCodeStatus::None, DeviceEventKind::Decommissioned));
    let amended = |status, code| Ok((status, code, DeviceEventKind::Amended));
    let no = |refusal: &dyn std::fmt::Debug| Err(format!("{refusal:?}"));
    let taken = || no(&IssueRefusal::AlreadyClaimed);
    let used = || no(&ClaimRefusal::AlreadyUsed);
    let expired = || no(&ClaimRefusal::Expired);
    let same = || no(&MoveRefusal::SameMerchant);
    let bound = || no(&MoveRefusal::AlreadyClaimed);

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
                (Amend, amended(DeviceStatus::Inactive, PairingCodeStatus::None)),
                (Move, moved()),
                (MoveToItsOwnMerchant, same()),
                (Decommission, gone()),
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
                (Amend, amended(DeviceStatus::Inactive, PairingCodeStatus::Pending)),
                (Move, moved()),
                (MoveToItsOwnMerchant, same()),
                (Decommission, gone()),
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
                (Amend, amended(DeviceStatus::Claimed, PairingCodeStatus::Used)),
                (Move, bound()),
                (MoveToItsOwnMerchant, bound()),
                (Decommission, gone()),
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
                (Amend, amended(DeviceStatus::Activated, PairingCodeStatus::Used)),
                (Move, bound()),
                (MoveToItsOwnMerchant, bound()),
                (Decommission, gone()),
            ],
        ),
        (
            "decommissioned",
            decommissioned,
            vec![
                (Issue, no(&IssueRefusal::Decommissioned)),
                (Claim, expired()),
                (ClaimWithAnotherCode, expired()),
                (ClaimAtExpiry, expired()),
                (ClaimByAnotherMerchant, expired()),
                (Activate, no(&ActivateRefusal::Decommissioned)),
                (Release, no(&ReleaseRefusal::Decommissioned)),
                (Amend, no(&AmendRefusal::Decommissioned)),
                (Move, no(&MoveRefusal::Decommissioned)),
                (MoveToItsOwnMerchant, no(&MoveRefusal::Decommissioned)),
                (Decommission, no(&DecommissionRefusal::AlreadyDecommissioned)),
            ],
        ),
    ];
    for (state, device, actions) in table {
        assert_eq!(actions.len(), 11, "{state}: an action is missing");
        for (action, outcome) in actions {
            let before = device();
            let came = perform(before.clone(), action);
            if let Ok(step) = &came {
                assert_eq!(step.expected_version(), before.version(), "{state}, {action:?}");
                assert_eq!(step.device().version(), before.version() + 1, "{state}, {action:?}");
                assert_eq!(step.event().sequence, step.device().version(), "{state}, {action:?}");
                let merchant = if matches!(action, Move) { OTHER_MERCHANT } else { MERCHANT };
                assert_eq!(step.device().merchant_id(), merchant, "{state}, {action:?}");
                assert_eq!(step.event().merchant_id, merchant, "{state}, {action:?}");
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
    for device in [inactive(), pending(), claimed(), activated()] {
        assert_eq!(ended(device.amend(details(), Act::operator(), START).unwrap()), None);
    }
    let moved = |device: Device| ended(device.move_to(OTHER_MERCHANT, Act::operator(), START).unwrap());
    assert_eq!((moved(inactive()), moved(pending())), (None, Some((code(1), CodeEnd::Retired))));
    let gone = |device: Device| ended(device.decommission(Act::operator(), START).unwrap());
    assert_eq!((gone(inactive()), gone(pending())), (None, Some((code(1), CodeEnd::Retired))));
    let used = Some((code(1), CodeEnd::Used));
    assert_eq!((gone(claimed()), gone(activated())), (used, used));
}

#[test]
fn an_amended_device_has_its_new_details_and_nothing_else_anew() {
    for device in [inactive(), pending(), claimed(), activated()] {
        let amended = device.clone().amend(details(), Act::operator(), START).unwrap().into_device();
        assert_eq!((amended.details(), amended.state()), (&details(), device.state()));
        let plain = amended.amend(DeviceDetails::default(), Act::operator(), START).unwrap().into_device();
        assert_eq!((plain.details(), plain.state()), (&DeviceDetails::default(), device.state()));
    }
}

#[test]
fn details_stay_with_the_device_but_not_when_it_moves() {
    let amended = || pending().amend(details(), Act::operator(), START).unwrap().into_device();
    let claimed = amended().claim(code(1), &claimant(MERCHANT), NOWHERE, START).unwrap().into_device();
    let released = claimed.clone().release(Act::operator(), START).unwrap().into_device();
    let gone = claimed.clone().decommission(Act::operator(), START).unwrap().into_device();
    for device in [amended(), claimed, released, gone] {
        assert_eq!(device.details(), &details(), "{:?}", device.status());
    }
    let moved = amended().move_to(OTHER_MERCHANT, Act::operator(), START).unwrap().into_device();
    assert_eq!((moved.details(), moved.state()), (&DeviceDetails::default(), &DeviceState::Inactive { code: None }));
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
