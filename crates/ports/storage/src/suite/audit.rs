//! The audit trail: what is on record, in which order it is read, and what a flood leaves.

use pos_domain::{AuditEvent, ChainCheck, ClaimLimit, Claimant, RefusedClaim, RefusedClaimReason, Scope};
use time::Duration;

use super::fixtures::{at, claimant, claimed, context, found, id, issued, keep, merchant, new, refused, user, waiting};
use super::races::together;
use crate::{AuditMark, DeviceEventPage, EventMark, History, KeptAuditEvent, Span, Storage};

pub(super) const LIMIT: ClaimLimit = ClaimLimit { max_failures: 3, window: Duration::seconds(300) };

pub(super) async fn on_record(storage: &Storage) -> Vec<AuditEvent> {
    let all = Span { limit: 1_000, ..Span::default() };
    let kept = storage.events.audit_by_time(&all, None).await.unwrap();
    kept.into_iter().map(|kept| kept.event).collect()
}

async fn reasons(storage: &Storage) -> Vec<String> {
    on_record(storage).await.into_iter().map(|event| event.detail["reason"].clone()).collect()
}

/// The chain of a device is read back link by link, and its end with the device.
pub async fn a_chain_is_read_back_whole(storage: Storage) {
    let device = claimed(&storage, 1, 1, 5).await;
    let device = keep(&storage, device.activate(context(), at(6)).unwrap()).await;
    let mut check = ChainCheck::of(&device);
    for event in storage.events.events_of(&History::whole(&id(1))).await.unwrap() {
        assert!(event.hash.is_some(), "{event:?}");
        check.see(&event);
    }
    assert_eq!(check.finish(), (0, Vec::new()));
    assert_eq!(found(&storage, &id(1)).await.chain(), device.chain());
}

/// A refused claim comes back as it was put on record, with and without a device, an address and a trace id.
pub async fn a_refusal_is_read_back_as_recorded(storage: Storage) {
    let long = Claimant { merchant_id: merchant(1), user_id: user(&"é".repeat(127)) };
    let refusals = [
        RefusedClaim { reason: RefusedClaimReason::NotOwner, ..refused(&claimant(), at(1)) },
        RefusedClaim { context: Default::default(), device_id: None, ..refused(&claimant(), at(2)) },
        RefusedClaim { reason: RefusedClaimReason::Used, ..refused(&long, at(3)) },
    ];
    for refusal in &refusals {
        storage.failures.record(refusal, &ClaimLimit { max_failures: 100, ..LIMIT }).await.unwrap();
    }
    assert_eq!(on_record(&storage).await, refusals.map(|refusal| refusal.event()));
}

/// A refused claim is not one of the device's changes.
pub async fn a_refusal_disturbs_no_device(storage: Storage) {
    let device = waiting(&storage, 1, 1).await;
    let claim = device.clone().claim(super::fixtures::code(1), &claimant(), context(), at(2)).unwrap();
    storage.failures.record(&refused(&claimant(), at(2)), &LIMIT).await.unwrap();
    assert_eq!(found(&storage, &id(1)).await, device);
    storage.devices.save(&claim).await.unwrap();
    assert_eq!(storage.events.events_of(&History::whole(&id(1))).await.unwrap().len(), 3);
}

