//! Tests of the fleet use cases: rules, refusals and concurrency.

mod keys;
mod races;
mod rules;

use std::sync::Arc;

use pos_application::fleet::{
    DecommissionDevice, DetailsPatch, DeviceFilter, DeviceQueries, NewDevice, ProvisionDevices, ReleaseDevice,
    TransferDevice, UpdateDevice,
};
use pos_application::support::{
    Authorization, EncodedResponse, FleetError, Idempotency, MerchantAuthorization, ResponseEncoder, StateRefusal,
};
use pos_application::tenancy::{ManageLocations, ManageMerchants};
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::device::{
    DecommissionRefusal, DeviceDetails, DeviceEventKind, DeviceStatus, PairingCode, ReleaseRefusal, TransferRefusal,
    UpdateRefusal,
};
use pos_domain::shared::Claimant;
use pos_domain::shared::{
    AuditContext, DeviceId, Fingerprint, IdempotencyKey, LocationId, MerchantId, Name, Party, ResellerId, Role, UserId,
};
use pos_domain::tenancy::{Location, Member, Merchant, Reseller};
use pos_port_clock::{Clock, Entropy, ManualClock, ScriptedEntropy};
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::shared::TimeRange;
use pos_port_storage::{InMemoryStore, Storage};
use time::Duration;
use uuid::Uuid;

use crate::{MERCHANT, OTHER_MERCHANT, START, TTL, from};

const SISTER: MerchantId = MerchantId(Uuid::from_u128(3));
const RESELLER: ResellerId = ResellerId(Uuid::from_u128(7));
const OTHER_RESELLER: ResellerId = ResellerId(Uuid::from_u128(8));
const KEEP: Duration = Duration::hours(1);

/// All fleet use cases on one store. One reseller has two merchants, the other has one.
struct FleetFixture {
    clock: Arc<ManualClock>,
    storage: Storage,
    provision: ProvisionDevices,
    queries: DeviceQueries,
    update: UpdateDevice,
    release: ReleaseDevice,
    decommission: DecommissionDevice,
    transfer: TransferDevice,
    locations: ManageLocations,
    merchants: ManageMerchants,
    idempotency: Idempotency,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

impl FleetFixture {
    async fn new(script: impl IntoIterator<Item = u32>) -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(START));
        let (time, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (clock.clone(), Arc::new(ScriptedEntropy::new(script)));
        let storage = Storage::of(Arc::new(InMemoryStore::default()));
        for id in [RESELLER, OTHER_RESELLER] {
            let audit =
                AuditEvent::of(AuditKind::ResellerAdded, Subject::Reseller(id), AuditContext::operator(), START);
            let reseller = Reseller { id, name: name("Reseller"), created_at: START };
            storage.directory.add_reseller(&reseller, &audit).await.unwrap();
        }
        for (id, reseller) in [(MERCHANT, RESELLER), (SISTER, RESELLER), (OTHER_MERCHANT, OTHER_RESELLER)] {
            let audit =
                AuditEvent::of(AuditKind::MerchantAdded, Subject::Merchant(id), AuditContext::operator(), START);
            let merchant = Merchant { id, name: name("Shop"), reseller: Some(reseller), created_at: START };
            storage.directory.add_merchant(&merchant, None, &audit).await.unwrap();
        }
        let (fleet, directory) = (storage.fleet.clone(), storage.directory.clone());
        Arc::new(Self {
            provision: ProvisionDevices::new(fleet.clone(), time.clone(), entropy.clone()),
            queries: DeviceQueries::new(fleet.clone(), storage.events.clone()),
            update: UpdateDevice::new(fleet.clone(), time.clone()),
            release: ReleaseDevice::new(fleet.clone(), time.clone()),
            decommission: DecommissionDevice::new(fleet.clone(), time.clone()),
            transfer: TransferDevice::new(fleet, directory.clone(), time.clone()),
            locations: ManageLocations::new(storage.locations.clone(), time.clone(), entropy.clone()),
            merchants: ManageMerchants::new(directory, time, entropy),
            idempotency: Idempotency::new(storage.idempotency.clone(), KEEP),
            clock,
            storage,
        })
    }

    /// Provisions a device of `MERCHANT`.
    async fn device(&self, number: u32) -> DeviceId {
        let id = DeviceId::from_bits(number);
        self.provision.one(&own(Role::Operator), &new(Some(id.clone()))).await.unwrap();
        id
    }

    /// Provisions a device of `MERCHANT` and claims it.
    async fn claimed(&self, number: u32) -> DeviceId {
        let id = self.device(number).await;
        let claimant = Claimant { merchant_id: MERCHANT, user_id: UserId::parse("ann").unwrap() };
        let device = self.storage.devices.find(&id).await.unwrap().unwrap();
        let code = PairingCode::from_bits(number);
        let shown = device.issue_pairing_code(code, TTL, from(1), START).unwrap();
        self.storage.devices.save(&shown).await.unwrap();
        let claimed = shown.into_device().claim(code, &claimant, from(1), START).unwrap();
        self.storage.devices.save(&claimed).await.unwrap();
        id
    }

    async fn location(&self, merchant: MerchantId) -> Location {
        self.locations.add(&MerchantAuthorization::operator(merchant), &name("Here")).await.unwrap()
    }

    /// The reseller's authorization for a merchant.
    async fn parent(&self, role: Role, merchant: MerchantId) -> MerchantAuthorization {
        self.merchants.authorization(&reseller(RESELLER, role), merchant).await.unwrap()
    }

    fn keyed<T>(&self, key: &str, asks: &[u8]) -> ResponseEncoder<'_, T>
    where
        T: std::fmt::Debug,
    {
        let serialize = |new: &T| Ok(format!("{new:?}"));
        self.idempotency.keyed(IdempotencyKey::parse(key).unwrap(), Fingerprint::of(&[asks]), serialize)
    }

    async fn kinds(&self, id: &DeviceId) -> Vec<DeviceEventKind> {
        let events = self.storage.events.events_of(&DeviceHistory::whole(id)).await.unwrap();
        events.iter().map(|event| event.kind).collect()
    }

    async fn audit_events(&self, kind: AuditKind) -> Vec<AuditEvent> {
        let all = TimeRange { limit: 1_000, ..TimeRange::default() };
        let stored = self.storage.trail.audit_by_time(&all, None).await.unwrap();
        stored.into_iter().map(|stored| stored.event).filter(|event| event.kind == kind).collect()
    }
}

fn ann(party: Party, role: Role) -> Member {
    Member { user_id: UserId::parse("ann").unwrap(), party, role }
}

/// The authorization of a merchant's member.
fn member(merchant: MerchantId, role: Role) -> MerchantAuthorization {
    MerchantAuthorization::of(&ann(Party::Merchant(merchant), role), from(3)).unwrap()
}

fn own(role: Role) -> MerchantAuthorization {
    member(MERCHANT, role)
}

fn reseller(id: ResellerId, role: Role) -> Authorization {
    Authorization::of(&ann(Party::Reseller(id), role), from(3))
}

fn new(id: Option<DeviceId>) -> NewDevice {
    NewDevice { id, details: DeviceDetails::default() }
}

fn labelled(text: &str) -> DetailsPatch {
    DetailsPatch { label: Some(Some(name(text))), location_id: None }
}

fn new_body(response: EncodedResponse) -> String {
    match response {
        EncodedResponse::New(body) => body,
        before @ EncodedResponse::Replayed(_) => panic!("{before:?}"),
    }
}
