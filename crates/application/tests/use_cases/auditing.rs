//! Tests of the audit trail: events, export and verification.

use pos_application::audit::AuditEntry;
use pos_application::fleet::VerifyDeviceChainsError;
use pos_application::pairing::ClaimAttempt;
use pos_application::test_support::{
    MERCHANT, OTHER_MERCHANT, TestApp, attempt, claimant, request_from, terminal_call,
};
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{Actor, Claimant, DeviceId};
use pos_port_storage::shared::TimeRange;
use time::Duration;

use crate::{LIMIT, TTL, app, unlimited};

async fn refusals(app: &TestApp) -> Vec<AuditEvent> {
    app.audit_events_of(AuditKind::ClaimRefused).await
}

async fn exported(app: &TestApp, range: TimeRange) -> Vec<AuditEntry> {
    let (mut export, mut entries) = (app.audit.export.begin(range), Vec::new());
    while let Some(entry) = export.next().await.unwrap() {
        let of_the_merchant =
            matches!(&entry, AuditEntry::Other(stored) if stored.event.kind == AuditKind::MerchantAdded);
        if !of_the_merchant {
            entries.push(entry);
        }
    }
    entries
}

#[tokio::test]
async fn every_event_has_actor_client_ip_and_trace_id() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let ann = claimant(MERCHANT, "ann");
    let code = app.code(&call).await;
    app.claim(&ann, &code).await.unwrap();
    let events = app.device_events(&call.device_id).await;
    let acts: Vec<_> = events.into_iter().map(|event| event.audit_context).collect();
    let expected = [
        pos_domain::shared::AuditContext::operator(),
        request_from(1).with_actor(Actor::Terminal),
        request_from(2).with_actor(Actor::User(ann.user_id)),
    ];
    assert_eq!(acts, expected);
}

#[tokio::test]
async fn every_refused_claim_is_audited_with_its_reason_and_never_the_code() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let superseded = app.code(&call).await;
    let code = app.code(&call).await;
    let people = ["nil", "superseded", "named", "eve", "late", "used"].map(|name| claimant(MERCHANT, name));
    let [nil, second, named, _, late, used] = &people;
    let eve = claimant(OTHER_MERCHANT, "eve");
    let without_limit = unlimited(&app);
    let unlimited =
        async |by: &Claimant, attempt: ClaimAttempt| without_limit.pairing.claim_device.execute(by, &attempt).await;
    unlimited(nil, attempt("ZZZZZZ")).await.unwrap_err();
    unlimited(nil, attempt("OOOOOO")).await.unwrap_err();
    unlimited(second, attempt(&superseded)).await.unwrap_err();
    let naming = |code: &str| ClaimAttempt { device_id: Some("POS-00000009".to_owned()), ..attempt(code) };
    unlimited(named, naming(&code)).await.unwrap_err();
    unlimited(named, naming(&superseded)).await.unwrap_err();
    unlimited(&eve, attempt(&code)).await.unwrap_err();
    app.clock.advance(TTL);
    unlimited(late, attempt(&code)).await.unwrap_err();
    let code = app.code(&call).await;
    unlimited(used, attempt(&code)).await.unwrap();
    unlimited(used, attempt(&code)).await.expect_err("refused but not audited: its own merchant used the code");
    unlimited(&eve, attempt(&code)).await.unwrap_err();

    let audited: Vec<_> = refusals(&app)
        .await
        .into_iter()
        .map(|event| {
            assert_eq!(event.audit_context.client_ip, request_from(2).client_ip);
            assert_eq!(event.audit_context.trace_id, request_from(2).trace_id);
            assert!(!format!("{event:?}").contains(&code) && !format!("{event:?}").contains("ZZZZZZ"));
            let device = event.subject == Some(Subject::Device(call.device_id.clone()));
            assert!(device || event.subject.is_none());
            (event.audit_context.actor.to_string(), event.detail["reason"].clone(), device)
        })
        .collect();
    let expected = [
        ("user:nil", "not_found", false),
        ("user:nil", "not_found", false),
        ("user:superseded", "expired", true),
        ("user:named", "not_found", true),
        ("user:named", "not_found", true),
        ("user:eve", "not_owner", true),
        ("user:late", "expired", true),
        ("user:eve", "used", true),
    ];
    assert_eq!(audited, expected.map(|(who, why, device)| (who.to_owned(), why.to_owned(), device)));
    assert_eq!(refusals(&app).await[5].merchant_id, Some(OTHER_MERCHANT));
}

#[tokio::test]
async fn claims_above_the_limit_are_audited_once_per_window() {
    let app = app([]);
    let (ann, bob) = (claimant(MERCHANT, "ann"), claimant(MERCHANT, "bob"));
    for window in 1..=2 {
        for _ in 0..20 {
            app.claim(&ann, "ZZZZZZ").await.unwrap_err();
            app.claim(&bob, "ZZZZZZ").await.unwrap_err();
        }
        let refusals = refusals(&app).await;
        assert_eq!(refusals.len(), window * (LIMIT.max_failures as usize + 1), "one event for the merchant's window");
        assert_eq!(refusals.last().unwrap().detail["reason"], "too_many_failures");
        app.clock.advance(LIMIT.window);
    }
}

#[tokio::test]
async fn an_export_is_ordered_by_time_for_any_page_size() {
    let app = app([]);
    let ann = claimant(MERCHANT, "ann");
    for number in 1..=3 {
        let call = app.terminal(&format!("POS-0000000{number}")).await;
        app.claim(&ann, "ZZZZZZ").await.unwrap_err();
        app.clock.advance(Duration::seconds(1));
        app.code(&call).await;
    }
    let whole = exported(&app, TimeRange { limit: 100, ..TimeRange::default() }).await;
    assert_eq!(whole.len(), 9);
    assert!(whole.is_sorted_by_key(AuditEntry::at));
    for limit in [0, 1, 2, 3] {
        assert_eq!(exported(&app, TimeRange { limit, ..TimeRange::default() }).await, whole, "pages of {limit}");
    }
    let about = TimeRange { device_id: Some(DeviceId::from_bits(2)), limit: 1, ..TimeRange::default() };
    assert_eq!(exported(&app, about).await.len(), 2);
}

#[tokio::test]
async fn valid_chains_verify() {
    let app = app([]);
    app.ensure_merchant(MERCHANT).await;
    let ids = app.fleet.provision.some(1_000, MERCHANT, &pos_domain::shared::AuditContext::operator()).await.unwrap();
    let ids =
        [ids, app.fleet.provision.some(7, MERCHANT, &pos_domain::shared::AuditContext::operator()).await.unwrap()]
            .concat();
    let call = terminal_call(ids[500].as_str());
    app.code(&call).await;
    let first = app.fleet.verify_chains.page(None).await.unwrap();
    assert_eq!((first.devices, first.events, first.last.as_ref()), (1_000, 1_001, Some(&ids[999])));
    let second = app.fleet.verify_chains.page(first.last).await.unwrap();
    assert_eq!((second.devices, second.events, second.last), (7, 7, None));
    assert!(first.faults.is_empty() && second.faults.is_empty());
    let one = app.fleet.verify_chains.device(&ids[500]).await.unwrap();
    assert_eq!((one.devices, one.events, one.faults), (1, 2, Vec::new()));
    let unknown = app.fleet.verify_chains.device(&DeviceId::parse("POS-UNKNOWN").unwrap()).await;
    assert!(matches!(unknown, Err(VerifyDeviceChainsError::UnknownDevice)));
}
