//! Property test: random sequences of device transitions, compared with a small reference model.

use std::collections::HashSet;

use pos_domain::device::{Device, DeviceDetails, DeviceStatus, PairingCodeStatus};
use pos_domain::shared::{AuditContext, MerchantId, Name, RequestContext};
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::prop_assert_eq;
use time::{Duration, OffsetDateTime};

use crate::{MERCHANT, OTHER_MERCHANT, START, TTL, claimant, code, inactive};

#[derive(Debug, Clone)]
enum Action {
    Wait(i64),
    WaitUntilExpiry,
    Issue(u32),
    /// Claims with one of the codes issued so far, counted back from the latest.
    Claim {
        back: usize,
        own_merchant: bool,
    },
    Activate,
    Release,
    Update(u8),
    /// To the first merchant, or to the other.
    Transfer {
        to_first: bool,
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
        any::<u8>().prop_map(Action::Update),
        any::<bool>().prop_map(|to_first| Action::Transfer { to_first }),
        rarely().prop_map(|now| if now { Action::Decommission } else { Action::Release }),
    ]
}

/// A decommissioned device accepts no more transitions, so decommissioning is rare enough for long sequences.
fn rarely() -> impl Strategy<Value = bool> {
    (0..8_u8).prop_map(|number| number == 0)
}

/// Reference model: a few fields instead of a state machine.
#[derive(Default)]
struct Model {
    current: Option<(u32, OffsetDateTime)>,
    claimed: bool,
    activated: bool,
    decommissioned: bool,
    at_other: bool,
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
        match (self.decommissioned, self.claimed, self.activated) {
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
        if self.at_other { OTHER_MERCHANT } else { MERCHANT }
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
    fn a_device_behaves_like_the_model(actions in proptest::collection::vec(action(), 1..60)) {
        let (mut device, mut model, mut now) = (inactive(), Model::default(), START);
        let mut issued = vec![49_u32];
        let mut claims_by_issue: HashSet<usize> = HashSet::new();
        for action in actions {
            let before = device.clone();
            let step = match action {
                Action::Wait(seconds) => { now += Duration::seconds(seconds); None }
                Action::WaitUntilExpiry => { now = model.current.map_or(now, |(_, end)| now.max(end)); None }
                Action::Issue(number) => {
                    let step = device.clone().issue_pairing_code(code(number), TTL, RequestContext::default(), now).ok();
                    prop_assert_eq!(step.is_some(), !model.claimed && !model.decommissioned);
                    if step.is_some() {
                        model.current = Some((number, now + TTL));
                        issued.push(number);
                    }
                    step
                }
                Action::Claim { back, own_merchant } => {
                    let number = issued[issued.len().saturating_sub(back + 1)];
                    let stranger = if model.at_other { MERCHANT } else { OTHER_MERCHANT };
                    let by = claimant(if own_merchant { model.merchant() } else { stranger });
                    let step = device.clone().claim(code(number), &by, RequestContext::default(), now).ok();
                    prop_assert_eq!(step.is_some(), model.claim(number, own_merchant, now));
                    if step.is_some() {
                        prop_assert_eq!(before.pairing_code_status(now), PairingCodeStatus::Pending);
                        assert!(claims_by_issue.insert(issued.len()), "one issued code claimed twice");
                    }
                    step
                }
                Action::Activate => {
                    let step = device.clone().activate(RequestContext::default(), now).ok();
                    prop_assert_eq!(step.is_some(), model.claimed && !model.activated);
                    if step.is_some() {
                        prop_assert_eq!(before.status(), DeviceStatus::Claimed, "activated only through claimed");
                        model.activated = true;
                    }
                    step
                }
                Action::Release => {
                    let step = device.clone().release(AuditContext::operator(), now).ok();
                    prop_assert_eq!(step.is_some(), model.claimed);
                    if step.is_some() { model = model.without_code(); }
                    step
                }
                Action::Update(number) => {
                    let updated = Model { label: Some(number), ..Model::default() }.details();
                    let step = device.clone().update(updated, AuditContext::operator(), now).ok();
                    prop_assert_eq!(step.is_some(), !model.decommissioned);
                    if step.is_some() { model.label = Some(number); }
                    step
                }
                Action::Transfer { to_first } => {
                    let to = if to_first { MERCHANT } else { OTHER_MERCHANT };
                    let step = device.clone().transfer_to(to, AuditContext::operator(), now).ok();
                    let allowed = !model.claimed && !model.decommissioned && to_first == model.at_other;
                    prop_assert_eq!(step.is_some(), allowed);
                    if step.is_some() { model = Model { at_other: !to_first, ..Model::default() }; }
                    step
                }
                Action::Decommission => {
                    let step = device.clone().decommission(AuditContext::operator(), now).ok();
                    prop_assert_eq!(step.is_some(), !model.decommissioned);
                    if step.is_some() { model = Model { decommissioned: true, ..model.without_code() }; }
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
