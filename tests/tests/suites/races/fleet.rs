//! Many who manage one device at once.

use std::sync::Arc;

use pos_application::{
    AmendDevice, Answers, Created, DecommissionDevice, DetailsPatch, FleetError, Mandate, MoveDevice, NewDevice,
    ProvisionDevices, StateRefusal, VerifyAudit,
};
use pos_domain::{
    CallContext, DecommissionRefusal, Device, DeviceDetails, DeviceEventKind, DeviceId, DeviceStatus, Fingerprint,
    IdempotencyKey, Member, MoveRefusal, Name, Party, Role, Scope, UserId,
};
use pos_port_clock::{Clock, ManualClock, ScriptedEntropy};
use pos_port_storage::{DevicePage, History, Storage};
use pos_tests::server::{MERCHANT, OTHER_MERCHANT, START};

use super::{CALLERS, TTL, at_once, on_every_store};

struct Managers {
    storage: Storage,
    provision: ProvisionDevices,
    amend: AmendDevice,
    relocate: MoveDevice,
    decommission: DecommissionDevice,
    answers: Answers,
}

impl Managers {
    fn new(storage: Storage) -> Arc<Self> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START));
        let fleet = storage.fleet.clone();
        Arc::new(Self {
            provision: ProvisionDevices::new(fleet.clone(), clock.clone(), Arc::new(ScriptedEntropy::new([1]))),
            amend: AmendDevice::new(fleet.clone(), clock.clone()),
            relocate: MoveDevice::new(fleet.clone(), storage.directory.clone(), clock.clone()),
            decommission: DecommissionDevice::new(fleet, clock),
            answers: Answers::new(storage.answers.clone(), TTL),
            storage,
        })
    }

    async fn device(&self) -> DeviceId {
        for merchant in [MERCHANT, OTHER_MERCHANT] {
            pos_tests::people::add_merchant(&self.storage, merchant).await;
        }
        let new = NewDevice { merchant_id: MERCHANT, id: None, details: DeviceDetails::default() };
        match self.provision.one(&Mandate::operator(), &new, None).await.unwrap() {
            Created::Now(device) => device.id().clone(),
            Created::Before(_) => panic!("no key was given"),
        }
    }

    async fn kinds(&self, id: &DeviceId) -> Vec<DeviceEventKind> {
        let verify = VerifyAudit::new(self.storage.fleet.clone(), self.storage.events.clone());
        assert_eq!(verify.page(None).await.unwrap().faults, [], "the chain holds");
        let events = self.storage.events.events_of(&History::whole(id)).await.unwrap();
        events.iter().map(|event| event.kind).collect()
    }
}

fn labelled(text: &str) -> DetailsPatch {
    DetailsPatch { label: Some(Some(Name::parse(text).unwrap())), location_id: None }
}

/// How many succeeded; the others must have been refused as `refused` says.
fn successes(answers: &[Result<Device, FleetError>], refused: StateRefusal) -> usize {
    let told = |answer: &&Result<Device, FleetError>| match answer {
        Ok(_) => true,
        Err(FleetError::Refused(why)) if *why == refused => false,
        other => panic!("no queue gives {other:?}"),
    };
    answers.iter().filter(told).count()
}

async fn a_device_is_moved_once(storage: Storage) {
    let managers = Managers::new(storage);
    let id = managers.device().await;
    let answers = at_once(CALLERS, |_| {
        let (managers, id) = (managers.clone(), id.clone());
        async move { managers.relocate.execute(&Mandate::operator(), &id, OTHER_MERCHANT).await }
    })
    .await;
    assert_eq!(successes(&answers, StateRefusal::Move(MoveRefusal::SameMerchant)), 1);
    assert_eq!(managers.kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Moved]);
}

async fn a_device_is_decommissioned_once(storage: Storage) {
    let managers = Managers::new(storage);
    let id = managers.device().await;
    let answers = at_once(CALLERS, |_| {
        let (managers, id) = (managers.clone(), id.clone());
        async move { managers.decommission.execute(&Mandate::operator(), &id).await }
    })
    .await;
    let again = StateRefusal::Decommission(DecommissionRefusal::AlreadyDecommissioned);
    assert_eq!(successes(&answers, again), 1);
    assert_eq!(managers.kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Decommissioned]);
}

