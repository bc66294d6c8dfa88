//! How terminals are told to behave, and what happens to one that does not.

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
    assert_eq!(fields, ["device_status", "is_claimed", "pairing_code_status"], "the body is as documented");
    answer
}

#[tokio::test]
async fn a_terminal_is_told_when_to_ask_again() {
    let (_store, server) = server().await;
    let device = server.device().await;
    assert_eq!(poll(&server, &device).await.header("retry-after"), None, "there is no code to wait for");

    let code = server.code(&device).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..64 {
        seen.insert(poll(&server, &device).await.retry_after());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5], "spread over the documented rhythm");

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
async fn a_terminal_that_asks_for_codes_too_often_is_sent_away_alone() {
    let settings = vec![("POS__LIMITS__DEVICE_PER_MINUTE", "60".into()), ("POS__LIMITS__DEVICE_BURST", "3".into())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let (wild, calm) = (server.device().await, server.device().await);
    for _ in 0..3 {
        server.code(&wild).await;
    }
    let refused = server.terminal(Method::POST, "/pos/pairing-code", &wild).await;
    assert_eq!(refused.failure(429, "4290"), "Too many requests, try again later");
    refused.assert_sent_away_for(1);
    server.code(&calm).await;
    server.clock.advance(Duration::seconds(1));
    server.code(&wild).await;
    server.stop().await;
}

/// An id is no secret: whoever calls with it from behind the same address must not silence the terminal.
#[tokio::test]
async fn calls_in_a_terminals_name_slow_down_nothing_but_its_new_codes() {
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
async fn an_address_that_tries_id_after_id_is_sent_away() {
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
