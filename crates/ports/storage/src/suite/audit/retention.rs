//! Contract cases: purge of expired rows, in small batches, and of nothing else.

use pos_domain::audit::Subject;
use pos_domain::audit::{AuditEvent, AuditKind};
use pos_domain::device::ChainVerifier;
use pos_domain::device::{ChainCheckpoint, SHORTEST_EVENT_RETENTION};
use pos_domain::fleet::ImportMode;
use pos_domain::shared::{AttemptLimit, AuditContext, DeviceId, Fingerprint, IdempotencyKey};
use pos_domain::shared::{Party, Scope};
use pos_domain::tenancy::Session;
use time::{Duration, OffsetDateTime};

use crate::Storage;
use crate::audit::{ExpiredKind, PurgeBatch, Purged, PurgedBatch};
use crate::device::DeviceHistory;
use crate::shared::IdempotencyRecord;
use crate::suite::audit::events::audit_events;
use crate::suite::fixtures::{
    at, claimant, claimed, code, context, created, id, issued, load, merchant, new, pending, refused_claim, save, user,
};
use crate::suite::fleet::imports::{device, import, row, summary, upload};
use crate::suite::tenancy::fixtures::{anna, log_out, logout_of, session_of, start, token};
use crate::tenancy::Logout;

const LIMIT: AttemptLimit = AttemptLimit { max_failures: 10, window: Duration::seconds(300) };

pub(crate) fn batch(what: ExpiredKind, before: OffsetDateTime, at_most: u32) -> PurgeBatch {
    PurgeBatch { what, before, at_most, after: None, now: at(1_000_000) }
}

async fn one(storage: &Storage, batch: &PurgeBatch) -> PurgedBatch {
    match storage.retention.purge(batch).await.unwrap() {
        Purged::Done(done) => done,
        Purged::Busy => panic!("no other replica runs a batch"),
    }
}

/// Runs batches until nothing is left, and returns the number of deleted rows of each.
async fn all(storage: &Storage, what: ExpiredKind, before: OffsetDateTime, at_most: u32) -> Vec<u64> {
    let mut batch = batch(what, before, at_most);
    let mut removed = Vec::new();
    loop {
        let done = one(storage, &batch).await;
        assert!(done.removed <= at_most.into(), "{done:?}");
        removed.push(done.removed);
        if !done.more {
            return removed;
        }
        assert!(removed.len() < 100, "it never ends: {removed:?}");
        batch.after = done.through;
    }
}

async fn counted(storage: &Storage, what: ExpiredKind, before: OffsetDateTime) -> u64 {
    storage.retention.count_expired(what, before, 1_000).await.unwrap()
}

/// Checks the counted and deleted rows of three rows that expire at three instants.
async fn is_purged_by_its_instant(storage: &Storage, what: ExpiredKind, instants: [OffsetDateTime; 3]) {
    let microsecond = Duration::microseconds(1);
    assert_eq!(counted(storage, what, instants[0] - microsecond).await, 0, "{what:?}");
    assert_eq!(all(storage, what, instants[0] - microsecond, 10).await, [0], "{what:?}");
    assert_eq!(counted(storage, what, instants[2] - microsecond).await, 2, "{what:?}");
    assert_eq!(storage.retention.count_expired(what, instants[2], 2).await.unwrap(), 2, "counted up to the limit");
    assert_eq!(all(storage, what, instants[0], 10).await, [1], "including the instant: {what:?}");
    assert_eq!(counted(storage, what, instants[2]).await, 2, "{what:?}");
}

/// A past code is purged by the instant it became invalid and is unknown afterwards; current codes are retained.
pub async fn past_codes_are_purged(storage: Storage) {
    for number in 1..=3 {
        let device = pending(&storage, number, number).await;
        save(&storage, issued(device, 10 + number, 100 * i64::from(number))).await;
    }
    is_purged_by_its_instant(&storage, ExpiredKind::PastCodes, [at(100), at(200), at(300)]).await;
    assert_eq!(storage.devices.find_past_code(code(1)).await.unwrap(), None);
    assert!(storage.devices.find_past_code(code(2)).await.unwrap().is_some());
    assert!(storage.devices.find_by_pairing_code(code(11)).await.unwrap().is_some());
    assert_eq!(all(&storage, ExpiredKind::PastCodes, at(300), 1).await, [1, 1, 0]);
}

