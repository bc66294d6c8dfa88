//! Half-closed connections: clients that shut down their sending side after a request.

use std::time::Duration;

use pos_tests::server::{Options, TestServer, USER_AGENT};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{server, with};

/// Upper limit of a wait; only a test that hangs reaches it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends a request, shuts down the sending side, and reads to the end.
async fn send_and_shut_down(server: &TestServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(TIMEOUT, stream.read_to_string(&mut answer)).await.expect("an answer and the end").unwrap();
    answer
}

fn terminal(method: &str, path: &str, device: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nX-Device-Id: {device}\r\nUser-Agent: {USER_AGENT}\r\nX-Client-Type: pos\r\n{more}\r\n"
    )
}

fn claim(code: &str) -> String {
    let body = format!("{{\"pairing_code\":\"{code}\"}}");
    let length = body.len();
    format!(
        "POST /pos/claim HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn each_complete_request_gets_a_response() {
    let (_store, server) = server().await;
    for _ in 0..40 {
        let device = server.device().await;
        let live = send_and_shut_down(&server, "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(live.starts_with("HTTP/1.1 200 "), "{live:?}");
        let issued = send_and_shut_down(&server, &terminal("POST", "/pos/pairing-code", &device, "")).await;
        assert!(issued.starts_with("HTTP/1.1 200 "), "{issued:?}");
        let code = issued.split_once("\"pairing_code\":\"").unwrap().1.get(..6).unwrap().to_owned();
        let status = send_and_shut_down(&server, &terminal("GET", "/pos/status", &device, "")).await;
        assert!(status.ends_with("\"pairing_code_status\":\"pending\"}"), "{status:?}");
        let claimed = send_and_shut_down(&server, &claim(&code)).await;
        assert!(claimed.starts_with("HTTP/1.1 200 "), "{claimed:?}");
    }
    server.stop().await;
}

/// Two requests on one connection: those received before the end of input get responses, in order.
#[tokio::test]
async fn pipelined_requests_get_responses() {
    let (_store, server) = server().await;
    let device = server.device().await;
    let both = terminal("GET", "/pos/status", &device, "").repeat(2);
    for _ in 0..20 {
        let idempotency = send_and_shut_down(&server, &both).await;
        assert_eq!(idempotency.matches("HTTP/1.1 200 ").count(), 2, "{idempotency}");
    }
    server.stop().await;
}

/// The connection may be fully closed as well as half closed, so the server responds with the current state.
#[tokio::test]
async fn a_held_status_request_gets_a_response_at_once() {
    let settings =
        ["POS__TERMINAL__MAX_WAIT_SECS", "POS__TERMINAL__WAIT_RECHECK_SECS"].map(|name| (name, "300".to_owned()));
    let (_store, server) = with(Options { settings: settings.to_vec(), ..Options::default() }).await;
    let device = server.device().await;
    server.code(&device).await;
    let status = send_and_shut_down(&server, &terminal("GET", "/pos/status", &device, "Prefer: wait=300\r\n")).await;
    assert!(status.ends_with("\"pairing_code_status\":\"pending\"}"), "{status:?}");
    server.stop().await;
}