async fn equal_amendments_leave_one_event_and_different_ones_each_theirs(storage: Storage) {
    let managers = Managers::new(storage);
    let id = managers.device().await;
    let amend = async |distinct: bool| {
        at_once(CALLERS, |caller| {
            let (managers, id) = (managers.clone(), id.clone());
            let label = if distinct { format!("Till {caller}") } else { "Till".to_owned() };
            async move { managers.amend.execute(&Mandate::operator(), &id, &labelled(&label)).await }
        })
        .await
    };
    assert!(amend(false).await.iter().all(Result::is_ok));
    assert_eq!(managers.kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Amended]);
    assert!(amend(true).await.iter().all(Result::is_ok));
    assert_eq!(managers.kinds(&id).await.len(), 2 + CALLERS);
}

/// An end wins over whatever else is under way: after it nothing more happens to the device.
async fn nothing_happens_to_a_device_after_its_end(storage: Storage) {
    let managers = Managers::new(storage);
    let id = managers.device().await;
    at_once(CALLERS, |caller| {
        let (managers, id) = (managers.clone(), id.clone());
        async move {
            let operator = Mandate::operator();
            if caller == CALLERS / 2 {
                managers.decommission.execute(&operator, &id).await.unwrap();
            } else if caller % 2 == 0 {
                let patch = labelled(&format!("Till {caller}"));
                managers.amend.execute(&operator, &id, &patch).await.ok();
            } else {
                managers.relocate.execute(&operator, &id, OTHER_MERCHANT).await.ok();
            }
        }
    })
    .await;
    let kinds = managers.kinds(&id).await;
    let ends = kinds.iter().filter(|kind| **kind == DeviceEventKind::Decommissioned).count();
    assert_eq!((kinds.last(), ends), (Some(&DeviceEventKind::Decommissioned), 1), "{kinds:?}");
    let device = managers.storage.devices.find(&id).await.unwrap().unwrap();
    assert_eq!((device.status(), device.version()), (DeviceStatus::Decommissioned, kinds.len() as u64));
}

async fn one_key_creates_one_device(storage: Storage) {
    pos_tests::people::add_merchant(&storage, MERCHANT).await;
    let managers = Managers::new(storage);
    let party = Party::Merchant(MERCHANT);
    let answers = at_once(CALLERS, |caller| {
        let managers = managers.clone();
        async move {
            let user_id = UserId::parse(&format!("user-{caller}")).unwrap();
            let mandate = Mandate::of(&Member { user_id, party, role: Role::Operator }, CallContext::default());
            let new = NewDevice { merchant_id: MERCHANT, id: None, details: DeviceDetails::default() };
            let (key, asks) = (IdempotencyKey::parse("key").unwrap(), Fingerprint::of(&[b"a device"]));
            let call = managers.answers.keyed(key, asks, |device: &Device| Ok(device.id().to_string()));
            managers.provision.one(&mandate, &new, Some(call)).await.unwrap()
        }
    })
    .await;
    let made: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Created::Now(device) => Some(device.id().to_string()),
            Created::Before(_) => None,
        })
        .collect();
    assert_eq!(made.len(), 1, "one created");
    let same = |answer: &&Created<Device>| matches!(answer, Created::Before(told) if *told == made[0]);
    assert_eq!(answers.iter().filter(same).count(), CALLERS - 1, "all others were told of it");
    let page = DevicePage::first(Scope::Operator, 100);
    assert_eq!(managers.storage.fleet.list(&page).await.unwrap().len(), 1);
}

on_every_store!(
    a_device_is_moved_once,
    a_device_is_decommissioned_once,
    equal_amendments_leave_one_event_and_different_ones_each_theirs,
    nothing_happens_to_a_device_after_its_end,
    one_key_creates_one_device,
);