/// Past the limit, one refusal by the limit is on record for each window, counted in `record` or not.
pub async fn a_flood_leaves_one_event_a_window(storage: Storage) {
    let record = async |seconds| storage.failures.record(&refused(&claimant(), at(seconds)), &LIMIT).await.unwrap();
    let blocked = async |by: &Claimant, seconds| {
        storage.failures.record_blocked(&refused(by, at(seconds)), &LIMIT).await.unwrap()
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
    assert_eq!(storage.failures.standing(&bert).await.unwrap().user, None, "who is blocked is not counted");
    assert!(!blocked(&claimant(), 300).await, "the window has passed");
    for seconds in 300..306 {
        record(seconds).await;
    }
    assert_eq!(reasons(&storage).await[4..], ["not_found", "not_found", "not_found", "too_many_failures"]);
    assert!(!blocked(&claimant(), 310).await);
}

/// A user who is over the limit by other merchants' claims has a window, and an event, of the user's own.
pub async fn merchant_and_user_have_an_event_each(storage: Storage) {
    let elsewhere = |number| Claimant { merchant_id: merchant(number), ..claimant() };
    for number in 2..5 {
        storage.failures.record(&refused(&elsewhere(number), at(1)), &LIMIT).await.unwrap();
    }
    let blocked = async |by: &Claimant| storage.failures.record_blocked(&refused(by, at(2)), &LIMIT).await.unwrap();
    let bert = Claimant { user_id: user("bert"), ..claimant() };
    assert_eq!((blocked(&bert).await, blocked(&claimant()).await, blocked(&elsewhere(2)).await), (false, true, false));
    let told = on_record(&storage).await.pop().unwrap();
    assert_eq!((told.merchant_id, &*told.detail["reason"]), (Some(merchant(1)), "too_many_failures"));
}

/// However many callers are refused at once, the limit's own refusal is on record once.
pub async fn a_burst_leaves_the_limit_and_one(storage: Storage) {
    let told = together(|_| {
        let storage = storage.clone();
        async move { storage.failures.record(&refused(&claimant(), at(1)), &LIMIT).await.is_ok() }
    });
    assert!(told.await.into_iter().all(|told| told));
    assert_eq!(reasons(&storage).await.len(), 4);
    for number in 0..3 {
        storage.failures.record(&refused(&claimant(), at(400 + number)), &LIMIT).await.unwrap();
    }
    let told = together(|_| {
        let storage = storage.clone();
        async move { storage.failures.record_blocked(&refused(&claimant(), at(410)), &LIMIT).await.unwrap() }
    });
    assert_eq!(told.await.into_iter().filter(|told| *told).count(), 1);
    let reasons = reasons(&storage).await;
    assert_eq!(reasons.len(), 8);
    assert_eq!(reasons.iter().filter(|reason| *reason == "too_many_failures").count(), 2);
}

async fn by_time(storage: &Storage, span: &Span) -> (Vec<EventMark>, Vec<AuditMark>) {
    let (mut events, mut others): (Vec<EventMark>, Vec<AuditMark>) = (Vec::new(), Vec::new());
    loop {
        let page = storage.events.events_by_time(span, events.last()).await.unwrap();
        assert!(page.len() <= span.limit as usize);
        events.extend(page.iter().map(|event| EventMark {
            at: event.at,
            device_id: event.device_id.clone(),
            sequence: event.sequence,
        }));
        let page: Vec<KeptAuditEvent> = storage.events.audit_by_time(span, others.last().copied()).await.unwrap();
        assert!(page.len() <= span.limit as usize);
        let ended = page.is_empty();
        others.extend(page.iter().map(|kept| AuditMark { at: kept.event.at, number: kept.number }));
        if ended && storage.events.events_by_time(span, events.last()).await.unwrap().is_empty() {
            return (events, others);
        }
    }
}

/// Pages by time hold everything once and in order, whatever their size, also where instants are shared and where a
/// clock went back.
pub async fn pages_by_time_are_in_order_and_complete(storage: Storage) {
    for (number, seconds) in [(3, 9), (1, 5), (2, 5)] {
        claimed(&storage, number, number, seconds).await;
        for _ in 0..2 {
            let limit = ClaimLimit { max_failures: 100, ..LIMIT };
            let refusal = RefusedClaim { device_id: Some(id(number)), ..refused(&claimant(), at(seconds)) };
            storage.failures.record(&refusal, &limit).await.unwrap();
        }
    }
    let whole = by_time(&storage, &Span { limit: 1_000, ..Span::default() }).await;
    assert_eq!((whole.0.len(), whole.1.len()), (9, 6 + 1), "and one of the merchant");
    assert!(whole.0.is_sorted() && whole.1.is_sorted());
    for limit in [1, 2, 4] {
        assert_eq!(by_time(&storage, &Span { limit, ..Span::default() }).await, whole, "pages of {limit}");
    }
    let from_to = Span { since: Some(at(5)), until: Some(at(9)), limit: 2, ..Span::default() };
    let (events, others) = by_time(&storage, &from_to).await;
    assert_eq!((events.len(), others.len()), (2, 4), "from the first instant on, up to the last and without it");
    let (events, others) = by_time(&storage, &Span { device_id: Some(id(2)), ..from_to }).await;
    assert_eq!((events.len(), others.len()), (1, 2));
    let (events, others) = by_time(&storage, &Span { device_id: Some(id(3)), limit: 2, ..Span::default() }).await;
    assert_eq!((events.len(), others.len()), (3, 2));
    assert!(events.iter().all(|mark| mark.device_id == id(3)));
}

/// Pages by device hold each device's events in the order of their sequences.
pub async fn pages_by_device_are_in_order_and_complete(storage: Storage) {
    let shipment: Vec<_> = (0..4).map(new).collect();
    super::tenancy::with_merchant(&storage, super::fixtures::merchant(1)).await;
    storage.fleet.create(Scope::Operator, &shipment, None).await.unwrap();
    for number in 1..4 {
        let mut device = found(&storage, &id(number)).await;
        for code in 0..=number {
            device = keep(&storage, issued(device, number * 100 + code, 1)).await;
        }
    }
    for limit in [1, 2, 100] {
        let mut page = DeviceEventPage { after: (id(1), 0), through: id(2), limit };
        let mut places = Vec::new();
        loop {
            let events = storage.events.events_by_device(&page).await.unwrap();
            assert!(events.len() <= limit as usize);
            let Some(last) = events.last() else { break };
            page.after = (last.device_id.clone(), last.sequence);
            places.extend(events.into_iter().map(|event| (event.device_id, event.sequence)));
        }
        let expected = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (2, 4)];
        assert_eq!(places, expected.map(|(number, sequence)| (id(number), sequence)), "pages of {limit}");
    }
}
