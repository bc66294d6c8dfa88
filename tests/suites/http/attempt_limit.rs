//! Limit of failed claims, over HTTP and across replicas.

use pos_tests::server::{Options, TestServer};
use pos_tests::stores::TestStore;
use serde_json::json;
use time::Duration;

fn limited_to(failures: u32) -> Options {
    let settings =
        vec![("POS__CLAIM__MAX_FAILURES", failures.to_string()), ("POS__CLAIM__FAILURE_WINDOW_SECS", "60".into())];
    Options { settings, ..Options::default() }
}

#[tokio::test]
async fn two_servers_share_the_count_and_a_restart_keeps_it() {
    assert_shared_count(TestStore::postgres().await).await;
}

#[tokio::test]
async fn two_servers_share_the_count_through_pgbouncer() {
    assert_shared_count(TestStore::pgbouncer().await).await;
}

async fn assert_shared_count(store: TestStore) {
    let one = TestServer::start(store.opened(), limited_to(4));
    let other = TestServer::start(&store.reopened().await, limited_to(4));
    let id = one.device().await;
    let code = one.code(&id).await;
    let wrong = json!({"pairing_code": "ZZZZZZ"});
    for server in [&one, &other, &one, &other] {
        assert_eq!(server.claim("ann", &wrong).await.failure(400, "4004"), "Pairing code not found");
    }
    one.stop().await;
    let restarted = TestServer::start(&store.reopened().await, limited_to(4));
    restarted.clock.advance(Duration::seconds(18));
    for (server, user, wait) in [(&other, "ann", 60), (&restarted, "ann", 42), (&restarted, "bob", 42)] {
        let refused = server.claim(user, &json!({ "pairing_code": code })).await;
        assert_eq!(refused.failure(429, "4290"), "Too many failed claims, try again later");
        refused.assert_retry_after(wait);
    }
    let foreign = restarted.claim("eve", &json!({ "pairing_code": code })).await;
    assert_eq!(foreign.failure(403, "4003"), "Device does not belong to your merchant account");
    restarted.clock.advance(Duration::seconds(42));
    let claimed = restarted.claim("ann", &json!({ "pairing_code": code })).await;
    assert_eq!(claimed.status, 200, "the window has passed: {claimed:?}");
    other.stop().await;
    restarted.stop().await;
}

#[tokio::test]
async fn requests_that_are_not_guesses_are_not_counted() {
    let store = TestStore::sqlite().await;
    let server = TestServer::start(store.opened(), limited_to(1));
    for body in [json!({}), json!({"pairing_code": "SHORT"}), json!({"pairing_code": 7})] {
        assert_eq!(server.claim("ann", &body).await.failure(400, "4000"), "Invalid request body");
    }
    let id = server.device().await;
    let code = server.code(&id).await;
    assert_eq!(server.claim("ann", &json!({ "pairing_code": code })).await.status, 200);
    for _ in 0..3 {
        assert_eq!(server.claim("ann", &json!({ "pairing_code": code })).await.status, 400, "a used code is no guess");
    }
    assert_eq!(server.claim("ann", &json!({ "pairing_code": "ZZZZZZ" })).await.status, 400);
    assert_eq!(server.claim("ann", &json!({ "pairing_code": "ZZZZZZ" })).await.status, 429);
    server.stop().await;
}
