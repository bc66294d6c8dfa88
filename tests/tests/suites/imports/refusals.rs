//! A file of guessed ids tells no more than a call for one device does, leaves an event, and cannot be sent for ever.

use pos_domain::{AuditEvent, AuditKind, Subject};
use pos_port_storage::Span;
use pos_tests::server::{Answer, MERCHANT, OTHER_MERCHANT, send};
use pos_tests::stores::TestStore;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use time::Duration;

use super::world::{CSV, RESELLER, World, call, call_by, csv, on_both_engines, report, user};

on_both_engines!(
    a_taken_row_says_what_a_single_call_says,
    a_refused_import_is_on_record,
    refused_rows_are_bounded_for_each_party,
);

/// Devices of the other reseller, with these numbers from 1.
async fn theirs(world: &World, count: u32) {
    report(send(call_by("zoe", &world.server, "", CSV, csv(1, count, OTHER_MERCHANT))).await);
}

async fn on_record(world: &World) -> Vec<AuditEvent> {
    let all = Span { limit: 1_000, ..Span::default() };
    let kept = world.storage.events.audit_by_time(&all, None).await.unwrap();
    kept.into_iter().map(|kept| kept.event).filter(|event| event.kind == AuditKind::ImportRefused).collect()
}

async fn a_taken_row_says_what_a_single_call_says(store: TestStore) {
    let world = World::on(store).await;
    theirs(&world, 1).await;
    let path = format!("/reseller/merchants/{MERCHANT}/devices");
    let one = world.server.request(reqwest::Method::POST, &path).bearer_auth("rob");
    let single = send(one.json(&json!({"device_id": "POS-00000001"}))).await.failure(400, "4220");
    for query in ["", "?mode=best_effort"] {
        let told = world.import(query, CSV, csv(1, 1, MERCHANT)).await;
        assert_eq!((told.words(), told.rows[0]["message"].as_str()), (vec!["taken"], Some(single.as_str())));
    }
}

async fn a_refused_import_is_on_record(store: TestStore) {
    let world = World::on(store).await;
    theirs(&world, 2).await;
    assert_eq!(on_record(&world).await, []);
    let file = csv(2, 3, MERCHANT);
    for (query, mode, refused) in [("", "all_or_nothing", "3"), ("?mode=best_effort", "best_effort", "1")] {
        world.import(query, CSV, file.clone()).await;
        let told = on_record(&world).await.pop().unwrap();
        let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(told.subject, Some(Subject::Reseller(RESELLER)));
        assert_eq!(told.act.actor, pos_domain::Actor::User(user("rob")));
        assert!(told.act.origin.is_some() && told.act.trace_id.is_some());
        let detail: Vec<_> = told.detail.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(detail, [("file_sha256", digest.as_str()), ("mode", mode), ("refused", refused), ("rows", "3")]);
    }
    assert_eq!(on_record(&world).await.len(), 2, "one for each import");
}

fn is_bounded(answer: &Answer) {
    assert_eq!(answer.failure(429, "4290"), "Too many refused rows, try again later");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    // What is left of the window, and up to a quarter of that on top.
    assert!((1..=4_500).contains(&wait), "{wait}");
}

async fn refused_rows_are_bounded_for_each_party(store: TestStore) {
    let settings = vec![("POS__IMPORT__MAX_REFUSED_ROWS", "6".into())];
    let world = World::with(store, settings).await;
    theirs(&world, 3).await;
    // Of all or nothing each row counts.
    for (query, from, count) in [("", 3, 4), ("?mode=best_effort", 2, 2)] {
        report(send(call(&world.server, query, CSV, csv(from, count, MERCHANT))).await);
    }
    for query in ["", "?mode=best_effort"] {
        is_bounded(&send(call(&world.server, query, CSV, csv(100, 1, MERCHANT))).await);
    }
    let others = send(call_by("zoe", &world.server, "", CSV, csv(200, 1, OTHER_MERCHANT))).await;
    assert_eq!(report(others).words(), ["provisioned"]);
    world.clock.advance(Duration::HOUR + Duration::SECOND);
    world.log_in().await;
    let again = world.import("?mode=best_effort", CSV, csv(100, 1, MERCHANT)).await;
    assert_eq!(again.words(), ["provisioned"]);
}
