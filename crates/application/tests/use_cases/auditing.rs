//! What is on record, and how it is read.

use pos_application::{AuditEntry, ClaimAttempt, VerifyAuditError};
use pos_domain::{Actor, AuditEvent, AuditKind, DeviceId, Subject};
use pos_port_storage::{History, Span};
use time::Duration;

use crate::{House, LIMIT, MERCHANT, OTHER_MERCHANT, TTL, attempt, from, user};

impl House {
    pub(crate) async fn refusals(&self) -> Vec<AuditEvent> {
        let all = Span { limit: 1_000, ..Span::default() };
        let kept = self.storage.events.audit_by_time(&all, None).await.unwrap();
        kept.into_iter().map(|kept| kept.event).filter(|event| event.kind == AuditKind::ClaimRefused).collect()
    }

    async fn exported(&self, span: Span) -> Vec<AuditEntry> {
        let (mut export, mut entries) = (self.export.begin(span), Vec::new());
        while let Some(entry) = export.next().await.unwrap() {
            let of_the_merchant =
                matches!(&entry, AuditEntry::Other(kept) if kept.event.kind == AuditKind::MerchantAdded);
            if !of_the_merchant {
                entries.push(entry);
            }
        }
        entries
    }
}

#[tokio::test]
async fn every_change_says_who_from_where_and_by_which_call() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let ann = user(MERCHANT, "ann");
    let code = house.code(&call).await;
    house.claim(&ann, &code).await.unwrap();
    let acts: Vec<_> = house
        .storage
        .events
        .events_of(&History::whole(&call.device_id))
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.act)
        .collect();
    let expected = [pos_domain::Act::operator(), from(1).by(Actor::Terminal), from(2).by(Actor::User(ann.user_id))];
    assert_eq!(acts, expected);
}

#[tokio::test]
async fn every_refused_claim_says_why_and_never_the_code() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let retired = house.code(&call).await;
    let code = house.code(&call).await;
    let people = ["nil", "retired", "named", "eve", "late", "used"].map(|name| user(MERCHANT, name));
    let [nil, second, named, _, late, used] = &people;
    let eve = user(OTHER_MERCHANT, "eve");
    let unlimited = |by, attempt| house.unlimited_claim(by, attempt);
    unlimited(nil, attempt("ZZZZZZ")).await.unwrap_err();
    unlimited(nil, attempt("OOOOOO")).await.unwrap_err();
    unlimited(second, attempt(&retired)).await.unwrap_err();
    let naming = |code: &str| ClaimAttempt { device_id: Some("POS-00000009".to_owned()), ..attempt(code) };
    unlimited(named, naming(&code)).await.unwrap_err();
    unlimited(named, naming(&retired)).await.unwrap_err();
    unlimited(&eve, attempt(&code)).await.unwrap_err();
    house.clock.advance(TTL);
    unlimited(late, attempt(&code)).await.unwrap_err();
    let code = house.code(&call).await;
    unlimited(used, attempt(&code)).await.unwrap();
    unlimited(used, attempt(&code)).await.expect_err("told so, and on no record: it is the merchant's own claim");
    unlimited(&eve, attempt(&code)).await.unwrap_err();

    let told: Vec<_> = house
        .refusals()
        .await
        .into_iter()
        .map(|event| {
            assert_eq!(event.act.origin, from(2).origin);
            assert_eq!(event.act.trace_id, from(2).trace_id);
            assert!(!format!("{event:?}").contains(&code) && !format!("{event:?}").contains("ZZZZZZ"));
            let device = event.subject == Some(Subject::Device(call.device_id.clone()));
            assert!(device || event.subject.is_none());
            (event.act.actor.to_string(), event.detail["reason"].clone(), device)
        })
        .collect();
    let expected = [
        ("user:nil", "not_found", false),
        ("user:nil", "not_found", false),
        ("user:retired", "expired", true),
        ("user:named", "not_found", true),
        ("user:named", "not_found", true),
        ("user:eve", "not_owner", true),
        ("user:late", "expired", true),
        ("user:eve", "used", true),
    ];
    assert_eq!(told, expected.map(|(who, why, device)| (who.to_owned(), why.to_owned(), device)));
    assert_eq!(house.refusals().await[5].merchant_id, Some(OTHER_MERCHANT));
}

#[tokio::test]
async fn a_flood_past_the_limit_leaves_one_event_a_window() {
    let house = House::new([]);
    let (ann, bob) = (user(MERCHANT, "ann"), user(MERCHANT, "bob"));
    for window in 1..=2 {
        for _ in 0..20 {
            house.claim(&ann, "ZZZZZZ").await.unwrap_err();
            house.claim(&bob, "ZZZZZZ").await.unwrap_err();
        }
        let refusals = house.refusals().await;
        assert_eq!(refusals.len(), window * (LIMIT.max_failures as usize + 1), "the merchant's window has one");
        assert_eq!(refusals.last().unwrap().detail["reason"], "too_many_failures");
        house.clock.advance(LIMIT.window);
    }
}

#[tokio::test]
async fn an_export_is_in_the_order_of_time_whatever_the_pages() {
    let house = House::new([]);
    let ann = user(MERCHANT, "ann");
    for number in 1..=3 {
        let call = house.device(&format!("POS-0000000{number}")).await;
        house.claim(&ann, "ZZZZZZ").await.unwrap_err();
        house.clock.advance(Duration::seconds(1));
        house.code(&call).await;
    }
    let whole = house.exported(Span { limit: 100, ..Span::default() }).await;
    assert_eq!(whole.len(), 9);
    assert!(whole.is_sorted_by_key(AuditEntry::at));
    for limit in [0, 1, 2, 3] {
        assert_eq!(house.exported(Span { limit, ..Span::default() }).await, whole, "pages of {limit}");
    }
    let about = Span { device_id: Some(DeviceId::from_bits(2)), limit: 1, ..Span::default() };
    assert_eq!(house.exported(about).await.len(), 2);
}

#[tokio::test]
async fn all_chains_hold() {
    let house = House::new([]);
    house.merchant().await;
    let ids = house.provision.some(1_000, MERCHANT, &pos_domain::Act::operator()).await.unwrap();
    let ids = [ids, house.provision.some(7, MERCHANT, &pos_domain::Act::operator()).await.unwrap()].concat();
    let call = crate::call(ids[500].as_str());
    house.code(&call).await;
    let first = house.verify.page(None).await.unwrap();
    assert_eq!((first.devices, first.events, first.last.as_ref()), (1_000, 1_001, Some(&ids[999])));
    let second = house.verify.page(first.last).await.unwrap();
    assert_eq!((second.devices, second.events, second.last), (7, 7, None));
    assert!(first.faults.is_empty() && second.faults.is_empty());
    let one = house.verify.device(&ids[500]).await.unwrap();
    assert_eq!((one.devices, one.events, one.faults), (1, 2, Vec::new()));
    let unknown = house.verify.device(&DeviceId::parse("POS-UNKNOWN").unwrap()).await;
    assert!(matches!(unknown, Err(VerifyAuditError::UnknownDevice)));
}
