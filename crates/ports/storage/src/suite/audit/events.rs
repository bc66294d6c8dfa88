//! Contract cases: audit events of refused claims, and paging through the audit trail.

use pos_domain::audit::AuditEvent;
use pos_domain::device::ChainVerifier;
use pos_domain::pairing::{RefusedClaim, RefusedClaimReason};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptLimit, Scope};
use time::Duration;

use crate::Storage;
use crate::audit::{AuditPosition, StoredAuditEvent};
use crate::device::{DeviceEventPage, DeviceHistory, EventPosition};
use crate::shared::TimeRange;
use crate::suite::device::races::concurrently;
use crate::suite::fixtures::{
    at, claimant, claimed, context, id, issued, load, merchant, new, pending, refused_claim, save, user,
};

pub(crate) const LIMIT: AttemptLimit = AttemptLimit { max_failures: 3, window: Duration::seconds(300) };

pub(crate) async fn audit_events(storage: &Storage) -> Vec<AuditEvent> {
    let all = TimeRange { limit: 1_000, ..TimeRange::default() };
    let stored = storage.trail.audit_by_time(&all, None).await.unwrap();
    stored.into_iter().map(|stored| stored.event).collect()
}

async fn reasons(storage: &Storage) -> Vec<String> {
    audit_events(storage).await.into_iter().map(|event| event.detail["reason"].clone()).collect()
}

/// A device's hash chain is read back event by event, and its tip with the device.
pub async fn a_chain_is_read_back_intact(storage: Storage) {
    let device = claimed(&storage, 1, 1, 5).await;
    let device = save(&storage, device.activate(context(), at(6)).unwrap()).await;
    let mut check = ChainVerifier::of(&device);
    for event in storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap() {
        assert!(event.hash.is_some(), "{event:?}");
        check.see(&event);
    }
    assert_eq!(check.finish(), (0, Vec::new()));
    assert_eq!(load(&storage, &id(1)).await.chain(), device.chain());
}

/// A refused claim is read back as recorded, with and without a device, an address and a trace id.
pub async fn a_refusal_is_read_back_as_recorded(storage: Storage) {
    let long = Claimant { merchant_id: merchant(1), user_id: user(&"é".repeat(127)) };
    let refusals = [
        RefusedClaim { reason: RefusedClaimReason::NotOwner, ..refused_claim(&claimant(), at(1)) },
        RefusedClaim { context: Default::default(), device_id: None, ..refused_claim(&claimant(), at(2)) },
        RefusedClaim { reason: RefusedClaimReason::Used, ..refused_claim(&long, at(3)) },
    ];
    for refusal in &refusals {
        storage.failures.record(refusal, &AttemptLimit { max_failures: 100, ..LIMIT }).await.unwrap();
    }
    assert_eq!(audit_events(&storage).await, refusals.map(|refusal| refusal.event()));
}

/// A refused claim is not a change of the device.
pub async fn a_refusal_does_not_change_the_device(storage: Storage) {
    let device = pending(&storage, 1, 1).await;
    let claim = device.clone().claim(crate::suite::fixtures::code(1), &claimant(), context(), at(2)).unwrap();
    storage.failures.record(&refused_claim(&claimant(), at(2)), &LIMIT).await.unwrap();
    assert_eq!(load(&storage, &id(1)).await, device);
    storage.devices.save(&claim).await.unwrap();
    assert_eq!(storage.events.events_of(&DeviceHistory::whole(&id(1))).await.unwrap().len(), 3);
}

/// Beyond the limit one rejection is recorded per window, whether it was counted by `record` or not.
pub async fn rejections_by_the_limit_are_recorded_once_per_window(storage: Storage) {
    let record = async |seconds| {
        storage.failures.record(&refused_claim(&claimant(), at(seconds)), &LIMIT).await.unwrap();
    };
    let blocked = async |by: &Claimant, seconds| {
        storage.failures.record_blocked(&refused_claim(by, at(seconds)), &LIMIT).await.unwrap()
    };
    assert!(!blocked(&claimant(), 0).await, "nothing has failed yet");
    for seconds in 0..3 {
        assert!(!blocked(&claimant(), seconds).await, "the window is not full yet");
        record(seconds).await;
    }
    assert!(blocked(&claimant(), 3).await, "the first past the limit");
    let bert = Claimant { user_id: user("bert"), ..claimant() };
    for by in [&claimant(), &bert] {
        assert!(!blocked(by, 4).await, "the merchant's window has its event");
    }
    for seconds in 5..8 {
        record(seconds).await;
    }
    assert_eq!(reasons(&storage).await, ["not_found", "not_found", "not_found", "too_many_failures"]);
    assert_eq!(storage.failures.attempt_counts(&bert).await.unwrap().user, None, "a blocked claim is not counted");
    assert!(!blocked(&claimant(), 300).await, "the window has passed");
    for seconds in 300..306 {
        record(seconds).await;
    }
    assert_eq!(reasons(&storage).await[4..], ["not_found", "not_found", "not_found", "too_many_failures"]);
    assert!(!blocked(&claimant(), 310).await);
}

/// A user who exceeds the limit by claims for other merchants has a separate window and a separate event.
pub async fn merchant_and_user_windows_have_separate_events(storage: Storage) {
    let at_merchant = |number| Claimant { merchant_id: merchant(number), ..claimant() };
    for number in 2..5 {
        storage.failures.record(&refused_claim(&at_merchant(number), at(1)), &LIMIT).await.unwrap();
    }
    let blocked = async |by: &Claimant| {
        let refusal = refused_claim(by, at(2));
        storage.failures.record_blocked(&refusal, &LIMIT).await.unwrap()
    };
    let bert = Claimant { user_id: user("bert"), ..claimant() };
    assert!(!blocked(&bert).await && blocked(&claimant()).await && !blocked(&at_merchant(2)).await);
    let recorded = audit_events(&storage).await.pop().unwrap();
    assert_eq!((recorded.merchant_id, &*recorded.detail["reason"]), (Some(merchant(1)), "too_many_failures"));
}

