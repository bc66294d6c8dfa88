//! Idempotency keys of claims, over HTTP and across replicas.

use futures_util::future::join_all;
use pos_domain::device::DeviceEventKind;
use pos_domain::shared::DeviceId;
use pos_port_storage::device::DeviceHistory;
use pos_tests::server::{Answer, Options, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

fn limited() -> Options {
    Options { settings: vec![("POS__CLAIM__MAX_FAILURES", "2".to_owned())], ..Options::default() }
}

async fn claim(server: &TestServer, token: &str, key: &str, body: &Value) -> Answer {
    let request = server.request(Method::POST, "/pos/claim").bearer_auth(token).header("Idempotency-Key", key);
    send(request.json(body)).await
}

fn outcome(answer: &Answer) -> (u16, Option<&str>, &str) {
    (answer.status.as_u16(), answer.header("idempotency-replayed"), &answer.text)
}

async fn claim_events(server: &TestServer, id: &str) -> usize {
    let id = DeviceId::parse(id).unwrap();
    let events = server.storage.events.events_of(&DeviceHistory::whole(&id)).await.unwrap();
    events.iter().filter(|event| event.kind == DeviceEventKind::Claimed).count()
}

async fn a_retry_with_the_same_key_replays_the_response(store: TestStore) {
    let (one, other) =
        (TestServer::start(store.opened(), limited()), TestServer::start(&store.reopened().await, limited()));
    let id = one.device().await;
    let body = json!({ "pairing_code": one.code(&id).await });
    let first = claim(&one, "ann", "k", &body).await;
    let text = format!("{{\"status\":\"claimed\",\"device_id\":\"{id}\"}}");
    assert_eq!(outcome(&first), (200, None, &*text));
    assert_eq!(first.header("content-type"), Some("application/json"));
    for server in [&other, &one, &other, &one] {
        let again = claim(server, "ann", "k", &body).await;
        assert_eq!(outcome(&again), (200, Some("true"), &*text));
        assert_eq!(again.header("content-type"), Some("application/json"));
    }
    let reused = "Idempotency-Key was used for another request";
    for changed in [json!({"pairing_code": "ZZZZZZ"}), json!({"pairing_code": body["pairing_code"], "device_id": id})] {
        assert_eq!(claim(&other, "ann", "k", &changed).await.failure(400, "4220"), reused);
    }
    let used = "Pairing code has already been used";
    for (user, key) in [("bob", "k"), ("ann", "other")] {
        assert_eq!(claim(&other, user, key, &body).await.failure(400, "4220"), used, "{user} {key}");
    }
    for _ in 0..4 {
        let without = other.claim("ann", &body).await;
        assert_eq!(without.failure(400, "4220"), used, "never 429");
        assert_eq!(without.details(), body);
    }
    assert_eq!(claim_events(&one, &id).await, 1);
    for wrong in 0..3 {
        let guess = one.claim("ann", &json!({"pairing_code": "ZZZZZZ"})).await;
        assert_eq!(guess.status, if wrong < 2 { 400 } else { 429 }, "the retries above were not counted as failures");
    }
    assert_eq!(outcome(&claim(&other, "ann", "k", &body).await), (200, Some("true"), &*text));
    one.stop().await;
    other.stop().await;
}

async fn concurrent_requests_with_one_key_get_the_same_response(store: TestStore) {
    let (one, other) =
        (TestServer::start(store.opened(), limited()), TestServer::start(&store.reopened().await, limited()));
    for round in 0..5 {
        let id = one.device().await;
        let body = json!({ "pairing_code": one.code(&id).await });
        let key = format!("k{round}");
        let idempotency =
            join_all((0..24).map(|number| claim(if number % 2 == 0 { &one } else { &other }, "ann", &key, &body)))
                .await;
        let first = idempotency.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
        assert_eq!(first, 1, "{idempotency:?}");
        for answer in &idempotency {
            assert_eq!((answer.status.as_u16(), &answer.text), (200, &idempotency[0].text));
        }
        assert_eq!(idempotency[0].json(), json!({"status": "claimed", "device_id": id}));
        assert_eq!(claim_events(&one, &id).await, 1);
    }
    one.stop().await;
    other.stop().await;
}

/// The caller closes the connection at different points of the claim, and retries.
async fn a_retry_after_a_disconnect_gets_the_response(store: TestStore) {
    let server = TestServer::start(store.opened(), limited());
    for round in 0..20 {
        let id = server.device().await;
        let body = json!({ "pairing_code": server.code(&id).await });
        let text = body.to_string();
        let head = format!(
            "POST /pos/claim HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ann\r\nIdempotency-Key: k{round}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        let mut abandoned = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        abandoned.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        drop(abandoned);
        let answer = claim(&server, "ann", &format!("k{round}"), &body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["device_id"].as_str()), (200, Some(&*id)), "{answer:?}");
        assert_eq!(claim_events(&server, &id).await, 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_invalid_key_is_rejected() {
    let (_store, server) = super::server().await;
    for key in ["", "two words", &"k".repeat(256)] {
        let answer = claim(&server, "ann", key, &json!({"pairing_code": "ZZZZZZ"})).await;
        assert_eq!(answer.failure(400, "4000"), "Idempotency-Key header is invalid", "{key:?}");
    }
    let answer = claim(&server, "nobody", "two words", &json!({})).await;
    assert_eq!(answer.failure(401, "4001"), "Access token is invalid or expired", "credentials are checked first");
    server.stop().await;
}

macro_rules! on_both_engines {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(pos_tests::stores::TestStore::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(pos_tests::stores::TestStore::postgres().await).await;
            })+
        }
        mod pgbouncer {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(pos_tests::stores::TestStore::pgbouncer().await).await;
            })+
        }
    };
}

on_both_engines!(
    a_retry_with_the_same_key_replays_the_response,
    concurrent_requests_with_one_key_get_the_same_response,
    a_retry_after_a_disconnect_gets_the_response,
);
