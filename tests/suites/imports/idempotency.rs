//! Idempotency keys of imports.

use pos_application::test_support::SISTER;
use pos_tests::server::{MERCHANT, OTHER_MERCHANT, send};
use pos_tests::stores::TestStore;
use reqwest::RequestBuilder;
use time::Duration;

use super::fixture::{CSV, ImportFixture, JSON_LINES, csv, on_both_engines, report, request, request_by};

on_both_engines!(
    a_key_replays_its_import,
    a_key_is_for_one_file,
    a_key_belongs_to_its_party,
    a_key_expires,
    a_refused_import_is_replayed_as_it_was,
    a_rejected_file_does_not_use_the_key,
    without_a_key_the_same_file_is_another_import,
    concurrent_requests_on_two_replicas_import_once,
);

fn keyed(request: RequestBuilder, key: &str) -> RequestBuilder {
    request.header("Idempotency-Key", key)
}

async fn a_key_replays_its_import(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    for (from, query, key) in [(1, "", "one"), (10, "?mode=best_effort", "two")] {
        let file = csv(from, 3, MERCHANT);
        let first = report(send(keyed(request(&fixture.server, query, CSV, file.clone()), key)).await);
        assert_eq!((first.replayed, first.results()), (false, vec!["provisioned"; 3]));
        for server in [&fixture.server, &fixture.replica().await] {
            let again = report(send(keyed(request(server, query, CSV, file.clone()), key)).await);
            assert!(again.replayed);
            assert_eq!((again.rows, again.totals), (first.rows.clone(), first.totals.clone()));
        }
    }
    assert_eq!(fixture.devices().await.len(), 6);
}

async fn a_key_is_for_one_file(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = csv(1, 3, MERCHANT);
    report(send(keyed(request(&fixture.server, "", CSV, file.clone()), "k")).await);
    for (query, media_type, other) in [
        ("", CSV, csv(1, 4, MERCHANT)),
        ("", CSV, csv(1, 3, SISTER)),
        ("", CSV, "no header".to_owned()),
        ("?mode=best_effort", CSV, file.clone()),
        ("", JSON_LINES, file),
    ] {
        let refused = send(keyed(request(&fixture.server, query, media_type, other), "k")).await;
        assert_eq!(refused.failure(400, "4220"), "Idempotency-Key was used for another request");
    }
    assert_eq!(fixture.devices().await.len(), 3);
}

async fn a_key_belongs_to_its_party(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    report(send(keyed(request(&fixture.server, "", CSV, csv(1, 3, MERCHANT)), "k")).await);
    let zoes = request_by("zoe", &fixture.server, "", CSV, csv(10, 3, OTHER_MERCHANT));
    assert!(!report(send(keyed(zoes, "k")).await).replayed);
    assert_eq!(fixture.devices().await.len(), 6);
}

async fn a_key_expires(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let (file, other) = (csv(1, 3, MERCHANT), csv(10, 3, MERCHANT));
    report(send(keyed(request(&fixture.server, "", CSV, file.clone()), "k")).await);
    fixture.app.clock.advance(Duration::seconds(35_000));
    assert!(report(send(keyed(request(&fixture.server, "", CSV, file), "k")).await).replayed);
    fixture.app.clock.advance(Duration::seconds(86_400 - 35_000));
    fixture.log_in().await;
    let fresh = report(send(keyed(request(&fixture.server, "", CSV, other.clone()), "k")).await);
    assert_eq!((fresh.replayed, fresh.results()), (false, vec!["provisioned"; 3]));
    assert!(report(send(keyed(request(&fixture.server, "", CSV, other), "k")).await).replayed);
}

async fn a_refused_import_is_replayed_as_it_was(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    report(send(request(&fixture.server, "", CSV, csv(2, 1, MERCHANT))).await);
    let file = csv(1, 3, MERCHANT);
    let first = report(send(keyed(request(&fixture.server, "", CSV, file.clone()), "k")).await);
    assert_eq!(first.results(), ["not_imported", "taken", "not_imported"]);
    report(send(request(&fixture.server, "", CSV, csv(1, 1, MERCHANT))).await);
    let again = report(send(keyed(request(&fixture.server, "", CSV, file), "k")).await);
    assert_eq!((again.replayed, again.rows), (true, first.rows));
}

async fn a_rejected_file_does_not_use_the_key(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let refused = send(keyed(request(&fixture.server, "", CSV, "device_id\n"), "k")).await;
    assert_eq!(refused.failure(400, "4000"), "Invalid request body");
    let corrected = report(send(keyed(request(&fixture.server, "", CSV, csv(1, 1, MERCHANT)), "k")).await);
    assert_eq!((corrected.replayed, corrected.results()), (false, vec!["provisioned"]));
}

async fn without_a_key_the_same_file_is_another_import(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = csv(1, 2, MERCHANT);
    assert_eq!(fixture.import("", CSV, file.clone()).await.results(), ["provisioned", "provisioned"]);
    assert_eq!(fixture.import("", CSV, file).await.results(), ["taken", "taken"]);
}

async fn concurrent_requests_on_two_replicas_import_once(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let replica = fixture.replica().await;
    for (from, query, key) in [(1, "", "one"), (10_000, "?mode=best_effort", "two")] {
        let file = csv(from, 1_500, MERCHANT);
        let calls = (0..6).map(|number| {
            let server = if number % 2 == 0 { &fixture.server } else { &replica };
            send(keyed(request(server, query, CSV, file.clone()), key))
        });
        let reports: Vec<_> = futures_util::future::join_all(calls).await.into_iter().map(report).collect();
        assert_eq!(reports.iter().filter(|report| !report.replayed).count(), 1);
        for report in &reports {
            assert_eq!(report.results(), vec!["provisioned"; 1_500]);
            assert_eq!(report.rows, reports[0].rows);
        }
    }
    assert_eq!(fixture.devices().await.len(), 3_000);
}