/// Failure windows of both kinds are purged by their start; others are still counted.
pub async fn failure_windows_are_purged(storage: Storage) {
    for (name, seconds) in [("anna", 1), ("bert", 2), ("carl", 3)] {
        let by = pos_domain::shared::Claimant { user_id: user(name), ..claimant() };
        storage.failures.record(&refused_claim(&by, at(seconds * 1_000)), &LIMIT).await.unwrap();
        storage.client_failures.record(name, &LIMIT, at(seconds * 1_000)).await.unwrap();
    }
    let instants = [at(1_000), at(2_000), at(3_000)];
    is_purged_by_its_instant(&storage, ExpiredKind::ClientFailures, instants).await;
    assert_eq!(storage.client_failures.window("anna").await.unwrap(), None);
    assert_eq!(storage.client_failures.record("bert", &LIMIT, at(2_001)).await.unwrap().failures, 2);
    // The merchant's window restarted with each failure, last at the third instant.
    assert_eq!(counted(&storage, ExpiredKind::ClaimFailures, at(3_000)).await, 4);
    assert_eq!(all(&storage, ExpiredKind::ClaimFailures, at(2_000), 1).await, [1, 1, 0]);
    let counts = storage.failures.attempt_counts(&claimant()).await.unwrap();
    assert_eq!((counts.user, counts.merchant.map(|window| window.started_at)), (None, Some(at(3_000))));
}

/// Revoked tokens are purged when they expire, and block session starts until then.
pub async fn revoked_tokens_are_purged(storage: Storage) {
    let anna = anna(&storage).await;
    for number in 1..=3 {
        start(&storage, &session_of(number, &anna)).await.unwrap();
        let audit =
            AuditEvent::of(AuditKind::SessionEnded, Subject::User(user("anna")), AuditContext::operator(), at(0));
        assert!(storage.sessions.end(&token(number), at(100 * i64::from(number)), &audit).await.unwrap());
    }
    is_purged_by_its_instant(&storage, ExpiredKind::RevokedTokens, [at(100), at(200), at(300)]).await;
    start(&storage, &session_of(1, &anna)).await.unwrap();
    assert!(start(&storage, &session_of(2, &anna)).await.is_err(), "its token is still revoked");
    assert_eq!(all(&storage, ExpiredKind::RevokedTokens, at(300), 10).await, [2]);
    start(&storage, &session_of(2, &anna)).await.unwrap();
}

/// Sessions and logouts are purged when they expire; valid sessions are found, and stored logouts prevent starts.
pub async fn sessions_and_logouts_are_purged(storage: Storage) {
    let anna = anna(&storage).await;
    for number in 1..=3 {
        let ends_at = at(100 * i64::from(number));
        start(&storage, &Session { ends_at, ..session_of(number, &anna) }).await.unwrap();
        let logout = logout_of(10 + number);
        log_out(&storage, &logout, ends_at).await.unwrap();
    }
    let instants = [at(100), at(200), at(300)];
    is_purged_by_its_instant(&storage, ExpiredKind::Sessions, instants).await;
    assert!(storage.sessions.find(&token(2), at(50)).await.unwrap().is_some());
    is_purged_by_its_instant(&storage, ExpiredKind::Logouts, instants).await;
    let again = |number| Session { ends_at: at(500), ..session_of(number, &anna) };
    start(&storage, &again(11)).await.unwrap();
    assert!(start(&storage, &again(12)).await.is_err(), "its logout is still stored");
    let everybody = Logout::User { user_id: user("anna"), issued_until: at(4) };
    log_out(&storage, &everybody, at(250)).await.unwrap();
    assert_eq!(all(&storage, ExpiredKind::Logouts, at(300), 2).await, [2, 1]);
    assert_eq!(all(&storage, ExpiredKind::Sessions, at(499), 10).await, [2]);
    assert!(storage.sessions.find(&token(11), at(50)).await.unwrap().is_some());
}

/// Stored responses are purged when they expire.
pub async fn stored_responses_are_purged(storage: Storage) {
    crate::suite::tenancy::fixtures::with_merchant(&storage, merchant(1)).await;
    let idempotency = |number: u32| IdempotencyRecord {
        party: Party::Merchant(merchant(1)),
        key: IdempotencyKey::parse(&format!("key-{number}")).unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: number.to_string(),
        at: at(0),
        expires_at: at(100 * i64::from(number)),
    };
    for number in 1..=3 {
        storage.fleet.create(Scope::Operator, &[new(number)], Some(&idempotency(number))).await.unwrap();
    }
    is_purged_by_its_instant(&storage, ExpiredKind::Idempotency, [at(100), at(200), at(300)]).await;
    let stored = async |number| {
        let record = idempotency(number);
        storage.idempotency.find(record.party, &record.key, at(0)).await.unwrap()
    };
    assert_eq!(stored(1).await, None);
    assert_eq!(stored(2).await.map(|stored| stored.answer).as_deref(), Some("2"));
}

