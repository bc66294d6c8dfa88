//! Rounds of taking back room: in which order, how much at once, up to when, and that nothing hangs on them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pos_application::{ClaimDeviceError, Reclaim, ReclaimOutcome, ReclaimStep, Retention, VerifyAudit};
use pos_domain::SHORTEST_EVENT_RETENTION;
use pos_port_clock::ManualClock;
use pos_port_storage::{ReclaimBatch, Reclaimable, Reclaimed, ReclaimedBatch, Reclaiming, StorageError};
use time::{Duration, OffsetDateTime};

use crate::{House, LIMIT, MERCHANT, START, TTL, attempt, user};

const RETENTION: Retention = Retention {
    ended_codes: Duration::days(30),
    failures: Duration::days(7),
    sessions: Duration::days(1),
    events: Some(SHORTEST_EVENT_RETENTION),
};

/// Notes every batch and answers from a script, in which none is a failure; when that is over: nothing is left.
#[derive(Default)]
struct Scripted {
    asked: Mutex<Vec<ReclaimBatch>>,
    script: Mutex<VecDeque<Option<Reclaimed>>>,
}

#[async_trait]
impl Reclaiming for Scripted {
    async fn reclaim(&self, batch: &ReclaimBatch) -> Result<Reclaimed, StorageError> {
        self.asked.lock().unwrap().push(batch.clone());
        let next = self.script.lock().unwrap().pop_front().unwrap_or_else(|| Some(done(0, false)));
        next.ok_or_else(|| StorageError::Unavailable("away".into()))
    }

    async fn reclaimable(&self, _: Reclaimable, _: OffsetDateTime, _: u32) -> Result<u64, StorageError> {
        Ok(7)
    }
}

fn done(removed: u64, more: bool) -> Reclaimed {
    Reclaimed::Done(ReclaimedBatch { removed, more, through: None })
}

async fn round(reclaim: &Reclaim) -> Vec<ReclaimOutcome> {
    let (mut round, mut outcomes) = (reclaim.begin(), Vec::new());
    while let Some(outcome) = round.next().await {
        outcomes.push(outcome);
    }
    outcomes
}

fn scripted(retention: Retention, script: impl IntoIterator<Item = Option<Reclaimed>>) -> (Arc<Scripted>, Reclaim) {
    let store = Arc::new(Scripted { script: Mutex::new(script.into_iter().collect()), ..Scripted::default() });
    let reclaim = Reclaim::new(store.clone(), Arc::new(ManualClock::at(START)), retention, 10);
    (store, reclaim)
}

impl Scripted {
    fn asked(&self) -> Vec<(Reclaimable, Duration)> {
        let asked = self.asked.lock().unwrap();
        assert!(asked.iter().all(|batch| batch.at_most == 10 && batch.now == START));
        asked.iter().map(|batch| (batch.what, START - batch.before)).collect()
    }
}

#[tokio::test]
async fn a_round_goes_through_all_sorts_each_up_to_its_cut_off() {
    let (store, reclaim) = scripted(RETENTION, [Some(done(10, true)), Some(done(3, false))]);
    let outcomes = round(&reclaim).await;
    let margin = Duration::minutes(5);
    let expected = [
        (Reclaimable::EndedCodes, RETENTION.ended_codes),
        (Reclaimable::EndedCodes, RETENTION.ended_codes),
        (Reclaimable::ClaimFailures, RETENTION.failures),
        (Reclaimable::ClientFailures, RETENTION.failures),
        (Reclaimable::Sessions, RETENTION.sessions),
        (Reclaimable::Logouts, RETENTION.sessions),
        (Reclaimable::EndedTokens, RETENTION.sessions),
        (Reclaimable::Answers, margin),
        (Reclaimable::Imports, margin),
        (Reclaimable::DeviceEvents, SHORTEST_EVENT_RETENTION),
        (Reclaimable::AuditEvents, SHORTEST_EVENT_RETENTION),
    ];
    assert_eq!(store.asked(), expected);
    let removed = outcomes.iter().map(|outcome| match outcome {
        ReclaimOutcome::Done(ReclaimStep { removed, .. }) => *removed,
        other => panic!("{other:?}"),
    });
    assert_eq!(removed.sum::<u64>(), 13);
}

