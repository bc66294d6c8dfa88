//! Room that is taken back: all that is over goes, in small batches, and nothing else does.

use pos_domain::{
    Act, AuditEvent, AuditKind, ChainCheck, ClaimLimit, DeviceId, Fingerprint, IdempotencyKey, ImportMode,
};
use pos_domain::{EventAnchor, Party, SHORTEST_EVENT_RETENTION, Scope, Session, Subject};
use time::{Duration, OffsetDateTime};

use super::audit::on_record;
use super::fixtures::{
    at, claimant, claimed, code, context, created, found, id, issued, keep, merchant, new, refused, user, waiting,
};
use super::imports::{device, import, row, seal, upload};
use super::tenancy::{anna, log_out, logout_of, session_of, start, token};
use crate::{History, Logout, Once, ReclaimBatch, Reclaimable, Reclaimed, ReclaimedBatch, Storage};

const LIMIT: ClaimLimit = ClaimLimit { max_failures: 10, window: Duration::seconds(300) };

pub(super) fn batch(what: Reclaimable, before: OffsetDateTime, at_most: u32) -> ReclaimBatch {
    ReclaimBatch { what, before, at_most, after: None, now: at(1_000_000) }
}

async fn one(storage: &Storage, batch: &ReclaimBatch) -> ReclaimedBatch {
    match storage.reclaiming.reclaim(batch).await.unwrap() {
        Reclaimed::Done(done) => done,
        Reclaimed::Elsewhere => panic!("nobody else is in a batch"),
    }
}

/// Batch after batch until nothing is left; answers how many went in each.
async fn all(storage: &Storage, what: Reclaimable, before: OffsetDateTime, at_most: u32) -> Vec<u64> {
    let mut batch = batch(what, before, at_most);
    let mut went = Vec::new();
    loop {
        let done = one(storage, &batch).await;
        assert!(done.removed <= at_most.into(), "{done:?}");
        went.push(done.removed);
        if !done.more {
            return went;
        }
        assert!(went.len() < 100, "it never ends: {went:?}");
        batch.after = done.through;
    }
}

async fn counted(storage: &Storage, what: Reclaimable, before: OffsetDateTime) -> u64 {
    storage.reclaiming.reclaimable(what, before, 1_000).await.unwrap()
}

/// Three rows are over at three instants: what is counted, what goes, and what stays.
async fn goes_by_its_instant(storage: &Storage, what: Reclaimable, instants: [OffsetDateTime; 3]) {
    let microsecond = Duration::microseconds(1);
    assert_eq!(counted(storage, what, instants[0] - microsecond).await, 0, "{what:?}");
    assert_eq!(all(storage, what, instants[0] - microsecond, 10).await, [0], "{what:?}");
    assert_eq!(counted(storage, what, instants[2] - microsecond).await, 2, "{what:?}");
    assert_eq!(storage.reclaiming.reclaimable(what, instants[2], 2).await.unwrap(), 2, "no further than it is asked");
    assert_eq!(all(storage, what, instants[0], 10).await, [1], "to the instant: {what:?}");
    assert_eq!(counted(storage, what, instants[2]).await, 2, "{what:?}");
}

/// An ended code goes by the instant it ended; the codes that are shown stay, and it is unknown from then on.
pub async fn ended_codes_go(storage: Storage) {
    for number in 1..=3 {
        let device = waiting(&storage, number, number).await;
        keep(&storage, issued(device, 10 + number, 100 * i64::from(number))).await;
    }
    goes_by_its_instant(&storage, Reclaimable::EndedCodes, [at(100), at(200), at(300)]).await;
    assert_eq!(storage.devices.find_ended_code(code(1)).await.unwrap(), None);
    assert!(storage.devices.find_ended_code(code(2)).await.unwrap().is_some());
    assert!(storage.devices.find_by_pairing_code(code(11)).await.unwrap().is_some());
    assert_eq!(all(&storage, Reclaimable::EndedCodes, at(300), 1).await, [1, 1, 0]);
}

