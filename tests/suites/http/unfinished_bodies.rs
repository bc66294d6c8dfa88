//! Incomplete request bodies: the permits that they hold, and the responses that they get.

use std::time::Duration;

use pos_tests::server::{Answer, Options, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::with;

/// Upper limit of a wait; only a test that hangs reaches it.
const TIMEOUT: Duration = Duration::from_secs(60);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A request whose handler waits for the rest of its body.
struct Unfinished(TcpStream);

impl Unfinished {
    /// Sends a head and the first byte of a body of `length` bytes. The server's `100 Continue` shows that the handler is
    /// reading the body.
    async fn begin(server: &TestServer, path: &str, headers: &str, length: usize) -> Self {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut interim = [0; CONTINUE.len()];
        timeout(TIMEOUT, stream.read_exact(&mut interim)).await.expect("a 100 Continue").unwrap();
        assert_eq!(interim, CONTINUE, "{}", String::from_utf8_lossy(&interim));
        stream.write_all(b"{").await.unwrap();
        Self(stream)
    }

    async fn log_in(server: &TestServer) -> Self {
        Self::begin(server, "/client/session", "Content-Type: application/json\r\n", 2).await
    }

    async fn claim(server: &TestServer, token: &str) -> Self {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        Self::begin(server, "/pos/claim", &headers, 2).await
    }

    /// Sends the rest and shuts down the sending side.
    async fn finish(mut self) -> (u16, Value) {
        self.0.write_all(b"}").await.unwrap();
        self.0.shutdown().await.unwrap();
        self.answer().await
    }

    /// Reads the response, until the server closes the connection.
    async fn answer(mut self) -> (u16, Value) {
        let mut answer = String::new();
        timeout(TIMEOUT, self.0.read_to_string(&mut answer)).await.expect("a response and the end").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {answer:?}"));
        let retry = head.to_ascii_lowercase().contains("\r\nretry-after: ");
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(retry, matches!(status, 429 | 503), "{answer}");
        (status, serde_json::from_str::<Value>(body).unwrap()["error"].clone())
    }
}

/// One worker, with a queue for requests that find no permit. The queue timeout (10 s) is shorter than the default request
/// timeout (15 s), so a test fails if an unfinished body holds a permit until then.
fn one_worker(settings: &[(&'static str, &str)]) -> Options {
    let mut all = vec![("POS__HTTP__WORKERS", "1".to_owned()), ("POS__HTTP__QUEUE_TIMEOUT_MS", "10000".to_owned())];
    all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Options { settings: all, ..Options::default() }
}

async fn log_in(server: &TestServer) -> Answer {
    send(server.request(Method::POST, "/client/session").json(&json!({}))).await
}

async fn logout_notice(server: &TestServer) -> Answer {
    send(server.request(Method::POST, "/session/backchannel-logout").form(&[("logout_token", "x")])).await
}

async fn import(server: &TestServer, token: Option<&str>) -> Answer {
    let request = server.request(Method::POST, "/reseller/devices/import").header("Content-Type", "text/csv");
    let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
    send(request.body("device_id,merchant_id\n")).await
}

/// More of them than there are permits, without a token and of one account.
#[tokio::test]
async fn unfinished_bodies_hold_no_permit_that_others_need() {
    let settings = [("POS__HTTP__MAX_CONCURRENT_PORTAL_REQUESTS", "2"), ("POS__IMPORT__MAX_CONCURRENT", "1")];
    let (_store, server) = with(one_worker(&settings)).await;
    let mut unfinished = Vec::new();
    for _ in 0..4 {
        unfinished.push(Unfinished::log_in(&server).await);
        unfinished.push(Unfinished::claim(&server, "ann").await);
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        unfinished.push(Unfinished::begin(&server, "/session/backchannel-logout", headers, 2).await);
    }
    for token in ["ann", "eve"] {
        let claim = server.claim(token, &json!({ "pairing_code": "K7M3NP" })).await;
        assert_eq!(claim.failure(400, "4004"), "Pairing code not found");
    }
    assert_eq!(log_in(&server).await.failure(400, "4000"), "Invalid request body");
    assert_eq!(logout_notice(&server).await.failure(400, "4000"), "Logout token is invalid");
    assert_eq!(import(&server, Some("ann")).await.failure(403, "4003"), "Session does not act for a reseller");
    for unfinished in unfinished {
        let (status, error) = unfinished.finish().await;
        assert_eq!((status, &error["code"]), (400, &json!("4000")), "{error}");
    }
    server.stop().await;
}

/// Without a token, or with a token that is not authorized.
#[tokio::test]
async fn a_rejected_upload_holds_no_import_permit() {
    let (_store, server) = with(one_worker(&[("POS__IMPORT__MAX_CONCURRENT", "1")])).await;
    for (headers, status) in [("", 401), ("Authorization: Bearer ann\r\n", 403)] {
        let mut sending = Vec::new();
        for _ in 0..3 {
            let headers = format!("{headers}Content-Type: text/csv\r\n");
            sending.push(Unfinished::begin(&server, "/reseller/devices/import", &headers, 1_000).await);
        }
        assert_eq!(import(&server, Some("ann")).await.failure(403, "4003"), "Session does not act for a reseller");
        for rejected in sending {
            assert_eq!(rejected.answer().await.0, status);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn an_unfinished_body_beyond_the_limit_of_an_address_ends_its_oldest() {
    let (_store, server) = with(one_worker(&[("POS__HTTP__MAX_PENDING_BODIES", "4")])).await;
    let oldest = Unfinished::log_in(&server).await;
    let second = Unfinished::log_in(&server).await;
    let of_account = Unfinished::claim(&server, "ann").await;
    let third = Unfinished::log_in(&server).await;
    let (status, error) = oldest.answer().await;
    assert_eq!((status, &error["code"]), (429, &json!("4290")), "{error}");
    for unfinished in [second, of_account, third] {
        assert_eq!(unfinished.finish().await.0, 400);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_a_client_error() {
    let (_store, server) =
        with(one_worker(&[("POS__HTTP__REQUEST_TIMEOUT_SECS", "1"), ("POS__IMPORT__TIMEOUT_SECS", "1")])).await;
    for unfinished in [Unfinished::log_in(&server).await, Unfinished::claim(&server, "ann").await] {
        let (status, error) = unfinished.answer().await;
        assert_eq!((status, &error["code"]), (400, &json!("4000")), "{error}");
        assert_eq!(error["message"], "Request body was not received in time");
    }
    let metrics = send(server.request(Method::GET, "/metrics")).await.text;
    assert!(metrics.contains("route=\"/pos/claim\",status=\"400\"} 1"), "{metrics}");
    assert!(!metrics.contains("status=\"5"), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn a_body_whose_sender_has_shut_down_is_rejected_at_once() {
    let (_store, server) = with(one_worker(&[])).await;
    let mut half = Unfinished::claim(&server, "ann").await;
    half.0.shutdown().await.unwrap();
    let (status, error) = half.answer().await;
    assert_eq!((status, &error["message"]), (400, &json!("Invalid request body")), "{error}");
    server.stop().await;
}

/// Every operation with a request body in the API description, with a declared length over its limit.
#[tokio::test]
async fn a_declared_length_over_the_limit_is_rejected_at_once_on_every_route() {
    let store = TestStore::sqlite().await;
    let server = TestServer::start(store.opened(), one_worker(&[("POS__IMPORT__MAX_ROWS", "1")]));
    let api = send(server.request(Method::GET, "/openapi.json")).await.json();
    let mut tried = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, _) in
            item.as_object().unwrap().iter().filter(|(_, operation)| operation.get("requestBody").is_some())
        {
            let path = path.replace("{merchant_id}", "00000000-0000-0000-0000-000000001111").replace(['{', '}'], "");
            for expect in ["", "Expect: 100-continue\r\n"] {
                let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
                let method = method.to_uppercase();
                let head = format!(
                    "{method} {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n{expect}\r\n"
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                let (status, error) = Unfinished(stream).answer().await;
                assert_eq!((status, &error["code"]), (413, &json!("4013")), "{method} {path} {expect}");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
    let metrics = send(server.request(Method::GET, "/metrics")).await.text;
    assert!(metrics.contains("route=\"/pos/claim\",status=\"413\"} 2"), "{metrics}");
    server.stop().await;
}

/// Chunked, so no length is declared, and without a last chunk.
#[tokio::test]
async fn a_body_that_grows_too_large_ends_the_connection() {
    let store = TestStore::sqlite().await;
    let server = TestServer::start(store.opened(), one_worker(&[]));
    server.seed_sessions().await;
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST /pos/claim HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 9_000, "x".repeat(9_000));
    stream.write_all(format!("{head}{chunk}{chunk}").as_bytes()).await.unwrap();
    let (status, error) = Unfinished(stream).answer().await;
    assert_eq!((status, &error["code"]), (413, &json!("4013")));
    server.stop().await;
}

/// A handler that reads no body does not wait for the end of one.
#[tokio::test]
async fn an_endless_body_that_no_handler_reads_ends_the_connection() {
    let (_store, server) = with(one_worker(&[])).await;
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let head = "POST /session/end HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Unfinished(stream).answer().await.0, 401);
    server.stop().await;
}