#[tokio::test]
async fn the_audit_trail_is_kept_for_ever_unless_a_retention_is_set() {
    let (store, reclaim) = scripted(Retention { events: None, ..RETENTION }, []);
    round(&reclaim).await;
    let kept = [Reclaimable::DeviceEvents, Reclaimable::AuditEvents];
    assert!(store.asked().iter().all(|(what, _)| !kept.contains(what)));
    let preview = reclaim.preview(100).await.unwrap();
    assert_eq!(preview.len(), Reclaimable::ALL.len() - 2);
    assert!(preview.iter().all(|step| step.removed == 7 && !kept.contains(&step.what)));
}

#[tokio::test]
async fn a_round_ends_when_another_replica_is_at_it_and_goes_on_past_a_failure() {
    let (store, reclaim) = scripted(RETENTION, [None, Some(done(0, false)), Some(Reclaimed::Elsewhere)]);
    let outcomes = round(&reclaim).await;
    assert!(
        matches!(
            &outcomes[..],
            [
                ReclaimOutcome::Failed { what: Reclaimable::EndedCodes, .. },
                ReclaimOutcome::Done(ReclaimStep { what: Reclaimable::ClaimFailures, removed: 0 }),
                ReclaimOutcome::Elsewhere,
            ]
        ),
        "{outcomes:?}"
    );
    assert_eq!(store.asked().len(), 3);
    assert_eq!(round(&reclaim).await.len(), Reclaimable::ALL.len(), "the next round is whole");
}

#[tokio::test]
async fn the_events_of_devices_are_gone_through_once() {
    let mark = |seconds| pos_port_storage::EventMark {
        at: START + Duration::seconds(seconds),
        device_id: pos_domain::DeviceId::from_bits(1),
        sequence: 1,
    };
    let events =
        |seconds, more| Some(Reclaimed::Done(ReclaimedBatch { removed: 1, more, through: Some(mark(seconds)) }));
    let before = Reclaimable::ALL.iter().take_while(|what| **what != Reclaimable::DeviceEvents).count();
    let mut script: Vec<_> = (0..before).map(|_| Some(done(0, false))).collect();
    script.extend([events(1, true), events(2, false)]);
    let (store, reclaim) = scripted(RETENTION, script);
    round(&reclaim).await;
    round(&reclaim).await;
    let asked = store.asked.lock().unwrap();
    let after: Vec<_> =
        asked.iter().filter(|batch| batch.what == Reclaimable::DeviceEvents).map(|b| &b.after).collect();
    assert_eq!(after, [&None, &Some(mark(1)), &Some(mark(2))]);
}

/// With or without a round, a claim is answered by what the clock says; only an ended code that is gone is unknown.
#[tokio::test]
async fn answers_are_the_same_whether_a_round_was_made_or_not() {
    for swept in [false, true] {
        let house = House::new([]);
        let call = house.device("POS-00000001").await;
        let retired = house.code(&call).await;
        let code = house.code(&call).await;
        let ann = user(MERCHANT, "ann");
        for _ in 0..LIMIT.max_failures {
            house.claim(&ann, "ZZZZZZ").await.unwrap_err();
        }
        let reclaim = Reclaim::new(house.storage.reclaiming.clone(), house.clock.clone(), RETENTION, 2);
        let sweep = async || {
            if swept {
                round(&reclaim).await;
            }
        };
        sweep().await;
        let too_many = house.claim(&ann, &code).await;
        assert!(matches!(too_many, Err(ClaimDeviceError::TooManyFailures(_))), "{swept}: {too_many:?}");
        house.clock.advance(LIMIT.window.max(TTL));
        sweep().await;
        for over in [&code, &retired] {
            let refused = house.claim(&ann, over).await;
            assert!(matches!(refused, Err(ClaimDeviceError::CodeExpired)), "{swept}: {refused:?}");
        }
        house.clock.advance(RETENTION.ended_codes);
        sweep().await;
        let refused = house.claim(&ann, &code).await;
        assert!(matches!(refused, Err(ClaimDeviceError::CodeExpired)), "it is still on the screen: {refused:?}");
        let refused = house.unlimited_claim(&ann, attempt(&retired)).await;
        assert_eq!(matches!(refused, Err(ClaimDeviceError::CodeNotFound)), swept, "{refused:?}");
        house.clock.advance(SHORTEST_EVENT_RETENTION);
        sweep().await;
        let fresh = house.code(&call).await;
        house.claim(&ann, &fresh).await.unwrap();
        let verify = VerifyAudit::new(house.storage.fleet.clone(), house.storage.events.clone());
        let found = verify.with_clock(house.clock.clone()).page(None).await.unwrap();
        assert_eq!((found.faults, found.events, found.reclaimed > 0), (vec![], 5, swept));
    }
}