/// Windows of failures go by their beginnings, both sorts, and others are counted on.
pub async fn windows_of_failures_go(storage: Storage) {
    for (name, seconds) in [("anna", 1), ("bert", 2), ("carl", 3)] {
        let by = pos_domain::Claimant { user_id: user(name), ..claimant() };
        storage.failures.record(&refused(&by, at(seconds * 1_000)), &LIMIT).await.unwrap();
        storage.client_failures.record(name, &LIMIT, at(seconds * 1_000)).await.unwrap();
    }
    let instants = [at(1_000), at(2_000), at(3_000)];
    goes_by_its_instant(&storage, Reclaimable::ClientFailures, instants).await;
    assert_eq!(storage.client_failures.window("anna").await.unwrap(), None);
    assert_eq!(storage.client_failures.record("bert", &LIMIT, at(2_001)).await.unwrap().failures, 2);
    // The merchant's own window began anew with each failure, the last at the third instant.
    assert_eq!(counted(&storage, Reclaimable::ClaimFailures, at(3_000)).await, 4);
    assert_eq!(all(&storage, Reclaimable::ClaimFailures, at(2_000), 1).await, [1, 1, 0]);
    let standing = storage.failures.standing(&claimant()).await.unwrap();
    assert_eq!((standing.user, standing.merchant.map(|window| window.started_at)), (None, Some(at(3_000))));
}

/// Tokens whose session was ended go when they are over, and keep out until then.
pub async fn ended_tokens_go(storage: Storage) {
    let anna = anna(&storage).await;
    for number in 1..=3 {
        start(&storage, &session_of(number, &anna)).await.unwrap();
        let told = AuditEvent::of(AuditKind::SessionEnded, Subject::User(user("anna")), Act::operator(), at(0));
        assert!(storage.sessions.end(&token(number), at(100 * i64::from(number)), &told).await.unwrap());
    }
    goes_by_its_instant(&storage, Reclaimable::EndedTokens, [at(100), at(200), at(300)]).await;
    start(&storage, &session_of(1, &anna)).await.unwrap();
    assert!(start(&storage, &session_of(2, &anna)).await.is_err(), "it is kept");
    assert_eq!(all(&storage, Reclaimable::EndedTokens, at(300), 10).await, [2]);
    start(&storage, &session_of(2, &anna)).await.unwrap();
}

/// Sessions and logouts go when they are over; those that hold are found, and a logout that holds keeps out.
pub async fn sessions_and_logouts_go(storage: Storage) {
    let anna = anna(&storage).await;
    for number in 1..=3 {
        let ends_at = at(100 * i64::from(number));
        start(&storage, &Session { ends_at, ..session_of(number, &anna) }).await.unwrap();
        let logout = logout_of(10 + number);
        log_out(&storage, &logout, ends_at).await.unwrap();
    }
    let instants = [at(100), at(200), at(300)];
    goes_by_its_instant(&storage, Reclaimable::Sessions, instants).await;
    assert!(storage.sessions.find(&token(2), at(50)).await.unwrap().is_some());
    goes_by_its_instant(&storage, Reclaimable::Logouts, instants).await;
    let again = |number| Session { ends_at: at(500), ..session_of(number, &anna) };
    start(&storage, &again(11)).await.unwrap();
    assert!(start(&storage, &again(12)).await.is_err(), "its logout holds");
    let everybody = Logout::User { user_id: user("anna"), issued_until: at(4) };
    log_out(&storage, &everybody, at(250)).await.unwrap();
    assert_eq!(all(&storage, Reclaimable::Logouts, at(300), 2).await, [2, 1]);
    assert_eq!(all(&storage, Reclaimable::Sessions, at(499), 10).await, [2]);
    assert!(storage.sessions.find(&token(11), at(50)).await.unwrap().is_some());
}

/// Kept answers go at the instant to which they are kept.
pub async fn answers_go(storage: Storage) {
    super::tenancy::with_merchant(&storage, merchant(1)).await;
    let once = |number: u32| Once {
        party: Party::Merchant(merchant(1)),
        key: IdempotencyKey::parse(&format!("key-{number}")).unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: number.to_string(),
        at: at(0),
        keep_until: at(100 * i64::from(number)),
    };
    for number in 1..=3 {
        storage.fleet.create(Scope::Operator, &[new(number)], Some(&once(number))).await.unwrap();
    }
    goes_by_its_instant(&storage, Reclaimable::Answers, [at(100), at(200), at(300)]).await;
    let kept = async |number| storage.answers.find(once(number).party, &once(number).key, at(0)).await.unwrap();
    assert_eq!(kept(1).await, None);
    assert_eq!(kept(2).await.map(|kept| kept.answer).as_deref(), Some("2"));
}

