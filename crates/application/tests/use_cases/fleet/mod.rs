//! What tenants do with what is theirs: each rule, each refusal, and many at once.

mod keys;
mod races;
mod rules;

use std::sync::Arc;

use pos_application::{
    AmendDevice, Answers, Created, DecommissionDevice, DetailsPatch, DeviceFilter, FleetError, KeyedCall,
    ManageLocations, ManageMerchants, Mandate, MoveDevice, NewDevice, ProvisionDevices, ReleaseDevice, StateRefusal,
    ViewDevices,
};
use pos_domain::{
    Act, AmendRefusal, AuditEvent, AuditKind, Claimant, DecommissionRefusal, Device, DeviceDetails, DeviceEventKind,
    DeviceId, DeviceStatus, Fingerprint, IdempotencyKey, Location, LocationId, Member, Merchant, MerchantId,
    MoveRefusal, Name, PairingCode, Party, ReleaseRefusal, Reseller, ResellerId, Role, Subject, UserId,
};
use pos_port_clock::{Clock, Entropy, ManualClock, ScriptedEntropy};
use pos_port_storage::{History, InMemoryStore, Span, Storage};
use time::Duration;
use uuid::Uuid;

use crate::{MERCHANT, OTHER_MERCHANT, START, TTL, from};

const SISTER: MerchantId = MerchantId(Uuid::from_u128(3));
const RESELLER: ResellerId = ResellerId(Uuid::from_u128(7));
const OTHER_RESELLER: ResellerId = ResellerId(Uuid::from_u128(8));
const KEEP: Duration = Duration::hours(1);

/// The reseller has two merchants, the other reseller has one.
struct Fleet {
    clock: Arc<ManualClock>,
    storage: Storage,
    provision: ProvisionDevices,
    view: ViewDevices,
    amend: AmendDevice,
    release: ReleaseDevice,
    decommission: DecommissionDevice,
    relocate: MoveDevice,
    locations: ManageLocations,
    merchants: ManageMerchants,
    answers: Answers,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

impl Fleet {
    async fn new(script: impl IntoIterator<Item = u32>) -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(START));
        let (time, chance): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (clock.clone(), Arc::new(ScriptedEntropy::new(script)));
        let storage = Storage::of(Arc::new(InMemoryStore::default()));
        for id in [RESELLER, OTHER_RESELLER] {
            let told = AuditEvent::of(AuditKind::ResellerAdded, Subject::Reseller(id), Act::operator(), START);
            let reseller = Reseller { id, name: name("Reseller"), created_at: START };
            storage.directory.add_reseller(&reseller, &told).await.unwrap();
        }
        for (id, reseller) in [(MERCHANT, RESELLER), (SISTER, RESELLER), (OTHER_MERCHANT, OTHER_RESELLER)] {
            let told = AuditEvent::of(AuditKind::MerchantAdded, Subject::Merchant(id), Act::operator(), START);
            let merchant = Merchant { id, name: name("Shop"), reseller: Some(reseller), created_at: START };
            storage.directory.add_merchant(&merchant, None, &told).await.unwrap();
        }
        let (fleet, directory) = (storage.fleet.clone(), storage.directory.clone());
        Arc::new(Self {
            provision: ProvisionDevices::new(fleet.clone(), time.clone(), chance.clone()),
            view: ViewDevices::new(fleet.clone(), storage.events.clone()),
            amend: AmendDevice::new(fleet.clone(), time.clone()),
            release: ReleaseDevice::new(fleet.clone(), time.clone()),
            decommission: DecommissionDevice::new(fleet.clone(), time.clone()),
            relocate: MoveDevice::new(fleet, directory.clone(), time.clone()),
            locations: ManageLocations::new(storage.locations.clone(), time.clone(), chance.clone()),
            merchants: ManageMerchants::new(directory, time, chance),
            answers: Answers::new(storage.answers.clone(), KEEP),
            clock,
            storage,
        })
    }

    /// A device of `MERCHANT`.
    async fn device(&self, number: u32) -> DeviceId {
        let id = DeviceId::from_bits(number);
        self.provision.one(&own(Role::Operator), &new(Some(id.clone())), None).await.unwrap();
        id
    }

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
        match self.locations.add(&Mandate::operator(), merchant, &name("Here"), None).await.unwrap() {
            Created::Now(location) => location,
            Created::Before(_) => panic!("no key was given"),
        }
    }

    /// The reseller's mandate in a merchant's affairs.
    async fn parent(&self, role: Role, merchant: MerchantId) -> Mandate {
        self.merchants.mandate(&reseller(RESELLER, role), merchant).await.unwrap()
    }

    fn keyed<T>(&self, key: &str, asks: &[u8]) -> KeyedCall<'_, T>
    where
        T: std::fmt::Debug,
    {
        let answer = |new: &T| Ok(format!("{new:?}"));
        self.answers.keyed(IdempotencyKey::parse(key).unwrap(), Fingerprint::of(&[asks]), answer)
    }

    async fn kinds(&self, id: &DeviceId) -> Vec<DeviceEventKind> {
        let events = self.storage.events.events_of(&History::whole(id)).await.unwrap();
        events.iter().map(|event| event.kind).collect()
    }

    async fn acts(&self, kind: AuditKind) -> Vec<AuditEvent> {
        let all = Span { limit: 1_000, ..Span::default() };
        let kept = self.storage.events.audit_by_time(&all, None).await.unwrap();
        kept.into_iter().map(|kept| kept.event).filter(|event| event.kind == kind).collect()
    }
}

fn member(party: Party, role: Role) -> Mandate {
    Mandate::of(&Member { user_id: UserId::parse("ann").unwrap(), party, role }, from(3))
}

fn own(role: Role) -> Mandate {
    member(Party::Merchant(MERCHANT), role)
}

fn reseller(id: ResellerId, role: Role) -> Mandate {
    member(Party::Reseller(id), role)
}

fn new(id: Option<DeviceId>) -> NewDevice {
    NewDevice { merchant_id: MERCHANT, id, details: DeviceDetails::default() }
}

fn labelled(text: &str) -> DetailsPatch {
    DetailsPatch { label: Some(Some(name(text))), location_id: None }
}

fn now<T: std::fmt::Debug>(created: Created<T>) -> T {
    match created {
        Created::Now(new) => new,
        before @ Created::Before(_) => panic!("{before:?}"),
    }
}
