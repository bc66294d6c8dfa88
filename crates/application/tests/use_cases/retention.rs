//! Tests of the purge: order, batch size, cut-off, and that no other use case depends on it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pos_application::Rules;
use pos_application::audit::{PurgeExpired, PurgeOutcome, PurgeStep, Retention};
use pos_application::pairing::ClaimDeviceError;
use pos_application::test_support::{MERCHANT, START, TestApp, claimant};
use pos_domain::device::SHORTEST_EVENT_RETENTION;
use pos_port_storage::Storage;
use pos_port_storage::audit::{ExpiredKind, PurgeBatch, Purged, PurgedBatch, RetentionRepository};
use pos_port_storage::shared::StorageError;
use time::{Duration, OffsetDateTime};

use crate::{LIMIT, TTL, in_memory, rules, unlimited};

const RETENTION: Retention = Retention {
    past_codes: Duration::days(30),
    failures: Duration::days(7),
    sessions: Duration::days(1),
    events: Some(SHORTEST_EVENT_RETENTION),
};

/// Records every batch, and answers from a script, in which `None` is a failure. After the script nothing is left.
#[derive(Default)]
struct Scripted {
    batches: Mutex<Vec<PurgeBatch>>,
    script: Mutex<VecDeque<Option<Purged>>>,
}

#[async_trait]
impl RetentionRepository for Scripted {
    async fn purge(&self, batch: &PurgeBatch) -> Result<Purged, StorageError> {
        self.batches.lock().unwrap().push(batch.clone());
        let next = self.script.lock().unwrap().pop_front().unwrap_or_else(|| Some(done(0, false)));
        next.ok_or_else(|| StorageError::Unavailable("unavailable".into()))
    }

    async fn count_expired(&self, _: ExpiredKind, _: OffsetDateTime, _: u32) -> Result<u64, StorageError> {
        Ok(7)
    }
}

fn done(removed: u64, more: bool) -> Purged {
    Purged::Done(PurgedBatch { removed, more, through: None })
}

async fn run(purge: &PurgeExpired) -> Vec<PurgeOutcome> {
    let (mut run, mut outcomes) = (purge.begin(), Vec::new());
    while let Some(outcome) = run.next().await {
        outcomes.push(outcome);
    }
    outcomes
}

fn scripted(retention: Retention, script: impl IntoIterator<Item = Option<Purged>>) -> (Arc<Scripted>, PurgeExpired) {
    let store = Arc::new(Scripted { script: Mutex::new(script.into_iter().collect()), ..Scripted::default() });
    let storage = Storage { retention: store.clone(), ..in_memory() };
    let rules = Rules { retention, purge_batch: 10, ..rules() };
    (store, TestApp::scripted(storage, [], &rules).audit.purge)
}

impl Scripted {
    fn cut_offs(&self) -> Vec<(ExpiredKind, Duration)> {
        let batches = self.batches.lock().unwrap();
        assert!(batches.iter().all(|batch| batch.at_most == 10 && batch.now == START));
        batches.iter().map(|batch| (batch.what, START - batch.before)).collect()
    }
}

#[tokio::test]
async fn a_run_purges_every_kind_up_to_its_cut_off() {
    let (store, purge) = scripted(RETENTION, [Some(done(10, true)), Some(done(3, false))]);
    let outcomes = run(&purge).await;
    let margin = Duration::minutes(5);
    let expected = [
        (ExpiredKind::PastCodes, RETENTION.past_codes),
        (ExpiredKind::PastCodes, RETENTION.past_codes),
        (ExpiredKind::ClaimFailures, RETENTION.failures),
        (ExpiredKind::ClientFailures, RETENTION.failures),
        (ExpiredKind::Sessions, RETENTION.sessions),
        (ExpiredKind::Logouts, RETENTION.sessions),
        (ExpiredKind::RevokedTokens, RETENTION.sessions),
        (ExpiredKind::Idempotency, margin),
        (ExpiredKind::Imports, margin),
        (ExpiredKind::DeviceEvents, SHORTEST_EVENT_RETENTION),
        (ExpiredKind::AuditEvents, SHORTEST_EVENT_RETENTION),
    ];
    assert_eq!(store.cut_offs(), expected);
    let removed = outcomes.iter().map(|outcome| match outcome {
        PurgeOutcome::Done(PurgeStep { removed, .. }) => *removed,
        other => panic!("{other:?}"),
    });
    assert_eq!(removed.sum::<u64>(), 13);
}