/// Imports are purged with their rows, in batches; the devices are retained.
pub async fn imports_are_purged(storage: Storage) {
    crate::suite::tenancy::fixtures::populated(&storage).await;
    let over = import(1, Scope::Operator);
    storage.staging.open(&upload(over, ImportMode::AllOrNothing, None)).await.unwrap();
    let rows: Vec<_> = (1..=5).map(|number| row(number.into(), device(number, 1))).collect();
    storage.staging.stage(&over, &rows, at(600)).await.unwrap();
    storage.staging.finalize_upload(&over, &summary(5, 10)).await.unwrap();
    storage.imports.complete(&over, at(20)).await.unwrap();
    let end = at(10 + crate::suite::fleet::imports::KEEP);
    assert_eq!(counted(&storage, ExpiredKind::Imports, end - Duration::microseconds(1)).await, 0);
    assert_eq!(counted(&storage, ExpiredKind::Imports, end).await, 6);
    assert_eq!(all(&storage, ExpiredKind::Imports, end, 4).await, [4, 2]);
    assert_eq!(storage.imports.find(&over).await.unwrap(), None);
    assert!(storage.devices.find(&id(5)).await.unwrap().is_some());
}

/// Creates a device that was claimed in its third event (second 3), released in its fourth, and has a code since.
async fn device_with_history(storage: &Storage, number: u32) {
    let device = claimed(storage, number, number, 3).await;
    let device = save(storage, device.release(pos_domain::shared::AuditContext::operator(), at(100)).unwrap()).await;
    save(storage, issued(device, 50 + number, 200)).await;
}

async fn sequences(storage: &Storage, number: u32) -> Vec<u64> {
    let events = storage.events.events_of(&DeviceHistory::whole(&id(number))).await.unwrap();
    events.into_iter().map(|event| event.sequence).collect()
}

async fn chain_checkpoint(storage: &Storage, id: &DeviceId) -> Option<ChainCheckpoint> {
    storage.events.chain_checkpoints(id, id).await.unwrap().pop()
}

/// Verifies a device's chain from its checkpoint on and returns the faults.
async fn faults(storage: &Storage, number: u32) -> Vec<pos_domain::device::ChainFinding> {
    let device = load(storage, &id(number)).await;
    let check = ChainVerifier::of(&device);
    let now = at(0) + SHORTEST_EVENT_RETENTION + Duration::days(2);
    let mut check = match chain_checkpoint(storage, &id(number)).await {
        Some(chain_checkpoint) => check.after(&chain_checkpoint, Some(now)),
        None => check,
    };
    for event in storage.events.events_of(&DeviceHistory::whole(&id(number))).await.unwrap() {
        check.see(&event);
    }
    check.finish().1
}

/// The oldest events of a device are purged if their successor is as old; a chain checkpoint replaces them.
pub async fn the_oldest_events_are_replaced_by_a_checkpoint(storage: Storage) {
    for number in 1..=3 {
        device_with_history(&storage, number).await;
    }
    // The release invalidated a code, which refers to that event.
    assert_eq!(all(&storage, ExpiredKind::PastCodes, at(100), 10).await, [3]);
    assert_eq!(counted(&storage, ExpiredKind::DeviceEvents, at(3)).await, 6);
    assert_eq!(all(&storage, ExpiredKind::DeviceEvents, at(3), 10).await, [6]);
    for number in 1..=3 {
        assert_eq!(sequences(&storage, number).await, [3, 4, 5], "the last before the cut-off is retained");
        assert_eq!(chain_checkpoint(&storage, &id(number)).await.unwrap().through, 2);
        assert_eq!(faults(&storage, number).await, []);
    }
    assert_eq!(all(&storage, ExpiredKind::DeviceEvents, at(1_000), 4).await.iter().sum::<u64>(), 6);
    for number in 1..=3 {
        assert_eq!(sequences(&storage, number).await, [5], "the last is retained, however old");
        assert_eq!(faults(&storage, number).await, []);
    }
    assert_eq!(storage.events.chain_checkpoints(&id(1), &id(2)).await.unwrap().len(), 2);
    assert_eq!(all(&storage, ExpiredKind::DeviceEvents, at(1_000), 4).await, [0]);
    let device = load(&storage, &id(1)).await;
    save(&storage, device.claim(code(51), &claimant(), context(), at(210)).unwrap()).await;
    assert_eq!(sequences(&storage, 1).await, [5, 6], "later events are recorded as usual");
    assert_eq!(faults(&storage, 1).await, []);
}

