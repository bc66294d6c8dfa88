//! Poll intervals and rate limits of terminals.

use pos_tests::server::{Answer, Options, TestServer};
use reqwest::Method;
use serde_json::json;
use time::Duration;

use super::{server, with};

async fn poll(server: &TestServer, device: &str) -> Answer {
    let answer = server.terminal(Method::GET, "/pos/status", device).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let fields: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["device_status", "is_claimed", "pairing_code_status"], "exactly the documented fields");
    answer
}

#[tokio::test]
async fn retry_after_gives_the_poll_interval() {
    let (_store, server) = server().await;
    let device = server.device().await;
    assert_eq!(poll(&server, &device).await.header("retry-after"), None, "no code, so no interval");

    let code = server.code(&device).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..64 {
        seen.insert(poll(&server, &device).await.retry_after());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5], "spread over the documented interval");

    let mut shortest = 0;
    for minutes in [5, 10, 60] {
        server.clock.advance(Duration::minutes(minutes));
        let answer = poll(&server, &device).await;
        assert_eq!(answer.json()["pairing_code_status"], "expired");
        assert!((shortest..=60).contains(&answer.retry_after()), "{answer:?}");
        shortest = match minutes {
            5 => 3,
            10 => 48,
            _ => break,
        };
    }

    let fresh = server.code(&device).await;
    assert_ne!(fresh, code);
    assert_eq!(server.claim("ann", &json!({ "pairing_code": fresh })).await.status, 200);
    assert_eq!(poll(&server, &device).await.header("retry-after"), None, "it was claimed");
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_that_requests_codes_too_often_is_limited_alone() {
    let settings = vec![("POS__LIMITS__DEVICE_PER_MINUTE", "60".into()), ("POS__LIMITS__DEVICE_BURST", "3".into())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let (fast, slow) = (server.device().await, server.device().await);
    for _ in 0..3 {
        server.code(&fast).await;
    }
    let refused = server.terminal(Method::POST, "/pos/pairing-code", &fast).await;
    assert_eq!(refused.failure(429, "4290"), "Too many requests, try again later");
    refused.assert_retry_after(1);
    server.code(&slow).await;
    server.clock.advance(Duration::seconds(1));
    server.code(&fast).await;
    server.stop().await;
}

/// A device id is not secret: requests with it from the same address must not block the terminal.
#[tokio::test]
async fn requests_with_a_terminals_id_limit_only_its_new_codes() {
    let settings = vec![("POS__LIMITS__DEVICE_PER_MINUTE", "60".into()), ("POS__LIMITS__DEVICE_BURST", "3".into())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let device = server.device().await;
    for _ in 0..4 {
        server.terminal(Method::POST, "/pos/pairing-code", &device).await;
    }
    for _ in 0..50 {
        poll(&server, &device).await;
        assert_eq!(server.terminal(Method::POST, "/pos/bootstrap", &device).await.status, 200);
    }
    let refused = server.terminal(Method::POST, "/pos/pairing-code", &device).await;
    assert_eq!(refused.failure(429, "4290"), "Too many requests, try again later");
    server.clock.advance(Duration::seconds(1));
    for _ in 0..50 {
        poll(&server, &device).await;
    }
    server.code(&device).await;
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_enumerates_ids_is_limited() {
    let settings = vec![("POS__LIMITS__ADDRESS_PER_MINUTE", "60".into()), ("POS__LIMITS__ADDRESS_BURST", "5".into())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    for number in 0..5 {
        let unknown = server.terminal(Method::GET, "/pos/status", &format!("POS-0000000{number}")).await;
        assert_eq!(unknown.failure(404, "4004"), "Device not found");
    }
    let refused = server.terminal(Method::GET, "/pos/status", "POS-00000009").await;
    assert_eq!(refused.failure(429, "4290"), "Too many requests, try again later");
    server.stop().await;
}