#[tokio::test]
async fn the_audit_trail_is_kept_for_ever_unless_a_retention_is_set() {
    let (store, purge) = scripted(Retention { events: None, ..RETENTION }, []);
    run(&purge).await;
    let trail = [ExpiredKind::DeviceEvents, ExpiredKind::AuditEvents];
    assert!(store.cut_offs().iter().all(|(what, _)| !trail.contains(what)));
    let preview = purge.preview(100).await.unwrap();
    assert_eq!(preview.len(), ExpiredKind::ALL.len() - 2);
    assert!(preview.iter().all(|step| step.removed == 7 && !trail.contains(&step.what)));
}

#[tokio::test]
async fn a_run_continues_after_a_failure_and_ends_if_another_replica_purges() {
    let (store, purge) = scripted(RETENTION, [None, Some(done(0, false)), Some(Purged::Busy)]);
    let outcomes = run(&purge).await;
    assert!(
        matches!(
            &outcomes[..],
            [
                PurgeOutcome::Failed { what: ExpiredKind::PastCodes, .. },
                PurgeOutcome::Done(PurgeStep { what: ExpiredKind::ClaimFailures, removed: 0 }),
                PurgeOutcome::Busy,
            ]
        ),
        "{outcomes:?}"
    );
    assert_eq!(store.cut_offs().len(), 3);
    assert_eq!(run(&purge).await.len(), ExpiredKind::ALL.len(), "the next run is complete");
}

#[tokio::test]
async fn the_next_run_continues_after_the_device_events_of_the_previous_one() {
    let position = |seconds| pos_port_storage::device::EventPosition {
        at: START + Duration::seconds(seconds),
        device_id: pos_domain::shared::DeviceId::from_bits(1),
        sequence: 1,
    };
    let events = |seconds, more| Some(Purged::Done(PurgedBatch { removed: 1, more, through: Some(position(seconds)) }));
    let before = ExpiredKind::ALL.iter().take_while(|what| **what != ExpiredKind::DeviceEvents).count();
    let mut script: Vec<_> = (0..before).map(|_| Some(done(0, false))).collect();
    script.extend([events(1, true), events(2, false)]);
    let (store, purge) = scripted(RETENTION, script);
    run(&purge).await;
    run(&purge).await;
    let batches = store.batches.lock().unwrap();
    let after: Vec<_> =
        batches.iter().filter(|batch| batch.what == ExpiredKind::DeviceEvents).map(|b| &b.after).collect();
    assert_eq!(after, [&None, &Some(position(1)), &Some(position(2))]);
}

/// With or without a purge, a claim is answered by the clock; only a past code that was purged is unknown.
#[tokio::test]
async fn a_purge_changes_no_response_except_for_purged_codes() {
    for purged in [false, true] {
        let app = TestApp::scripted(in_memory(), [], &Rules { retention: RETENTION, purge_batch: 2, ..rules() });
        let call = app.terminal("POS-00000001").await;
        let superseded = app.code(&call).await;
        let code = app.code(&call).await;
        let ann = claimant(MERCHANT, "ann");
        for _ in 0..LIMIT.max_failures {
            app.claim(&ann, "ZZZZZZ").await.unwrap_err();
        }
        let purge = async || {
            if purged {
                run(&app.audit.purge).await;
            }
        };
        purge().await;
        let too_many = app.claim(&ann, &code).await;
        assert!(matches!(too_many, Err(ClaimDeviceError::TooManyFailures(_))), "{purged}: {too_many:?}");
        app.clock.advance(LIMIT.window.max(TTL));
        purge().await;
        for expired in [&code, &superseded] {
            let refused = app.claim(&ann, expired).await;
            assert!(matches!(refused, Err(ClaimDeviceError::CodeExpired)), "{purged}: {refused:?}");
        }
        app.clock.advance(RETENTION.past_codes);
        purge().await;
        let refused = app.claim(&ann, &code).await;
        assert!(matches!(refused, Err(ClaimDeviceError::CodeExpired)), "it is the latest code: {refused:?}");
        let refused = unlimited(&app).claim(&ann, &superseded).await;
        assert_eq!(matches!(refused, Err(ClaimDeviceError::CodeNotFound)), purged, "{refused:?}");
        app.clock.advance(SHORTEST_EVENT_RETENTION);
        purge().await;
        let fresh = app.code(&call).await;
        app.claim(&ann, &fresh).await.unwrap();
        let verified = app.verified_chains().await;
        assert_eq!((verified.faults, verified.events, verified.purged > 0), (vec![], 5, purged));
    }
}