/// Of concurrent failures the rejection by the limit is recorded once.
pub async fn concurrent_failures_record_the_limit_and_one_rejection(storage: Storage) {
    let recorded = concurrently(|_| {
        let storage = storage.clone();
        async move { storage.failures.record(&refused_claim(&claimant(), at(1)), &LIMIT).await.is_ok() }
    });
    assert!(recorded.await.into_iter().all(|recorded| recorded));
    assert_eq!(reasons(&storage).await.len(), 4);
    for number in 0..3 {
        storage.failures.record(&refused_claim(&claimant(), at(400 + number)), &LIMIT).await.unwrap();
    }
    let recorded = concurrently(|_| {
        let storage = storage.clone();
        async move { storage.failures.record_blocked(&refused_claim(&claimant(), at(410)), &LIMIT).await.unwrap() }
    });
    assert_eq!(recorded.await.into_iter().filter(|recorded| *recorded).count(), 1);
    let reasons = reasons(&storage).await;
    assert_eq!(reasons.len(), 8);
    assert_eq!(reasons.iter().filter(|reason| *reason == "too_many_failures").count(), 2);
}

async fn by_time(storage: &Storage, span: &TimeRange) -> (Vec<EventPosition>, Vec<AuditPosition>) {
    let (mut events, mut others): (Vec<EventPosition>, Vec<AuditPosition>) = (Vec::new(), Vec::new());
    loop {
        let page = storage.events.events_by_time(span, events.last()).await.unwrap();
        assert!(page.len() <= span.limit as usize);
        events.extend(page.iter().map(|event| EventPosition {
            at: event.at,
            device_id: event.device_id.clone(),
            sequence: event.sequence,
        }));
        let page: Vec<StoredAuditEvent> = storage.trail.audit_by_time(span, others.last().copied()).await.unwrap();
        assert!(page.len() <= span.limit as usize);
        let ended = page.is_empty();
        others.extend(page.iter().map(|stored| AuditPosition { at: stored.event.at, number: stored.number }));
        if ended && storage.events.events_by_time(span, events.last()).await.unwrap().is_empty() {
            return (events, others);
        }
    }
}

/// Pages by time contain every event once and in order, for any page size, also with equal instants and after a clock
/// was set back.
pub async fn pages_by_time_are_in_order_and_complete(storage: Storage) {
    for (number, seconds) in [(3, 9), (1, 5), (2, 5)] {
        claimed(&storage, number, number, seconds).await;
        for _ in 0..2 {
            let limit = AttemptLimit { max_failures: 100, ..LIMIT };
            let refusal = RefusedClaim { device_id: Some(id(number)), ..refused_claim(&claimant(), at(seconds)) };
            storage.failures.record(&refusal, &limit).await.unwrap();
        }
    }
    let whole = by_time(&storage, &TimeRange { limit: 1_000, ..TimeRange::default() }).await;
    assert_eq!((whole.0.len(), whole.1.len()), (9, 6 + 1), "and the creation of the merchant");
    assert!(whole.0.is_sorted() && whole.1.is_sorted());
    for limit in [1, 2, 4] {
        assert_eq!(by_time(&storage, &TimeRange { limit, ..TimeRange::default() }).await, whole, "pages of {limit}");
    }
    let from_to = TimeRange { since: Some(at(5)), until: Some(at(9)), limit: 2, ..TimeRange::default() };
    let (events, others) = by_time(&storage, &from_to).await;
    assert_eq!((events.len(), others.len()), (2, 4), "from the first instant, up to but excluding the last");
    let (events, others) = by_time(&storage, &TimeRange { device_id: Some(id(2)), ..from_to }).await;
    assert_eq!((events.len(), others.len()), (1, 2));
    let (events, others) =
        by_time(&storage, &TimeRange { device_id: Some(id(3)), limit: 2, ..TimeRange::default() }).await;
    assert_eq!((events.len(), others.len()), (3, 2));
    assert!(events.iter().all(|mark| mark.device_id == id(3)));
}

/// Pages by device contain each device's events in the order of their sequences.
pub async fn pages_by_device_are_in_order_and_complete(storage: Storage) {
    let shipment: Vec<_> = (0..4).map(new).collect();
    crate::suite::tenancy::fixtures::with_merchant(&storage, crate::suite::fixtures::merchant(1)).await;
    storage.fleet.create(Scope::Operator, &shipment, None).await.unwrap();
    for number in 1..4 {
        let mut device = load(&storage, &id(number)).await;
        for code in 0..=number {
            device = save(&storage, issued(device, number * 100 + code, 1)).await;
        }
    }
    for limit in [1, 2, 100] {
        let mut page = DeviceEventPage { after: (id(1), 0), through: id(2), limit };
        let mut positions = Vec::new();
        loop {
            let events = storage.events.events_by_device(&page).await.unwrap();
            assert!(events.len() <= limit as usize);
            let Some(last) = events.last() else { break };
            page.after = (last.device_id.clone(), last.sequence);
            positions.extend(events.into_iter().map(|event| (event.device_id, event.sequence)));
        }
        let expected = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (2, 4)];
        assert_eq!(positions, expected.map(|(number, sequence)| (id(number), sequence)), "pages of {limit}");
    }
}
