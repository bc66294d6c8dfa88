//! Concurrent management of one device.

use std::sync::Arc;

use pos_application::fleet::{
    DecommissionDevice, DetailsPatch, NewDevice, ProvisionDevices, TransferDevice, UpdateDevice, VerifyDeviceChains,
};
use pos_application::support::{
    Authorization, EncodedResponse, FleetError, Idempotency, MerchantAuthorization, StateRefusal,
};
use pos_domain::device::{DecommissionRefusal, Device, DeviceDetails, DeviceEventKind, DeviceStatus, TransferRefusal};
use pos_domain::shared::{DeviceId, Fingerprint, IdempotencyKey, Name, Party, RequestContext, Role, Scope, UserId};
use pos_domain::tenancy::Member;
use pos_port_clock::{Clock, ManualClock, ScriptedEntropy};
use pos_port_storage::Storage;
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::fleet::DevicePage;
use pos_tests::server::{MERCHANT, OTHER_MERCHANT, START};

use super::{CALLERS, TTL, concurrently, on_every_store};

/// The fleet use cases of one replica.
struct FleetFixture {
    storage: Storage,
    provision: ProvisionDevices,
    update: UpdateDevice,
    transfer: TransferDevice,
    decommission: DecommissionDevice,
    idempotency: Idempotency,
}

impl FleetFixture {
    fn new(storage: Storage) -> Arc<Self> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START));
        let fleet = storage.fleet.clone();
        Arc::new(Self {
            provision: ProvisionDevices::new(fleet.clone(), clock.clone(), Arc::new(ScriptedEntropy::new([1]))),
            update: UpdateDevice::new(fleet.clone(), clock.clone()),
            transfer: TransferDevice::new(fleet.clone(), storage.directory.clone(), clock.clone()),
            decommission: DecommissionDevice::new(fleet, clock),
            idempotency: Idempotency::new(storage.idempotency.clone(), TTL),
            storage,
        })
    }

    async fn device(&self) -> DeviceId {
        for merchant in [MERCHANT, OTHER_MERCHANT] {
            pos_tests::users::add_merchant(&self.storage, merchant).await;
        }
        let new = NewDevice { id: None, details: DeviceDetails::default() };
        self.provision.one(&MerchantAuthorization::operator(MERCHANT), &new).await.unwrap().id().clone()
    }

    async fn kinds(&self, id: &DeviceId) -> Vec<DeviceEventKind> {
        let verify = VerifyDeviceChains::new(self.storage.fleet.clone(), self.storage.events.clone());
        assert_eq!(verify.page(None).await.unwrap().faults, [], "the hash chain is intact");
        let events = self.storage.events.events_of(&DeviceHistory::whole(id)).await.unwrap();
        events.iter().map(|event| event.kind).collect()
    }
}

fn label_patch(text: &str) -> DetailsPatch {
    DetailsPatch { label: Some(Some(Name::parse(text).unwrap())), location_id: None }
}

/// Number of successes. Panics unless every other call was refused with `refused`.
fn successes(idempotency: &[Result<Device, FleetError>], refused: StateRefusal) -> usize {
    let succeeded = |answer: &&Result<Device, FleetError>| match answer {
        Ok(_) => true,
        Err(FleetError::Refused(why)) if *why == refused => false,
        other => panic!("no serial order gives {other:?}"),
    };
    idempotency.iter().filter(succeeded).count()
}

async fn a_device_is_transferred_once(storage: Storage) {
    let fixture = FleetFixture::new(storage);
    let id = fixture.device().await;
    let idempotency = concurrently(CALLERS, |_| {
        let (fixture, id) = (fixture.clone(), id.clone());
        async move { fixture.transfer.execute(&Authorization::operator(), &id, OTHER_MERCHANT).await }
    })
    .await;
    assert_eq!(successes(&idempotency, StateRefusal::Move(TransferRefusal::SameMerchant)), 1);
    assert_eq!(fixture.kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Transferred]);
}

async fn a_device_is_decommissioned_once(storage: Storage) {
    let fixture = FleetFixture::new(storage);
    let id = fixture.device().await;
    let idempotency = concurrently(CALLERS, |_| {
        let (fixture, id) = (fixture.clone(), id.clone());
        async move { fixture.decommission.execute(&Authorization::operator(), &id).await }
    })
    .await;
    let again = StateRefusal::Decommission(DecommissionRefusal::AlreadyDecommissioned);
    assert_eq!(successes(&idempotency, again), 1);
    assert_eq!(fixture.kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Decommissioned]);
}

