//! Long polling of the status route (`Prefer: wait`): the response is sent when the device changes.

use pos_tests::server::{Answer, Options, TestServer, USER_AGENT, send};
use pos_tests::stores::TestStore;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

/// Longer than any test: an earlier response was caused by a change.
pub(super) const LONG_WAIT: &str = "wait=300";

fn request(server: &TestServer, device: &str, prefer: &str) -> RequestBuilder {
    let request = server.request(Method::GET, "/pos/status").header("X-Device-Id", device).header("Prefer", prefer);
    request.header("User-Agent", USER_AGENT).header("X-Client-Type", "pos")
}

pub(super) async fn poll(server: &TestServer, device: &str, prefer: &str) -> Answer {
    send(request(server, device, prefer)).await
}

/// Returns once this server holds one status request.
pub(super) async fn wait_for_one_held_request(server: &TestServer) {
    let one_is_held = async {
        while !send(server.request(Method::GET, "/metrics")).await.text.contains("pos_waiting_terminals 1") {}
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), one_is_held).await.expect("a held status request");
}

pub(super) fn settings() -> Options {
    // The re-check interval is longer than the test, so only a notification ends a wait.
    let settings = vec![
        ("POS__TERMINAL__MAX_WAIT_SECS", "300".into()),
        ("POS__TERMINAL__WAIT_RECHECK_SECS", "300".into()),
        ("POS__HTTP__REQUEST_TIMEOUT_SECS", "1".into()),
    ];
    Options { settings, ..Options::default() }
}

/// A claim at either of two replicas ends the wait at the first one, before its timeout, although the wait is longer than
/// the request timeout.
async fn a_claim_is_seen_at_once(near: TestServer, far: Option<TestServer>) {
    for replica in [Some(&near), far.as_ref()].into_iter().flatten() {
        let device = near.device().await;
        let code = near.code(&device).await;
        let (seen, claimed) = tokio::join!(poll(&near, &device, LONG_WAIT), async {
            wait_for_one_held_request(&near).await;
            replica.claim("ann", &json!({ "pairing_code": code })).await
        });
        assert_eq!(claimed.status, 200, "{claimed:?}");
        assert_eq!((seen.status.as_u16(), &seen.json()["is_claimed"]), (200, &true.into()), "{seen:?}");
    }
    near.stop().await;
    if let Some(far) = far {
        far.stop().await;
    }
}

#[tokio::test]
async fn a_claim_is_seen_at_once_on_postgres_at_every_replica() {
    let store = TestStore::postgres().await;
    let near = TestServer::start(store.opened(), settings());
    let far = TestServer::start(&store.reopened().await, settings());
    a_claim_is_seen_at_once(near, Some(far)).await;
}

/// Notifications do not pass through the pooler: the listener uses the direct connection.
#[tokio::test]
async fn a_claim_is_seen_at_once_through_pgbouncer_at_every_replica() {
    let store = TestStore::pgbouncer().await;
    let near = TestServer::start(store.opened(), settings());
    let far = TestServer::start(&store.reopened().await, settings());
    a_claim_is_seen_at_once(near, Some(far)).await;
}

#[tokio::test]
async fn a_claim_is_seen_at_once_on_sqlite() {
    let store = TestStore::sqlite().await;
    a_claim_is_seen_at_once(TestServer::start(store.opened(), settings()), None).await;
}

#[tokio::test]
async fn a_terminal_without_a_pending_code_gets_a_response_at_once() {
    let store = TestStore::sqlite().await;
    let server = TestServer::start(store.opened(), settings());
    let device = server.device().await;
    assert_eq!(poll(&server, &device, LONG_WAIT).await.json()["pairing_code_status"], "none");
    let unknown = poll(&server, "POS-UNKNOWN", LONG_WAIT).await;
    assert_eq!(unknown.failure(404, "4004"), "Device not found");
    server.code(&device).await;
    server.clock.advance(time::Duration::minutes(5));
    assert_eq!(poll(&server, &device, LONG_WAIT).await.json()["pairing_code_status"], "expired");
    let code = server.code(&device).await;
    assert_eq!(server.claim("ann", &json!({ "pairing_code": code })).await.status, 200);
    assert_eq!(poll(&server, &device, LONG_WAIT).await.json()["pairing_code_status"], "used");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_answers_held_requests() {
    let store = TestStore::sqlite().await;
    let server = TestServer::start(store.opened(), settings());
    let device = server.device().await;
    server.code(&device).await;
    let waiting = tokio::spawn(send(request(&server, &device, LONG_WAIT)));
    wait_for_one_held_request(&server).await;
    server.stop_gracefully().await;
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json()["pairing_code_status"]), (200, &"pending".into()));
    assert_eq!((answer.header("preference-applied"), answer.header("retry-after")), (Some(LONG_WAIT), None));
}

#[tokio::test]
async fn without_prefer_or_when_disabled_nothing_is_held() {
    let store = TestStore::sqlite().await;
    let settings = vec![("POS__TERMINAL__MAX_WAIT_SECS", "0".into())];
    let server = TestServer::start(store.opened(), Options { settings, ..Options::default() });
    let device = server.device().await;
    server.code(&device).await;
    for prefer in [LONG_WAIT, "wait", "respond-async", "wait=0"] {
        let answer = poll(&server, &device, prefer).await;
        assert_eq!((answer.status.as_u16(), answer.header("preference-applied")), (200, None), "{prefer}");
    }
    server.stop().await;
}
