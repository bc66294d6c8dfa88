//! The same import more than once.

use pos_tests::server::{MERCHANT, OTHER_MERCHANT, send};
use pos_tests::stores::TestStore;
use reqwest::RequestBuilder;
use time::Duration;

use super::world::{CSV, JSON_LINES, SECOND_SHOP, World, call, call_by, csv, on_both_engines, report};

on_both_engines!(
    a_key_replays_its_import,
    a_key_is_for_one_file,
    a_key_is_its_partys,
    a_key_ends,
    a_refused_import_is_replayed_as_it_was,
    a_file_at_fault_keeps_no_key,
    without_a_key_the_same_file_is_another_import,
    at_once_on_two_replicas_one_is_imported,
);

fn keyed(request: RequestBuilder, key: &str) -> RequestBuilder {
    request.header("Idempotency-Key", key)
}

async fn a_key_replays_its_import(store: TestStore) {
    let world = World::on(store).await;
    for (from, query, key) in [(1, "", "one"), (10, "?mode=best_effort", "two")] {
        let file = csv(from, 3, MERCHANT);
        let first = report(send(keyed(call(&world.server, query, CSV, file.clone()), key)).await);
        assert_eq!((first.replayed, first.words()), (false, vec!["provisioned"; 3]));
        for server in [&world.server, &world.replica().await] {
            let again = report(send(keyed(call(server, query, CSV, file.clone()), key)).await);
            assert!(again.replayed);
            assert_eq!((again.rows, again.totals), (first.rows.clone(), first.totals.clone()));
        }
    }
    assert_eq!(world.devices().await.len(), 6);
}

async fn a_key_is_for_one_file(store: TestStore) {
    let world = World::on(store).await;
    let file = csv(1, 3, MERCHANT);
    report(send(keyed(call(&world.server, "", CSV, file.clone()), "k")).await);
    for (query, media_type, other) in [
        ("", CSV, csv(1, 4, MERCHANT)),
        ("", CSV, csv(1, 3, SECOND_SHOP)),
        ("", CSV, "no header".to_owned()),
        ("?mode=best_effort", CSV, file.clone()),
        ("", JSON_LINES, file),
    ] {
        let refused = send(keyed(call(&world.server, query, media_type, other), "k")).await;
        assert_eq!(refused.failure(400, "4220"), "Idempotency-Key was used for another request");
    }
    assert_eq!(world.devices().await.len(), 3);
}

async fn a_key_is_its_partys(store: TestStore) {
    let world = World::on(store).await;
    report(send(keyed(call(&world.server, "", CSV, csv(1, 3, MERCHANT)), "k")).await);
    let zoes = call_by("zoe", &world.server, "", CSV, csv(10, 3, OTHER_MERCHANT));
    assert!(!report(send(keyed(zoes, "k")).await).replayed);
    assert_eq!(world.devices().await.len(), 6);
}

async fn a_key_ends(store: TestStore) {
    let world = World::on(store).await;
    let (file, other) = (csv(1, 3, MERCHANT), csv(10, 3, MERCHANT));
    report(send(keyed(call(&world.server, "", CSV, file.clone()), "k")).await);
    world.clock.advance(Duration::seconds(35_000));
    assert!(report(send(keyed(call(&world.server, "", CSV, file), "k")).await).replayed);
    world.clock.advance(Duration::seconds(86_400 - 35_000));
    world.log_in().await;
    let fresh = report(send(keyed(call(&world.server, "", CSV, other.clone()), "k")).await);
    assert_eq!((fresh.replayed, fresh.words()), (false, vec!["provisioned"; 3]));
    assert!(report(send(keyed(call(&world.server, "", CSV, other), "k")).await).replayed);
}

async fn a_refused_import_is_replayed_as_it_was(store: TestStore) {
    let world = World::on(store).await;
    report(send(call(&world.server, "", CSV, csv(2, 1, MERCHANT))).await);
    let file = csv(1, 3, MERCHANT);
    let first = report(send(keyed(call(&world.server, "", CSV, file.clone()), "k")).await);
    assert_eq!(first.words(), ["not_imported", "taken", "not_imported"]);
    report(send(call(&world.server, "", CSV, csv(1, 1, MERCHANT))).await);
    let again = report(send(keyed(call(&world.server, "", CSV, file), "k")).await);
    assert_eq!((again.replayed, again.rows), (true, first.rows));
}

async fn a_file_at_fault_keeps_no_key(store: TestStore) {
    let world = World::on(store).await;
    let refused = send(keyed(call(&world.server, "", CSV, "device_id\n"), "k")).await;
    assert_eq!(refused.failure(400, "4000"), "Invalid request body");
    let mended = report(send(keyed(call(&world.server, "", CSV, csv(1, 1, MERCHANT)), "k")).await);
    assert_eq!((mended.replayed, mended.words()), (false, vec!["provisioned"]));
}

async fn without_a_key_the_same_file_is_another_import(store: TestStore) {
    let world = World::on(store).await;
    let file = csv(1, 2, MERCHANT);
    assert_eq!(world.import("", CSV, file.clone()).await.words(), ["provisioned", "provisioned"]);
    assert_eq!(world.import("", CSV, file).await.words(), ["taken", "taken"]);
}

async fn at_once_on_two_replicas_one_is_imported(store: TestStore) {
    let world = World::on(store).await;
    let replica = world.replica().await;
    for (from, query, key) in [(1, "", "one"), (10_000, "?mode=best_effort", "two")] {
        let file = csv(from, 1_500, MERCHANT);
        let calls = (0..6).map(|number| {
            let server = if number % 2 == 0 { &world.server } else { &replica };
            send(keyed(call(server, query, CSV, file.clone()), key))
        });
        let told: Vec<_> = futures_util::future::join_all(calls).await.into_iter().map(report).collect();
        assert_eq!(told.iter().filter(|report| !report.replayed).count(), 1);
        for report in &told {
            assert_eq!(report.words(), vec!["provisioned"; 1_500]);
            assert_eq!(report.rows, told[0].rows);
        }
    }
    assert_eq!(world.devices().await.len(), 3_000);
}
