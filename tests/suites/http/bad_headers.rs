//! Invalid terminal headers.

use pos_tests::server::{Answer, TestServer, USER_AGENT, send};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};

use super::server;

const NAMES: [&str; 3] = ["X-Device-Id", "User-Agent", "X-Client-Type"];

/// Sends a status poll with these headers, which may repeat.
async fn poll(server: &TestServer, headers: &[(&str, &[u8])]) -> Answer {
    let mut request = server.request(Method::GET, "/pos/status");
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        request = request.header(name, HeaderValue::from_bytes(value).unwrap());
    }
    send(request).await
}

fn good(id: &str) -> Vec<(&'static str, Vec<u8>)> {
    let values = [id, USER_AGENT, "pos"];
    NAMES.into_iter().zip(values.map(|value| value.as_bytes().to_vec())).collect()
}

async fn poll_with(server: &TestServer, id: &str, name: &str, values: &[&[u8]]) -> Answer {
    let good = good(id);
    let mut headers: Vec<(&str, &[u8])> =
        good.iter().filter(|(known, _)| *known != name).map(|(known, value)| (*known, value.as_slice())).collect();
    headers.extend(values.iter().map(|value| (name, *value)));
    poll(server, &headers).await
}

#[tokio::test]
async fn a_header_that_is_missing_or_empty_is_required() {
    let (_store, server) = server().await;
    let id = server.device().await;
    for name in NAMES {
        for values in [&[][..], &[b"".as_slice()], &[b"  \t "]] {
            let answer = poll_with(&server, &id, name, values).await;
            assert_eq!(answer.failure(400, "4000"), format!("{name} header is required"));
            assert!(answer.details().is_null(), "{answer:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_first_fault_in_the_documented_order_is_reported() {
    let (_store, server) = server().await;
    assert_eq!(poll(&server, &[]).await.failure(400, "4000"), "X-Device-Id header is required");
    let answer = poll(&server, &[("X-Device-Id", b"nonsense"), ("X-Client-Type", b"web")]).await;
    assert_eq!(answer.failure(400, "4000"), "X-Device-Id header is invalid");
    let answer = poll(&server, &[("X-Device-Id", b"POS-UNKNOWN"), ("X-Client-Type", b"web")]).await;
    assert_eq!(answer.failure(400, "4000"), "User-Agent header is required");
    server.stop().await;
}

#[tokio::test]
async fn a_header_that_is_repeated_long_or_not_ascii_is_invalid() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let long = "x".repeat(10_000);
    for (name, value) in good(&id) {
        let padded = [value.as_slice(), long.as_bytes()].concat();
        let accented = [value.as_slice(), "é".as_bytes()].concat();
        let latin_1 = [value.as_slice(), b"\xe9"].concat();
        for values in [&[value.as_slice(), value.as_slice()][..], &[&padded], &[&accented], &[&latin_1]] {
            let answer = poll_with(&server, &id, name, values).await;
            assert_eq!(answer.failure(400, "4000"), format!("{name} header is invalid"));
            let why = answer.details()["message"].as_str().unwrap_or_default().to_owned();
            assert!(why.starts_with(name) && why.len() < 200, "{why}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn values_of_the_wrong_form_are_invalid() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let long_id = format!("POS-{}", "A".repeat(61));
    let faulty = [
        ("X-Device-Id", vec!["8F3A2C91", "pos-8F3A2C91", "POS 8F3A2C91", "POS-8F3A 2C91", &long_id]),
        ("User-Agent", vec!["curl/8.0", "Viopay-POS", "Viopay-POS/", "Viopay-POS/x.y", "Mozilla/5.0 Viopay-POS/1.4.2"]),
        ("X-Client-Type", vec!["POS", "web", "pos,pos", "p os"]),
    ];
    for (name, values) in faulty {
        for value in values {
            let answer = poll_with(&server, &id, name, &[value.as_bytes()]).await;
            assert_eq!(answer.failure(400, "4000"), format!("{name} header is invalid"), "{value}");
        }
    }
    let longest = format!("POS-{}", "A".repeat(60));
    let answer = poll_with(&server, &id, "X-Device-Id", &[longest.as_bytes()]).await;
    assert_eq!(answer.failure(404, "4004"), "Device not found");
    server.stop().await;
}

#[tokio::test]
async fn headers_that_are_too_large_together_are_refused() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let filler = vec![b'x'; 17_000];
    let answer = poll_with(&server, &id, "X-Filler", &[&filler]).await;
    assert_eq!(answer.failure(400, "4000"), "Request headers are too large");
    server.stop().await;
}

#[tokio::test]
async fn the_user_agent_is_stored_as_terminal_info() {
    let (_store, server) = server().await;
    let id = server.device().await;
    assert_eq!(poll_with(&server, &id, "User-Agent", &[b"Viopay-POS/2.1 (Linux 5; X1)"]).await.status, 200);
    let device =
        server.storage.devices.find(&pos_domain::shared::DeviceId::parse(&id).unwrap()).await.unwrap().unwrap();
    let agent = device.last_seen().map(|seen| seen.agent.clone()).unwrap();
    assert_eq!(
        (agent.app_version.as_str(), agent.os.as_deref(), agent.model.as_deref()),
        ("2.1", Some("Linux 5"), Some("X1"))
    );
    server.stop().await;
}
