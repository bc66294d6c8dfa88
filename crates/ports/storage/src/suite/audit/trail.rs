//! Contract cases: checkpoints over the administrative audit trail, and the rows compared with it.

use pos_domain::audit::{AuditEvent, AuditKind, AuditedRow, Checkpoint, CheckpointEntry, ExpectedRows, Subject};
use pos_domain::shared::{AuditContext, LocationId, Name, Party, Role, Scope};
use pos_domain::tenancy::Location;

use crate::Storage;
use crate::audit::{CheckpointOutcome, CheckpointedEvent, ExpiredKind, PurgeBatch, Purged};
use crate::suite::audit::events::LIMIT;
use crate::suite::device::races::concurrently;
use crate::suite::fixtures::{at, claimant, merchant, refused_claim, user};
use crate::suite::tenancy::fixtures::{client, grant, hash, membership, populated, reseller};

async fn all(storage: &Storage) -> Vec<CheckpointedEvent> {
    let mut all: Vec<CheckpointedEvent> = Vec::new();
    loop {
        let after = all.last().map_or(0, |one| one.stored.number);
        let page = storage.trail.audit_by_number(after, 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Verifies the chain and returns the entries of all checkpoints.
async fn chain(storage: &Storage) -> Vec<CheckpointEntry> {
    let checkpoints = storage.trail.checkpoints(None, 1_000).await.unwrap();
    let (mut covered, mut last): (Vec<CheckpointEntry>, Option<Checkpoint>) = (Vec::new(), None);
    for checkpoint in checkpoints {
        let entries = storage.trail.entries(checkpoint.sequence).await.unwrap();
        assert!(entries.iter().all(|entry| entry.present));
        let own: Vec<_> = entries.into_iter().map(|entry| entry.entry).collect();
        match last {
            None => assert_eq!((checkpoint.sequence, own.len()), (0, 0)),
            Some(before) => assert_eq!(before.next(&own, checkpoint.at), checkpoint),
        }
        covered.extend(own);
        last = Some(checkpoint);
    }
    let after = last.map(|last| last.sequence);
    assert_eq!(storage.trail.checkpoints(after, 10).await.unwrap(), []);
    covered
}

/// Every event is stored with its digest and is not covered by a checkpoint yet.
pub async fn events_are_stored_with_their_digests(storage: Storage) {
    populated(&storage).await;
    for seconds in 0..5 {
        storage.failures.record(&refused_claim(&claimant(), at(seconds)), &LIMIT).await.unwrap();
    }
    for seconds in 300..303 {
        storage.failures.record(&refused_claim(&claimant(), at(seconds)), &LIMIT).await.unwrap();
    }
    assert!(storage.failures.record_blocked(&refused_claim(&claimant(), at(304)), &LIMIT).await.unwrap());
    let events = all(&storage).await;
    assert_eq!(events.len(), 6 + 4 + 4);
    for one in events {
        assert_eq!((one.stored.hash, one.checkpoint_hash), (Some(one.stored.event.digest()), None), "{one:?}");
    }
}

/// Events are covered once, in the order of their numbers, by checkpoints that form a chain.
pub async fn checkpoints_form_a_chain(storage: Storage) {
    assert_eq!(storage.trail.append_checkpoint(at(1), 10).await.unwrap(), CheckpointOutcome::Appended(0));
    assert_eq!(chain(&storage).await, []);
    populated(&storage).await;
    for (limit, covered) in [(4, 4), (4, 2), (4, 0)] {
        assert_eq!(storage.trail.append_checkpoint(at(2), limit).await.unwrap(), CheckpointOutcome::Appended(covered));
    }
    storage.failures.record(&refused_claim(&claimant(), at(3)), &LIMIT).await.unwrap();
    assert_eq!(storage.trail.append_checkpoint(at(4), 4).await.unwrap(), CheckpointOutcome::Appended(1));
    let covered = chain(&storage).await;
    let events = all(&storage).await;
    let wanted: Vec<_> = events.iter().map(|one| one.stored.entry()).collect();
    assert_eq!(covered, wanted);
    assert!(events.iter().all(|one| one.checkpoint_hash == one.stored.hash));
    let lasts = storage.trail.checkpoints(Some(0), 10).await.unwrap();
    assert_eq!(lasts.iter().map(|one| one.events).collect::<Vec<_>>(), [4, 2, 1]);
    assert_eq!(lasts.last().unwrap().covered_through(), events.last().unwrap().stored.number);
}

/// With concurrent callers each event is in one checkpoint, and the chain has no gap.
pub async fn concurrent_checkpoints_cover_each_event_once(storage: Storage) {
    populated(&storage).await;
    let callers = concurrently(|_| {
        let storage = storage.clone();
        async move {
            for _ in 0..3 {
                storage.trail.append_checkpoint(at(1), 2).await.unwrap();
            }
        }
    });
    callers.await;
    while storage.trail.append_checkpoint(at(2), 2).await.unwrap() != CheckpointOutcome::Appended(0) {}
    let numbers: Vec<_> = chain(&storage).await.into_iter().map(|entry| entry.number).collect();
    let events: Vec<_> = all(&storage).await.into_iter().map(|one| one.stored.number).collect();
    assert_eq!(numbers, events);
}

/// Every row that decides who owns or may do something is returned and matches its events.
pub async fn rows_match_their_events(storage: Storage) {
    populated(&storage).await;
    let shop = Party::Merchant(merchant(1));
    let audit_event = |kind, subject: Subject, role: Option<Role>| {
        let event = AuditEvent::of(kind, subject, AuditContext::operator(), at(1)).for_merchant(merchant(1));
        let event = event.with("party", Subject::from(shop));
        role.map_or(event.clone(), |role| event.with("role", role))
    };
    let ann = Subject::User(user("ann"));
    let member = membership(1, "ann", shop, Role::Viewer);
    let added = audit_event(AuditKind::MemberAdded, ann.clone(), Some(Role::Viewer));
    storage.members.put(&member, None, &added).await.unwrap();
    let better = membership(2, "ann", shop, Role::Admin);
    let added = audit_event(AuditKind::MemberAdded, ann.clone(), Some(Role::Admin));
    storage.members.put(&better, Some(grant(1)), &added).await.unwrap();
    let till = client(3, "till", shop);
    let subject = Subject::Client(till.id.clone());
    let made = audit_event(AuditKind::ClientAdded, subject.clone(), Some(till.role));
    storage.clients.add(&till, &hash(1), &made).await.unwrap();
    let id = LocationId("0c0c0c0c-0000-4000-8000-000000000007".parse().unwrap());
    let bar = Location { id, merchant_id: merchant(1), name: Name::parse("Bar").unwrap(), created_at: at(1) };
    let made = audit_event(AuditKind::LocationAdded, Subject::Location(id), None);
    storage.locations.add_location(Scope::Operator, &bar, None, &made).await.unwrap();

    let mut expected_rows = ExpectedRows::default();
    all(&storage).await.iter().for_each(|one| expected_rows.see(&one.stored.event));
    let rows = storage.trail.audited_rows().await.unwrap();
    assert_eq!(rows.len(), 2 + 4 + 3);
    assert_eq!(expected_rows.keys().count(), rows.len());
    for row in &rows {
        assert_eq!(expected_rows.compare(&row.key, Some(&row.facts)), None, "{row:?}");
    }
    for expected in [
        AuditedRow::merchant(merchant(1), Some(reseller(1))),
        AuditedRow::merchant(merchant(4), None),
        AuditedRow::member(user("ann"), shop, Role::Admin),
        AuditedRow::client(till.id.clone(), shop, till.role, false),
        AuditedRow::location(id, merchant(1)),
    ] {
        assert!(rows.contains(&expected), "{expected:?}");
    }
    let revoked = audit_event(AuditKind::ClientRevoked, subject.clone(), None);
    storage.clients.revoke(&till.id, at(5), &revoked).await.unwrap();
    let rows = storage.trail.audited_rows().await.unwrap();
    assert!(rows.contains(&AuditedRow::client(till.id.clone(), shop, till.role, true)), "{rows:?}");
    let about = storage.trail.audit_about(&ann, None).await.unwrap();
    assert_eq!(
        about.iter().map(|stored| &stored.event.subject).collect::<Vec<_>>(),
        [&Some(ann.clone()), &Some(ann.clone())]
    );
    assert_eq!(storage.trail.audit_about(&ann, Some(at(1))).await.unwrap().len(), 2);
    assert_eq!(storage.trail.audit_about(&ann, Some(at(2))).await.unwrap(), []);
    storage.trail.record(&audit_event(AuditKind::SessionStarted, ann.clone(), None)).await.unwrap();
    let last = storage.trail.audit_about(&ann, None).await.unwrap().pop().unwrap();
    assert_eq!((last.event.kind, last.hash), (AuditKind::SessionStarted, Some(last.event.digest())));
}

/// Permanent events are retained however old; the entry of a purged event remains.
pub async fn checkpoint_entries_outlive_their_events(storage: Storage) {
    populated(&storage).await;
    storage.failures.record(&refused_claim(&claimant(), at(1)), &LIMIT).await.unwrap();
    assert_eq!(storage.trail.append_checkpoint(at(2), 100).await.unwrap(), CheckpointOutcome::Appended(7));
    let what = ExpiredKind::AuditEvents;
    assert_eq!(storage.retention.count_expired(what, at(9), 100).await.unwrap(), 1);
    let batch = PurgeBatch { what, before: at(9), at_most: 100, after: None, now: at(9) };
    let Purged::Done(done) = storage.retention.purge(&batch).await.unwrap() else { panic!("no other replica") };
    assert_eq!(done.removed, 1);
    let entries = storage.trail.entries(1).await.unwrap();
    let present: Vec<_> = entries.iter().map(|entry| entry.present).collect();
    assert_eq!(present, [true, true, true, true, true, true, false]);
}
