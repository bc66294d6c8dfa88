//! What tenants do with what is theirs: each rule, each refusal, and many at once.

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

/// Runs `call` for every caller at once, each on a task of its own.
async fn at_once<T, F>(fleet: &Arc<Fleet>, call: impl Fn(Arc<Fleet>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..32).map(|caller| tokio::spawn(call(fleet.clone(), caller))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn a_strangers_call_finds_nothing_and_changes_nothing() {
    let fleet = Fleet::new([]).await;
    let id = fleet.claimed(1).await;
    let place = fleet.location(MERCHANT).await;
    let before = fleet.storage.devices.find(&id).await.unwrap();
    let other = member(Party::Merchant(OTHER_MERCHANT), Role::Admin);
    // Even a reseller whose mandate was narrowed to the wrong merchant, or to none, is held off by the store.
    let wide = reseller(OTHER_RESELLER, Role::Admin);
    let sisters = fleet.parent(Role::Admin, SISTER).await;
    for stranger in [&other, &wide, &sisters] {
        for refused in [
            fleet.view.one(stranger, &id).await.map(|_| ()),
            fleet.view.events(stranger, &id, 0, 10).await.map(|_| ()),
            fleet.amend.execute(stranger, &id, &labelled("Mine")).await.map(|_| ()),
            fleet.release.execute(stranger, &id).await.map(|_| ()),
            fleet.decommission.execute(stranger, &id).await.map(|_| ()),
        ] {
            assert!(matches!(refused, Err(FleetError::UnknownDevice)), "{refused:?}");
        }
        let listed = fleet.view.list(stranger, DeviceFilter::default(), None, 10).await.unwrap();
        assert_eq!(listed.items, []);
        let refused = fleet.locations.one(stranger, place.id).await;
        assert!(matches!(refused, Err(FleetError::UnknownLocation)), "{refused:?}");
        let refused = fleet.locations.amend(stranger, place.id, Some(&name("Mine"))).await;
        assert!(matches!(refused, Err(FleetError::UnknownLocation)), "{refused:?}");
        assert_eq!(fleet.locations.list(stranger, None, 10).await.unwrap().items, []);
    }
    for stranger in [&other, &sisters] {
        let refused = fleet.provision.one(stranger, &new(None), None).await;
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
        let refused = fleet.locations.add(stranger, MERCHANT, &name("Mine"), None).await;
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
    }
    let refused = fleet.provision.one(&wide, &new(None), None).await;
    assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "the store sees to it: {refused:?}");
    for refused in [
        fleet.merchants.mandate(&wide, MERCHANT).await.map(|_| ()),
        fleet.merchants.one(&wide, MERCHANT).await.map(|_| ()),
        fleet.merchants.amend(&wide, MERCHANT, Some(&name("Mine"))).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
    }
    assert_eq!(fleet.storage.devices.find(&id).await.unwrap(), before);
    assert_eq!(
        fleet
            .storage
            .directory
            .find_merchant(pos_domain::Scope::Operator, MERCHANT)
            .await
            .unwrap()
            .unwrap()
            .name
            .as_str(),
        "Shop"
    );
    assert_eq!(fleet.acts(AuditKind::LocationAmended).await, []);
}

#[tokio::test]
async fn each_act_asks_for_its_role() {
    let fleet = Fleet::new([]).await;
    let (id, claimed) = (fleet.device(1).await, fleet.claimed(2).await);
    let place = fleet.location(MERCHANT).await;
    let forbidden = |what: &str, refused: Result<(), FleetError>| {
        assert!(matches!(refused, Err(FleetError::Forbidden)), "{what}: {refused:?}");
    };
    for viewer in [own(Role::Viewer), fleet.parent(Role::Viewer, MERCHANT).await] {
        fleet.view.one(&viewer, &id).await.unwrap();
        fleet.view.events(&viewer, &id, 0, 10).await.unwrap();
        fleet.locations.one(&viewer, place.id).await.unwrap();
        forbidden("provision", fleet.provision.one(&viewer, &new(None), None).await.map(|_| ()));
        forbidden("amend", fleet.amend.execute(&viewer, &id, &DetailsPatch::default()).await.map(|_| ()));
        forbidden("release", fleet.release.execute(&viewer, &claimed).await.map(|_| ()));
        forbidden("locate", fleet.locations.add(&viewer, MERCHANT, &name("x"), None).await.map(|_| ()));
        forbidden("rename", fleet.locations.amend(&viewer, place.id, None).await.map(|_| ()));
        forbidden("move", fleet.relocate.execute(&viewer, &id, SISTER).await.map(|_| ()));
    }
    for operator in [own(Role::Operator), fleet.parent(Role::Operator, MERCHANT).await] {
        forbidden("decommission", fleet.decommission.execute(&operator, &id).await.map(|_| ()));
    }
    forbidden("own move", fleet.relocate.execute(&own(Role::Admin), &id, SISTER).await.map(|_| ()));
    forbidden("own merchant", fleet.merchants.add(&own(Role::Admin), &name("x"), None).await.map(|_| ()));
    let operator = reseller(RESELLER, Role::Operator);
    fleet.merchants.one(&operator, MERCHANT).await.unwrap();
    forbidden("add merchant", fleet.merchants.add(&operator, &name("x"), None).await.map(|_| ()));
    forbidden("rename merchant", fleet.merchants.amend(&operator, MERCHANT, None).await.map(|_| ()));
    forbidden("operator's", fleet.merchants.add(&Mandate::operator(), &name("x"), None).await.map(|_| ()));
}

#[tokio::test]
async fn a_device_lives_its_life_and_leaves_a_trail() {
    let fleet = Fleet::new([]).await;
    let place = fleet.location(MERCHANT).await;
    let id = fleet.claimed(1).await;
    let (operator, admin) = (own(Role::Operator), own(Role::Admin));
    let patch = DetailsPatch { label: Some(Some(name("Till"))), location_id: Some(Some(place.id)) };
    let amended = fleet.amend.execute(&operator, &id, &patch).await.unwrap();
    assert_eq!(amended.details().location_id, Some(place.id));
    let same = fleet.amend.execute(&operator, &id, &patch).await.unwrap();
    assert_eq!(same.version(), amended.version(), "nothing changed");
    let kept =
        fleet.amend.execute(&operator, &id, &DetailsPatch { location_id: Some(None), label: None }).await.unwrap();
    assert_eq!((kept.details().label.as_ref().map(Name::as_str), kept.details().location_id), (Some("Till"), None));
    let parent = fleet.parent(Role::Operator, MERCHANT).await;
    let moved = fleet.relocate.execute(&parent, &id, SISTER).await;
    assert!(matches!(moved, Err(FleetError::Refused(StateRefusal::Move(MoveRefusal::AlreadyClaimed)))), "{moved:?}");
    assert_eq!(fleet.release.execute(&operator, &id).await.unwrap().status(), DeviceStatus::Inactive);
    let again = fleet.release.execute(&operator, &id).await;
    assert!(matches!(again, Err(FleetError::Refused(StateRefusal::Release(ReleaseRefusal::NotClaimed)))), "{again:?}");
    let moved = fleet.relocate.execute(&parent, &id, SISTER).await.unwrap();
    assert_eq!((moved.merchant_id(), moved.details()), (SISTER, &DeviceDetails::default()));
    assert!(matches!(fleet.view.one(&admin, &id).await, Err(FleetError::UnknownDevice)), "it is gone from here");
    let sister = member(Party::Merchant(SISTER), Role::Admin);
    let seen = fleet.view.events(&sister, &id, 0, 10).await.unwrap();
    assert_eq!(seen.items.iter().map(|event| event.kind).collect::<Vec<_>>(), [DeviceEventKind::Moved]);
    let out = fleet.decommission.execute(&sister, &id).await.unwrap();
    assert_eq!(out.status(), DeviceStatus::Decommissioned);
    let twice = fleet.decommission.execute(&sister, &id).await;
    let refusal = StateRefusal::Decommission(DecommissionRefusal::AlreadyDecommissioned);
    assert!(matches!(twice, Err(FleetError::Refused(why)) if why == refusal), "{twice:?}");
    let late = fleet.amend.execute(&sister, &id, &DetailsPatch::default()).await;
    let refusal = StateRefusal::Amend(AmendRefusal::Decommissioned);
    assert!(matches!(late, Err(FleetError::Refused(why)) if why == refusal), "{late:?}");
    use DeviceEventKind::{Amended, Claimed, Decommissioned, Moved, PairingCodeIssued, Provisioned, Released};
    let trail = [Provisioned, PairingCodeIssued, Claimed, Amended, Amended, Released, Moved, Decommissioned];
    assert_eq!(fleet.kinds(&id).await, trail);
    let events = fleet.storage.events.events_of(&History::whole(&id)).await.unwrap();
    let last = &events[7].act;
    assert_eq!((last.actor.to_string(), last.origin), ("user:ann".to_owned(), from(3).origin));
}

#[tokio::test]
async fn a_device_stands_only_where_its_merchant_does() {
    let fleet = Fleet::new([]).await;
    let (own_place, sisters) = (fleet.location(MERCHANT).await, fleet.location(SISTER).await);
    let parent = fleet.parent(Role::Admin, MERCHANT).await;
    let at = |place| NewDevice { details: DeviceDetails { label: None, location_id: Some(place) }, ..new(None) };
    let nowhere = LocationId(Uuid::from_u128(99));
    for place in [sisters.id, nowhere] {
        let refused = fleet.provision.one(&parent, &at(place), None).await;
        assert!(matches!(refused, Err(FleetError::NoSuchPlace(id)) if id == place), "{refused:?}");
    }
    let device = now(fleet.provision.one(&parent, &at(own_place.id), None).await.unwrap());
    let patch = DetailsPatch { label: None, location_id: Some(Some(sisters.id)) };
    let refused = fleet.amend.execute(&parent, device.id(), &patch).await;
    assert!(matches!(refused, Err(FleetError::NoSuchPlace(id)) if id == sisters.id), "{refused:?}");
    assert_eq!(fleet.kinds(device.id()).await, [DeviceEventKind::Provisioned]);
}

#[tokio::test]
async fn a_taken_id_is_refused_and_a_drawn_one_drawn_again() {
    let fleet = Fleet::new([1, 1, 2]).await;
    let id = fleet.device(1).await;
    let other = member(Party::Merchant(OTHER_MERCHANT), Role::Admin);
    let theirs = NewDevice { merchant_id: OTHER_MERCHANT, ..new(Some(id)) };
    let refused = fleet.provision.one(&other, &theirs, None).await;
    assert!(matches!(refused, Err(FleetError::Taken)), "{refused:?}");
    let drawn = now(fleet.provision.one(&other, &NewDevice { id: None, ..theirs }, None).await.unwrap());
    assert_eq!(drawn.id(), &DeviceId::from_bits(2));
}

#[tokio::test]
async fn a_move_asks_both_ends() {
    let fleet = Fleet::new([]).await;
    let id = fleet.device(1).await;
    let parent = fleet.parent(Role::Operator, MERCHANT).await;
    let nobody = MerchantId(Uuid::from_u128(99));
    for to in [OTHER_MERCHANT, nobody] {
        let refused = fleet.relocate.execute(&parent, &id, to).await;
        assert!(matches!(refused, Err(FleetError::UnknownMerchant)), "{refused:?}");
    }
    let same = fleet.relocate.execute(&parent, &id, MERCHANT).await;
    assert!(matches!(same, Err(FleetError::Refused(StateRefusal::Move(MoveRefusal::SameMerchant)))), "{same:?}");
    assert_eq!(fleet.relocate.execute(&Mandate::operator(), &id, nobody).await.unwrap().merchant_id(), nobody);
}

#[tokio::test]
async fn administrative_acts_are_on_record_once_and_only_when_something_changed() {
    let fleet = Fleet::new([]).await;
    let place = now(fleet.locations.add(&own(Role::Operator), MERCHANT, &name("Here"), None).await.unwrap());
    let merchant = now(fleet.merchants.add(&reseller(RESELLER, Role::Admin), &name("New"), None).await.unwrap());
    assert_eq!(merchant.reseller, Some(RESELLER));
    for text in ["There", "There"] {
        fleet.locations.amend(&own(Role::Operator), place.id, Some(&name(text))).await.unwrap();
        let admin = reseller(RESELLER, Role::Admin);
        fleet.merchants.amend(&admin, merchant.id, Some(&name(text))).await.unwrap();
    }
    for (kind, subject, of) in [
        (AuditKind::LocationAdded, Subject::Location(place.id), MERCHANT),
        (AuditKind::LocationAmended, Subject::Location(place.id), MERCHANT),
        (AuditKind::MerchantAmended, Subject::Merchant(merchant.id), merchant.id),
    ] {
        let told = fleet.acts(kind).await;
        assert_eq!(told.len(), 1, "{kind:?}");
        assert_eq!((&told[0].subject, told[0].merchant_id), (&Some(subject), Some(of)));
        assert_eq!(told[0].act.actor.to_string(), "user:ann");
    }
    let added = fleet.acts(AuditKind::MerchantAdded).await;
    assert_eq!(added.last().unwrap().subject, Some(Subject::Merchant(merchant.id)));
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let fleet = Fleet::new([]).await;
    for number in 1..=5 {
        fleet.device(number).await;
    }
    let own = own(Role::Viewer);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = fleet.view.list(&own, DeviceFilter::default(), after, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|device| device.id().clone()));
        after = seen.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=5).map(DeviceId::from_bits).collect::<Vec<_>>());
    let whole = fleet.view.list(&own, DeviceFilter::default(), None, 5).await.unwrap();
    assert!(!whole.more, "a full page may be the last");
    let filter = DeviceFilter { status: Some(DeviceStatus::Claimed), location_id: None };
    assert_eq!(fleet.view.list(&own, filter, None, 5).await.unwrap().items, []);
}