/// The claim that the current state is based on is retained with all later events; so is an event that a past code
/// refers to.
pub async fn needed_events_are_retained(storage: Storage) {
    let device = claimed(&storage, 1, 1, 3).await;
    save(&storage, device.activate(context(), at(4)).unwrap()).await;
    created(&storage, 2, merchant(1), pos_domain::device::DeviceDetails::default()).await;
    let device = pending(&storage, 3, 3).await;
    let device = save(&storage, issued(device, 4, 2)).await;
    save(&storage, issued(device, 5, 3)).await;
    let old = at(1_000);
    assert_eq!(counted(&storage, ExpiredKind::DeviceEvents, old).await, 4);
    assert_eq!(all(&storage, ExpiredKind::DeviceEvents, old, 10).await, [4]);
    assert_eq!(sequences(&storage, 1).await, [3, 4]);
    assert_eq!((sequences(&storage, 2).await, chain_checkpoint(&storage, &id(2)).await), (vec![1], None));
    assert_eq!(sequences(&storage, 3).await, [3, 4]);
    for number in 1..=3 {
        assert_eq!(faults(&storage, number).await, []);
    }
    let device = load(&storage, &id(1)).await;
    save(&storage, device.release(pos_domain::shared::AuditContext::operator(), at(500)).unwrap()).await;
    all(&storage, ExpiredKind::PastCodes, old, 10).await;
    assert_eq!(all(&storage, ExpiredKind::DeviceEvents, old, 10).await, [3]);
    assert_eq!((sequences(&storage, 1).await, sequences(&storage, 3).await), (vec![5], vec![4]));
}

/// For any batch size and starting position the same events are purged.
pub async fn event_batches_continue_where_the_last_one_ended(storage: Storage) {
    for number in 1..=4 {
        device_with_history(&storage, number).await;
    }
    all(&storage, ExpiredKind::PastCodes, at(1_000), 100).await;
    let mut batch = batch(ExpiredKind::DeviceEvents, at(150), 1);
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
    // Events up to there are not examined again; an event that passes the cut-off later includes those before it.
    assert_eq!(one(&storage, &batch).await, PurgedBatch { removed: 0, more: false, through: batch.after.clone() });
    let later = PurgeBatch { before: at(200), at_most: 100, ..batch };
    assert_eq!(one(&storage, &later).await.removed, 4);
    for number in 1..=4 {
        assert_eq!(sequences(&storage, number).await, [5]);
        assert_eq!(faults(&storage, number).await, []);
    }
}

/// Administrative audit events are purged by their instant, and a purge of events is audited with their number.
pub async fn a_purge_of_events_is_audited(storage: Storage) {
    for seconds in [1, 2, 3] {
        storage.failures.record(&refused_claim(&claimant(), at(seconds)), &LIMIT).await.unwrap();
    }
    device_with_history(&storage, 1).await;
    is_purged_by_its_instant(&storage, ExpiredKind::AuditEvents, [at(1), at(2), at(3)]).await;
    assert_eq!(all(&storage, ExpiredKind::DeviceEvents, at(3), 10).await, [2]);
    let events: Vec<AuditEvent> = audit_events(&storage).await;
    let events: Vec<AuditEvent> = events.into_iter().filter(|event| event.kind != AuditKind::MerchantAdded).collect();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    use AuditKind::{ClaimRefused, EventsPurged};
    assert_eq!(kinds, [ClaimRefused, ClaimRefused, EventsPurged, EventsPurged], "and none for empty batches");
    let summary_of = |event: &AuditEvent| (event.detail["sort"].clone(), event.detail["count"].clone());
    assert_eq!(summary_of(&events[2]), ("audit_events".to_owned(), "1".to_owned()));
    assert_eq!(summary_of(&events[3]), ("device_events".to_owned(), "2".to_owned()));
}
