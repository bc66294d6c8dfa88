//! Refused rows: what a report discloses about foreign devices, the audit event, and the limit per party.

use pos_application::test_support::RESELLER;
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_tests::server::{Answer, MERCHANT, OTHER_MERCHANT, send};
use pos_tests::stores::TestStore;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use time::Duration;

use super::fixture::{CSV, ImportFixture, csv, on_both_engines, report, request, request_by, user};

on_both_engines!(
    a_taken_row_discloses_no_more_than_a_single_request,
    a_refused_import_is_audited,
    refused_rows_are_limited_for_each_party,
);

/// Imports this many devices for the other reseller, with numbers from 1.
async fn import_foreign_devices(fixture: &ImportFixture, count: u32) {
    report(send(request_by("zoe", &fixture.server, "", CSV, csv(1, count, OTHER_MERCHANT))).await);
}

async fn refused_events(fixture: &ImportFixture) -> Vec<AuditEvent> {
    fixture.app.audit_events_of(AuditKind::ImportRefused).await
}

async fn a_taken_row_discloses_no_more_than_a_single_request(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    import_foreign_devices(&fixture, 1).await;
    let path = format!("/reseller/merchants/{MERCHANT}/devices");
    let one = fixture.server.request(reqwest::Method::POST, &path).bearer_auth("rob");
    let single = send(one.json(&json!({"device_id": "POS-00000001"}))).await.failure(400, "4220");
    for query in ["", "?mode=best_effort"] {
        let report = fixture.import(query, CSV, csv(1, 1, MERCHANT)).await;
        assert_eq!((report.results(), report.rows[0]["message"].as_str()), (vec!["taken"], Some(single.as_str())));
    }
}

async fn a_refused_import_is_audited(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    import_foreign_devices(&fixture, 2).await;
    assert_eq!(refused_events(&fixture).await, []);
    let file = csv(2, 3, MERCHANT);
    for (query, mode, refused) in [("", "all_or_nothing", "3"), ("?mode=best_effort", "best_effort", "1")] {
        fixture.import(query, CSV, file.clone()).await;
        let event = refused_events(&fixture).await.pop().unwrap();
        let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(event.subject, Some(Subject::Reseller(RESELLER)));
        assert_eq!(event.audit_context.actor, pos_domain::shared::Actor::User(user("rob")));
        assert!(event.audit_context.client_ip.is_some() && event.audit_context.trace_id.is_some());
        let detail: Vec<_> = event.detail.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(detail, [("file_sha256", digest.as_str()), ("mode", mode), ("refused", refused), ("rows", "3")]);
    }
    assert_eq!(refused_events(&fixture).await.len(), 2, "one event for each import");
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.failure(429, "4290"), "Too many refused rows, try again later");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    // The rest of the window, plus up to a quarter of it as jitter.
    assert!((1..=4_500).contains(&wait), "{wait}");
}

async fn refused_rows_are_limited_for_each_party(store: TestStore) {
    let settings = vec![("POS__IMPORT__MAX_REFUSED_ROWS", "6".into())];
    let fixture = ImportFixture::with(store, settings).await;
    import_foreign_devices(&fixture, 3).await;
    // In all-or-nothing mode each row counts as refused.
    for (query, from, count) in [("", 3, 4), ("?mode=best_effort", 2, 2)] {
        report(send(request(&fixture.server, query, CSV, csv(from, count, MERCHANT))).await);
    }
    for query in ["", "?mode=best_effort"] {
        assert_limited(&send(request(&fixture.server, query, CSV, csv(100, 1, MERCHANT))).await);
    }
    let others = send(request_by("zoe", &fixture.server, "", CSV, csv(200, 1, OTHER_MERCHANT))).await;
    assert_eq!(report(others).results(), ["provisioned"]);
    fixture.app.clock.advance(Duration::HOUR + Duration::SECOND);
    fixture.log_in().await;
    let again = fixture.import("?mode=best_effort", CSV, csv(100, 1, MERCHANT)).await;
    assert_eq!(again.results(), ["provisioned"]);
}