async fn equal_updates_leave_one_event_and_different_updates_one_each(storage: Storage) {
    let fixture = FleetFixture::new(storage);
    let id = fixture.device().await;
    let update = async |distinct: bool| {
        concurrently(CALLERS, |caller| {
            let (fixture, id) = (fixture.clone(), id.clone());
            let label = if distinct { format!("Till {caller}") } else { "Till".to_owned() };
            async move { fixture.update.execute(&Authorization::operator(), &id, &label_patch(&label)).await }
        })
        .await
    };
    assert!(update(false).await.iter().all(Result::is_ok));
    assert_eq!(fixture.kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Updated]);
    assert!(update(true).await.iter().all(Result::is_ok));
    assert_eq!(fixture.kinds(&id).await.len(), 2 + CALLERS);
}

/// A decommission wins over concurrent calls: no event follows it.
async fn no_event_follows_a_decommission(storage: Storage) {
    let fixture = FleetFixture::new(storage);
    let id = fixture.device().await;
    concurrently(CALLERS, |caller| {
        let (fixture, id) = (fixture.clone(), id.clone());
        async move {
            let operator = Authorization::operator();
            if caller == CALLERS / 2 {
                fixture.decommission.execute(&operator, &id).await.unwrap();
            } else if caller % 2 == 0 {
                let patch = label_patch(&format!("Till {caller}"));
                fixture.update.execute(&operator, &id, &patch).await.ok();
            } else {
                fixture.transfer.execute(&operator, &id, OTHER_MERCHANT).await.ok();
            }
        }
    })
    .await;
    let kinds = fixture.kinds(&id).await;
    let decommissions = kinds.iter().filter(|kind| **kind == DeviceEventKind::Decommissioned).count();
    assert_eq!((kinds.last(), decommissions), (Some(&DeviceEventKind::Decommissioned), 1), "{kinds:?}");
    let device = fixture.storage.devices.find(&id).await.unwrap().unwrap();
    assert_eq!((device.status(), device.version()), (DeviceStatus::Decommissioned, kinds.len() as u64));
}

async fn one_key_creates_one_device(storage: Storage) {
    pos_tests::users::add_merchant(&storage, MERCHANT).await;
    let fixture = FleetFixture::new(storage);
    let party = Party::Merchant(MERCHANT);
    let idempotency = concurrently(CALLERS, |caller| {
        let fixture = fixture.clone();
        async move {
            let user_id = UserId::parse(&format!("user-{caller}")).unwrap();
            let member = Member { user_id, party, role: Role::Operator };
            let authorization = MerchantAuthorization::of(&member, RequestContext::default()).unwrap();
            let new = NewDevice { id: None, details: DeviceDetails::default() };
            let (key, fingerprint) = (IdempotencyKey::parse("key").unwrap(), Fingerprint::of(&[b"a device"]));
            let encoder = fixture.idempotency.keyed(key, fingerprint, |device: &Device| Ok(device.id().to_string()));
            fixture.provision.one_encoded(&authorization, &new, encoder).await.unwrap()
        }
    })
    .await;
    let created: Vec<_> = idempotency
        .iter()
        .filter_map(|answer| match answer {
            EncodedResponse::New(body) => Some(body),
            EncodedResponse::Replayed(_) => None,
        })
        .collect();
    assert_eq!(created.len(), 1, "one call created a device");
    let replayed =
        |answer: &&EncodedResponse| matches!(answer, EncodedResponse::Replayed(response) if response == created[0]);
    assert_eq!(idempotency.iter().filter(replayed).count(), CALLERS - 1, "all others got the stored response");
    let page = DevicePage::first(Scope::Operator, 100);
    assert_eq!(fixture.storage.fleet.list(&page).await.unwrap().len(), 1);
}

on_every_store!(
    a_device_is_transferred_once,
    a_device_is_decommissioned_once,
    equal_updates_leave_one_event_and_different_updates_one_each,
    no_event_follows_a_decommission,
    one_key_creates_one_device,
);
