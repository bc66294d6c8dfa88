//! Random sequences of actions, held against a reference model so small that it can be read at a glance.

use std::collections::HashSet;

use pos_domain::{Act, CallContext, Device, DeviceDetails, DeviceStatus, MerchantId, Name, PairingCodeStatus};
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::prop_assert_eq;
use time::{Duration, OffsetDateTime};

use crate::{MERCHANT, OTHER_MERCHANT, START, TTL, claimant, code, inactive};

#[derive(Debug, Clone)]
enum Action {
    Wait(i64),
    WaitUntilExpiry,
    Issue(u32),
    /// The claim names one of the codes issued so far, by its place from the latest.
    Claim {
        back: usize,
        own_merchant: bool,
    },
    Activate,
    Release,
    Amend(u8),
    /// To the merchant it started with, or to the other.
    Move {
        home: bool,
    },
    Decommission,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0..200_i64).prop_map(Action::Wait),
        proptest::strategy::Just(Action::WaitUntilExpiry),
        (0..50_u32).prop_map(Action::Issue),
        (0..3_usize, any::<bool>()).prop_map(|(back, own_merchant)| Action::Claim { back, own_merchant }),
        (0..1_usize, proptest::strategy::Just(true))
            .prop_map(|(back, own_merchant)| Action::Claim { back, own_merchant }),
        proptest::strategy::Just(Action::Activate),
        proptest::strategy::Just(Action::Release),
        any::<u8>().prop_map(Action::Amend),
        any::<bool>().prop_map(|home| Action::Move { home }),
        rarely().prop_map(|now| if now { Action::Decommission } else { Action::Release }),
    ]
}

/// A device that is out of use does nothing more, so the sequences must be long enough before that.
fn rarely() -> impl Strategy<Value = bool> {
    (0..8_u8).prop_map(|number| number == 0)
}

/// A few facts instead of a state machine.
#[derive(Default)]
struct Model {
    current: Option<(u32, OffsetDateTime)>,
    claimed: bool,
    activated: bool,
    gone: bool,
    elsewhere: bool,
    label: Option<u8>,
}

impl Model {
    fn code_status(&self, now: OffsetDateTime) -> PairingCodeStatus {
        match self.current {
            None => PairingCodeStatus::None,
            Some(_) if self.claimed => PairingCodeStatus::Used,
            Some((_, expires_at)) if now >= expires_at => PairingCodeStatus::Expired,
            Some(_) => PairingCodeStatus::Pending,
        }
    }

    fn status(&self) -> DeviceStatus {
        match (self.gone, self.claimed, self.activated) {
            (true, _, _) => DeviceStatus::Decommissioned,
            (false, false, _) => DeviceStatus::Inactive,
            (false, true, false) => DeviceStatus::Claimed,
            (false, true, true) => DeviceStatus::Activated,
        }
    }

    fn without_code(self) -> Self {
        Self { current: None, claimed: false, activated: false, ..self }
    }

    fn details(&self) -> DeviceDetails {
        DeviceDetails {
            label: self.label.map(|number| Name::parse(&format!("Till {number}")).unwrap()),
            location_id: None,
        }
    }

    fn merchant(&self) -> MerchantId {
        if self.elsewhere { OTHER_MERCHANT } else { MERCHANT }
    }

    fn claim(&mut self, number: u32, own_merchant: bool, now: OffsetDateTime) -> bool {
        let open = self.current.is_some_and(|(current, expires_at)| current == number && now < expires_at);
        let claims = open && !self.claimed && own_merchant;
        self.claimed |= claims;
        claims
    }
}

proptest! {
    #[test]
    fn a_device_does_what_the_model_does(actions in proptest::collection::vec(action(), 1..60)) {
        let (mut device, mut model, mut now) = (inactive(), Model::default(), START);
        let mut issued = vec![49_u32];
        let mut claims_by_issue: HashSet<usize> = HashSet::new();
        for action in actions {
            let before = device.clone();
            let step = match action {
                Action::Wait(seconds) => { now += Duration::seconds(seconds); None }
                Action::WaitUntilExpiry => { now = model.current.map_or(now, |(_, end)| now.max(end)); None }
                Action::Issue(number) => {
                    let step = device.clone().issue_pairing_code(code(number), TTL, CallContext::default(), now).ok();
                    prop_assert_eq!(step.is_some(), !model.claimed && !model.gone);
                    if step.is_some() {
                        model.current = Some((number, now + TTL));
                        issued.push(number);
                    }
                    step
                }
                Action::Claim { back, own_merchant } => {
                    let number = issued[issued.len().saturating_sub(back + 1)];
                    let stranger = if model.elsewhere { MERCHANT } else { OTHER_MERCHANT };
                    let by = claimant(if own_merchant { model.merchant() } else { stranger });
                    let step = device.clone().claim(code(number), &by, CallContext::default(), now).ok();
                    prop_assert_eq!(step.is_some(), model.claim(number, own_merchant, now));
                    if step.is_some() {
                        prop_assert_eq!(before.pairing_code_status(now), PairingCodeStatus::Pending);
                        assert!(claims_by_issue.insert(issued.len()), "one issued code claimed twice");
                    }
                    step
                }
                Action::Activate => {
                    let step = device.clone().activate(CallContext::default(), now).ok();
                    prop_assert_eq!(step.is_some(), model.claimed && !model.activated);
                    if step.is_some() {
                        prop_assert_eq!(before.status(), DeviceStatus::Claimed, "activated only through claimed");
                        model.activated = true;
                    }
                    step
                }
                Action::Release => {
                    let step = device.clone().release(Act::operator(), now).ok();
                    prop_assert_eq!(step.is_some(), model.claimed);
                    if step.is_some() { model = model.without_code(); }
                    step
                }
                Action::Amend(number) => {
                    let amended = Model { label: Some(number), ..Model::default() }.details();
                    let step = device.clone().amend(amended, Act::operator(), now).ok();
                    prop_assert_eq!(step.is_some(), !model.gone);
                    if step.is_some() { model.label = Some(number); }
                    step
                }
                Action::Move { home } => {
                    let to = if home { MERCHANT } else { OTHER_MERCHANT };
                    let step = device.clone().move_to(to, Act::operator(), now).ok();
                    prop_assert_eq!(step.is_some(), !model.claimed && !model.gone && home == model.elsewhere);
                    if step.is_some() { model = Model { elsewhere: !home, ..Model::default() }; }
                    step
                }
                Action::Decommission => {
                    let step = device.clone().decommission(Act::operator(), now).ok();
                    prop_assert_eq!(step.is_some(), !model.gone);
                    if step.is_some() { model = Model { gone: true, ..model.without_code() }; }
                    step
                }
            };
            if let Some(step) = step {
                prop_assert_eq!(step.device().version(), before.version() + 1);
                prop_assert_eq!(step.event().at, now);
                device = step.into_device();
            }
            prop_assert_eq!(device.status(), model.status());
            prop_assert_eq!(device.merchant_id(), model.merchant());
            prop_assert_eq!(device.details(), &model.details());
            prop_assert_eq!(device.pairing_code_status(now), model.code_status(now));
            prop_assert_eq!(Device::restore(device.record()), Ok(device.clone()), "a record loses nothing");
        }
    }
}