/// Imports go with their rows, in pieces; the devices stay.
pub async fn imports_go(storage: Storage) {
    super::tenancy::populated(&storage).await;
    let over = import(1, Scope::Operator);
    storage.staging.open(&upload(over, ImportMode::AllOrNothing, None)).await.unwrap();
    let rows: Vec<_> = (1..=5).map(|number| row(number.into(), device(number, 1))).collect();
    storage.staging.stage(&over, &rows, at(600)).await.unwrap();
    storage.staging.seal(&over, &seal(5, 10)).await.unwrap();
    storage.imports.conclude(&over, at(20)).await.unwrap();
    let end = at(10 + super::imports::KEEP);
    assert_eq!(counted(&storage, Reclaimable::Imports, end - Duration::microseconds(1)).await, 0);
    assert_eq!(counted(&storage, Reclaimable::Imports, end).await, 6);
    assert_eq!(all(&storage, Reclaimable::Imports, end, 4).await, [4, 2]);
    assert_eq!(storage.imports.find(&over).await.unwrap(), None);
    assert!(storage.devices.find(&id(5)).await.unwrap().is_some());
}

/// A device that was claimed in its third event, at the third second, released in its fourth, and shows a code since.
async fn lived(storage: &Storage, number: u32) {
    let device = claimed(storage, number, number, 3).await;
    let device = keep(storage, device.release(pos_domain::Act::operator(), at(100)).unwrap()).await;
    keep(storage, issued(device, 50 + number, 200)).await;
}

async fn sequences(storage: &Storage, number: u32) -> Vec<u64> {
    let events = storage.events.events_of(&History::whole(&id(number))).await.unwrap();
    events.into_iter().map(|event| event.sequence).collect()
}

async fn anchor(storage: &Storage, id: &DeviceId) -> Option<EventAnchor> {
    storage.events.anchors(id, id).await.unwrap().pop()
}

/// Follows a device's chain from its anchor on; answers its faults.
async fn faults(storage: &Storage, number: u32) -> Vec<pos_domain::ChainLink> {
    let device = found(storage, &id(number)).await;
    let check = ChainCheck::of(&device);
    let now = at(0) + SHORTEST_EVENT_RETENTION + Duration::days(2);
    let mut check = match anchor(storage, &id(number)).await {
        Some(anchor) => check.after(&anchor, Some(now)),
        None => check,
    };
    for event in storage.events.events_of(&History::whole(&id(number))).await.unwrap() {
        check.see(&event);
    }
    check.finish().1
}

/// Of a device's events the oldest go, whose successor is as old; an anchor stands for them and the chain goes on.
pub async fn the_oldest_events_go_and_leave_an_anchor(storage: Storage) {
    for number in 1..=3 {
        lived(&storage, number).await;
    }
    // The release ended a code, which stands on that event.
    assert_eq!(all(&storage, Reclaimable::EndedCodes, at(100), 10).await, [3]);
    assert_eq!(counted(&storage, Reclaimable::DeviceEvents, at(3)).await, 6);
    assert_eq!(all(&storage, Reclaimable::DeviceEvents, at(3), 10).await, [6]);
    for number in 1..=3 {
        assert_eq!(sequences(&storage, number).await, [3, 4, 5], "the last before the cut-off stays");
        assert_eq!(anchor(&storage, &id(number)).await.unwrap().through, 2);
        assert_eq!(faults(&storage, number).await, []);
    }
    assert_eq!(all(&storage, Reclaimable::DeviceEvents, at(1_000), 4).await.iter().sum::<u64>(), 6);
    for number in 1..=3 {
        assert_eq!(sequences(&storage, number).await, [5], "the last stays, however old");
        assert_eq!(faults(&storage, number).await, []);
    }
    assert_eq!(storage.events.anchors(&id(1), &id(2)).await.unwrap().len(), 2);
    assert_eq!(all(&storage, Reclaimable::DeviceEvents, at(1_000), 4).await, [0]);
    let device = found(&storage, &id(1)).await;
    keep(&storage, device.claim(code(51), &claimant(), context(), at(210)).unwrap()).await;
    assert_eq!(sequences(&storage, 1).await, [5, 6], "what happens afterwards is recorded as ever");
    assert_eq!(faults(&storage, 1).await, []);
}

