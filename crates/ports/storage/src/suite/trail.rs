//! Checkpoints over the administrative trail, and the rows that are compared with it.

use pos_domain::{
    Act, AuditEvent, AuditKind, Checkpoint, Holding, HoldingsInTrail, Location, LocationId, Name, Party, Role, Scope,
    Seal, Subject,
};

use super::audit::LIMIT;
use super::fixtures::{at, claimant, merchant, refused, user};
use super::races::together;
use super::tenancy::{client, grant, hash, membership, populated, reseller};
use crate::{ReclaimBatch, Reclaimable, Reclaimed, Sealed, SealedEvent, Storage};

async fn all(storage: &Storage) -> Vec<SealedEvent> {
    let mut all: Vec<SealedEvent> = Vec::new();
    loop {
        let after = all.last().map_or(0, |one| one.kept.number);
        let page = storage.trail.audit_by_number(after, 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Checks the chain, and returns the seals of all checkpoints.
async fn chain(storage: &Storage) -> Vec<Seal> {
    let checkpoints = storage.trail.checkpoints(None, 1_000).await.unwrap();
    let (mut seals, mut last): (Vec<Seal>, Option<Checkpoint>) = (Vec::new(), None);
    for checkpoint in checkpoints {
        let kept = storage.trail.seals(checkpoint.sequence).await.unwrap();
        assert!(kept.iter().all(|kept| kept.present));
        let own: Vec<_> = kept.into_iter().map(|kept| kept.seal).collect();
        match last {
            None => assert_eq!((checkpoint.sequence, own.len()), (0, 0)),
            Some(before) => assert_eq!(before.next(&own, checkpoint.at), checkpoint),
        }
        seals.extend(own);
        last = Some(checkpoint);
    }
    let after = last.map(|last| last.sequence);
    assert_eq!(storage.trail.checkpoints(after, 10).await.unwrap(), []);
    seals
}

/// Every event is stored with its digest, whatever writes it, and is not sealed by that.
pub async fn events_carry_their_digests(storage: Storage) {
    populated(&storage).await;
    for seconds in 0..5 {
        storage.failures.record(&refused(&claimant(), at(seconds)), &LIMIT).await.unwrap();
    }
    for seconds in 300..303 {
        storage.failures.record(&refused(&claimant(), at(seconds)), &LIMIT).await.unwrap();
    }
    assert!(storage.failures.record_blocked(&refused(&claimant(), at(304)), &LIMIT).await.unwrap());
    let events = all(&storage).await;
    assert_eq!(events.len(), 6 + 4 + 4);
    for one in events {
        assert_eq!((one.kept.hash, one.sealed), (Some(one.kept.event.digest()), None), "{one:?}");
    }
}

/// Events are sealed once, in the order of their numbers, in batches that form a chain.
pub async fn a_seal_goes_on_where_the_last_one_ended(storage: Storage) {
    assert_eq!(storage.trail.seal(at(1), 10).await.unwrap(), Sealed::Done(0));
    assert_eq!(chain(&storage).await, []);
    populated(&storage).await;
    for (limit, sealed) in [(4, 4), (4, 2), (4, 0)] {
        assert_eq!(storage.trail.seal(at(2), limit).await.unwrap(), Sealed::Done(sealed));
    }
    storage.failures.record(&refused(&claimant(), at(3)), &LIMIT).await.unwrap();
    assert_eq!(storage.trail.seal(at(4), 4).await.unwrap(), Sealed::Done(1));
    let seals = chain(&storage).await;
    let events = all(&storage).await;
    let wanted: Vec<_> = events.iter().map(|one| one.kept.seal()).collect();
    assert_eq!(seals, wanted);
    assert!(events.iter().all(|one| one.sealed == one.kept.hash));
    let lasts = storage.trail.checkpoints(Some(0), 10).await.unwrap();
    assert_eq!(lasts.iter().map(|one| one.events).collect::<Vec<_>>(), [4, 2, 1]);
    assert_eq!(lasts.last().unwrap().sealed_through(), events.last().unwrap().kept.number);
}

/// Of many who seal at once, each event is in one checkpoint, and the chain has no gap.
pub async fn of_many_who_seal_each_event_is_sealed_once(storage: Storage) {
    populated(&storage).await;
    let sealed = together(|_| {
        let storage = storage.clone();
        async move {
            for _ in 0..3 {
                storage.trail.seal(at(1), 2).await.unwrap();
            }
        }
    });
    sealed.await;
    while storage.trail.seal(at(2), 2).await.unwrap() != Sealed::Done(0) {}
    let numbers: Vec<_> = chain(&storage).await.into_iter().map(|seal| seal.number).collect();
    let events: Vec<_> = all(&storage).await.into_iter().map(|one| one.kept.number).collect();
    assert_eq!(numbers, events);
}

/// Every row that decides who owns or may do something is read, and agrees with the events that made it.
pub async fn rows_agree_with_their_events(storage: Storage) {
    populated(&storage).await;
    let shop = Party::Merchant(merchant(1));
    let told = |kind, subject: Subject, role: Option<Role>| {
        let event = AuditEvent::of(kind, subject, Act::operator(), at(1)).for_merchant(merchant(1));
        let event = event.with("party", Subject::from(shop));
        role.map_or(event.clone(), |role| event.with("role", role))
    };
    let ann = Subject::User(user("ann"));
    let member = membership(1, "ann", shop, Role::Viewer);
    let added = told(AuditKind::MemberAdded, ann.clone(), Some(Role::Viewer));
    storage.members.put(&member, None, &added).await.unwrap();
    let better = membership(2, "ann", shop, Role::Admin);
    let added = told(AuditKind::MemberAdded, ann.clone(), Some(Role::Admin));
    storage.members.put(&better, Some(grant(1)), &added).await.unwrap();
    let till = client(3, "till", shop);
    let subject = Subject::Client(till.id.clone());
    let made = told(AuditKind::ClientAdded, subject.clone(), Some(till.role));
    storage.clients.add(&till, &hash(1), &made).await.unwrap();
    let id = LocationId("0c0c0c0c-0000-4000-8000-000000000007".parse().unwrap());
    let bar = Location { id, merchant_id: merchant(1), name: Name::parse("Bar").unwrap(), created_at: at(1) };
    let made = told(AuditKind::LocationAdded, Subject::Location(id), None);
    storage.locations.add_location(Scope::Operator, &bar, None, &made).await.unwrap();

    let mut said = HoldingsInTrail::default();
    all(&storage).await.iter().for_each(|one| said.see(&one.kept.event));
    let rows = storage.trail.holdings().await.unwrap();
    assert_eq!(rows.len(), 2 + 4 + 3);
    assert_eq!(said.keys().count(), rows.len());
    for row in &rows {
        assert_eq!(said.compare(&row.key, Some(&row.facts)), None, "{row:?}");
    }
    for expected in [
        Holding::merchant(merchant(1), Some(reseller(1))),
        Holding::merchant(merchant(4), None),
        Holding::member(user("ann"), shop, Role::Admin),
        Holding::client(till.id.clone(), shop, till.role, false),
        Holding::location(id, merchant(1)),
    ] {
        assert!(rows.contains(&expected), "{expected:?}");
    }
    let revoked = told(AuditKind::ClientRevoked, subject.clone(), None);
    storage.clients.revoke(&till.id, at(5), &revoked).await.unwrap();
    let rows = storage.trail.holdings().await.unwrap();
    assert!(rows.contains(&Holding::client(till.id.clone(), shop, till.role, true)), "{rows:?}");
    let about = storage.trail.audit_about(&ann, None).await.unwrap();
    assert_eq!(
        about.iter().map(|kept| &kept.event.subject).collect::<Vec<_>>(),
        [&Some(ann.clone()), &Some(ann.clone())]
    );
    assert_eq!(storage.trail.audit_about(&ann, Some(at(1))).await.unwrap().len(), 2);
    assert_eq!(storage.trail.audit_about(&ann, Some(at(2))).await.unwrap(), []);
    storage.trail.tell(&told(AuditKind::SessionStarted, ann.clone(), None)).await.unwrap();
    let last = storage.trail.audit_about(&ann, None).await.unwrap().pop().unwrap();
    assert_eq!((last.event.kind, last.hash), (AuditKind::SessionStarted, Some(last.event.digest())));
}

/// What tells who may act for whom stays, however old; a seal tells of an event that went.
pub async fn seals_outlive_their_events(storage: Storage) {
    populated(&storage).await;
    storage.failures.record(&refused(&claimant(), at(1)), &LIMIT).await.unwrap();
    assert_eq!(storage.trail.seal(at(2), 100).await.unwrap(), Sealed::Done(7));
    let what = Reclaimable::AuditEvents;
    assert_eq!(storage.reclaiming.reclaimable(what, at(9), 100).await.unwrap(), 1);
    let batch = ReclaimBatch { what, before: at(9), at_most: 100, after: None, now: at(9) };
    let Reclaimed::Done(done) = storage.reclaiming.reclaim(&batch).await.unwrap() else { panic!("nobody else") };
    assert_eq!(done.removed, 1);
    let seals = storage.trail.seals(1).await.unwrap();
    assert_eq!(seals.iter().map(|kept| kept.present).collect::<Vec<_>>(), [true, true, true, true, true, true, false]);
}