#[tokio::test]
async fn a_key_creates_once_until_its_time_is_over() {
    let fleet = Fleet::new([]).await;
    let own = own(Role::Operator);
    let first = now(fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"a"))).await.unwrap());
    let answer = format!("{first:?}");
    let again = fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"a"))).await.unwrap();
    assert_eq!(again, Created::Before(answer));
    let other = fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"b"))).await;
    assert!(matches!(other, Err(FleetError::KeyReused)), "{other:?}");
    let elsewhere = fleet.locations.add(&own, MERCHANT, &name("x"), Some(fleet.keyed("k", b"c"))).await;
    assert!(matches!(elsewhere, Err(FleetError::KeyReused)), "a key is one for all kinds of calls: {elsewhere:?}");
    let parent = fleet.parent(Role::Operator, MERCHANT).await;
    now(fleet.provision.one(&parent, &new(None), Some(fleet.keyed("k", b"b"))).await.unwrap());
    fleet.clock.advance(KEEP - Duration::microseconds(1));
    let late = fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"a"))).await.unwrap();
    assert!(matches!(late, Created::Before(_)), "{late:?}");
    fleet.clock.advance(Duration::microseconds(1));
    now(fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"b"))).await.unwrap());
}

#[tokio::test]
async fn a_refused_call_keeps_no_key() {
    let fleet = Fleet::new([]).await;
    let id = fleet.device(1).await;
    let own = own(Role::Operator);
    let refused = fleet.provision.one(&own, &new(Some(id)), Some(fleet.keyed("k", b"a"))).await;
    assert!(matches!(refused, Err(FleetError::Taken)), "{refused:?}");
    now(fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"b"))).await.unwrap());
    let told = fleet.keyed::<Merchant>("m", b"a");
    let refused = fleet.merchants.add(&reseller(RESELLER, Role::Operator), &name("x"), Some(told)).await;
    assert!(matches!(refused, Err(FleetError::Forbidden)), "{refused:?}");
    let admin = reseller(RESELLER, Role::Admin);
    let made = now(fleet.merchants.add(&admin, &name("x"), Some(fleet.keyed("m", b"b"))).await.unwrap());
    let again = fleet.merchants.add(&admin, &name("x"), Some(fleet.keyed("m", b"b"))).await.unwrap();
    assert_eq!(again, Created::Before(format!("{made:?}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_identical_calls_one_creates() {
    let fleet = Fleet::new([]).await;
    let answers = at_once(&fleet, |fleet, _| async move {
        fleet.provision.one(&own(Role::Operator), &new(None), Some(fleet.keyed("k", b"a"))).await.unwrap()
    })
    .await;
    let made: Vec<&Device> = answers
        .iter()
        .filter_map(|answer| match answer {
            Created::Now(device) => Some(device),
            Created::Before(_) => None,
        })
        .collect();
    assert_eq!(made.len(), 1);
    let told = format!("{:?}", made[0]);
    assert!(answers.iter().all(|answer| match answer {
        Created::Now(_) => true,
        Created::Before(text) => *text == told,
    }));
    let listed = fleet.view.list(&own(Role::Viewer), DeviceFilter::default(), None, 100).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_exactly_one_releases_moves_decommissions() {
    let fleet = Fleet::new([]).await;
    let id = fleet.claimed(1).await;
    let released = at_once(&fleet, |fleet, _| {
        let id = id.clone();
        async move { fleet.release.execute(&own(Role::Operator), &id).await.is_ok() }
    });
    assert_eq!(released.await.iter().filter(|ok| **ok).count(), 1);
    let moved = at_once(&fleet, |fleet, _| {
        let id = id.clone();
        async move {
            let parent = fleet.parent(Role::Operator, MERCHANT).await;
            fleet.relocate.execute(&parent, &id, SISTER).await.is_ok()
        }
    });
    assert_eq!(moved.await.iter().filter(|ok| **ok).count(), 1);
    let out = at_once(&fleet, |fleet, _| {
        let id = id.clone();
        async move { fleet.decommission.execute(&member(Party::Merchant(SISTER), Role::Admin), &id).await.is_ok() }
    });
    assert_eq!(out.await.iter().filter(|ok| **ok).count(), 1);
    use DeviceEventKind::{Decommissioned, Moved, Released};
    assert_eq!(fleet.kinds(&id).await[3..], [Released, Moved, Decommissioned]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_equal_amendments_one_leaves_an_event_and_of_many_different_each() {
    let fleet = Fleet::new([]).await;
    let id = fleet.device(1).await;
    let same = at_once(&fleet, |fleet, _| {
        let id = id.clone();
        async move { fleet.amend.execute(&own(Role::Operator), &id, &labelled("Till")).await.is_ok() }
    });
    assert!(same.await.iter().all(|ok| *ok));
    assert_eq!(fleet.kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Amended]);
    let each = at_once(&fleet, |fleet, caller| {
        let id = id.clone();
        async move { fleet.amend.execute(&own(Role::Operator), &id, &labelled(&format!("Till {caller}"))).await.is_ok() }
    });
    assert!(each.await.iter().all(|ok| *ok));
    assert_eq!(fleet.kinds(&id).await.len(), 2 + 32);
}