/// The claim that a device stands on stays, and all after it; so does an event that an ended code stands on.
pub async fn needed_events_stay(storage: Storage) {
    let device = claimed(&storage, 1, 1, 3).await;
    keep(&storage, device.activate(context(), at(4)).unwrap()).await;
    created(&storage, 2, merchant(1), pos_domain::DeviceDetails::default()).await;
    let device = waiting(&storage, 3, 3).await;
    let device = keep(&storage, issued(device, 4, 2)).await;
    keep(&storage, issued(device, 5, 3)).await;
    let old = at(1_000);
    assert_eq!(counted(&storage, Reclaimable::DeviceEvents, old).await, 4);
    assert_eq!(all(&storage, Reclaimable::DeviceEvents, old, 10).await, [4]);
    assert_eq!(sequences(&storage, 1).await, [3, 4]);
    assert_eq!((sequences(&storage, 2).await, anchor(&storage, &id(2)).await), (vec![1], None));
    assert_eq!(sequences(&storage, 3).await, [3, 4]);
    for number in 1..=3 {
        assert_eq!(faults(&storage, number).await, []);
    }
    let device = found(&storage, &id(1)).await;
    keep(&storage, device.release(pos_domain::Act::operator(), at(500)).unwrap()).await;
    all(&storage, Reclaimable::EndedCodes, old, 10).await;
    assert_eq!(all(&storage, Reclaimable::DeviceEvents, old, 10).await, [3]);
    assert_eq!((sequences(&storage, 1).await, sequences(&storage, 3).await), (vec![5], vec![4]));
}

/// Whatever the size of a batch, and from wherever the last one ended, the same events go.
pub async fn batches_of_events_go_on_where_they_ended(storage: Storage) {
    for number in 1..=4 {
        lived(&storage, number).await;
    }
    all(&storage, Reclaimable::EndedCodes, at(1_000), 100).await;
    let mut batch = batch(Reclaimable::DeviceEvents, at(150), 1);
    let mut removed = 0;
    for round in 0.. {
        assert!(round < 200, "it never ends");
        let done = one(&storage, &batch).await;
        removed += done.removed;
        batch.after = done.through;
        if !done.more {
            break;
        }
    }
    assert_eq!(removed, 12, "three of each");
    // Nothing up to there is looked at again, and what passes the cut-off later takes along what lies before it.
    assert_eq!(one(&storage, &batch).await, ReclaimedBatch { removed: 0, more: false, through: batch.after.clone() });
    let later = ReclaimBatch { before: at(200), at_most: 100, ..batch };
    assert_eq!(one(&storage, &later).await.removed, 4);
    for number in 1..=4 {
        assert_eq!(sequences(&storage, number).await, [5]);
        assert_eq!(faults(&storage, number).await, []);
    }
}

/// What else is on record goes by its instant, and that events went is on record itself, with how many.
pub async fn what_went_is_on_record(storage: Storage) {
    for seconds in [1, 2, 3] {
        storage.failures.record(&refused(&claimant(), at(seconds)), &LIMIT).await.unwrap();
    }
    lived(&storage, 1).await;
    goes_by_its_instant(&storage, Reclaimable::AuditEvents, [at(1), at(2), at(3)]).await;
    assert_eq!(all(&storage, Reclaimable::DeviceEvents, at(3), 10).await, [2]);
    let told: Vec<AuditEvent> = on_record(&storage).await;
    let told: Vec<AuditEvent> = told.into_iter().filter(|event| event.kind != AuditKind::MerchantAdded).collect();
    let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
    use AuditKind::{ClaimRefused, EventsReclaimed};
    assert_eq!(kinds, [ClaimRefused, ClaimRefused, EventsReclaimed, EventsReclaimed], "and nothing for what went not");
    let said = |event: &AuditEvent| (event.detail["sort"].clone(), event.detail["count"].clone());
    assert_eq!(said(&told[2]), ("audit_events".to_owned(), "1".to_owned()));
    assert_eq!(said(&told[3]), ("device_events".to_owned(), "2".to_owned()));
}
