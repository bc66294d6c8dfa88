//! Tests of single calls: request headers, response parsing and error mapping.

use std::collections::HashSet;
use std::time::Duration;

use time::macros::datetime;
use tokio::net::TcpListener;

use super::server::{CODE, PENDING, Reply, Server, failure, ok};
use super::{Fixture, short_timeouts};
use crate::{ApiError, CallError, DeviceStatus, PairingCodeStatus};

fn bootstrap(min: &str) -> Reply {
    ok(&format!(r#"{{"status":"ok","server_time":"2025-12-13T14:26:00Z","min_supported_version":"{min}"}}"#))
}

#[tokio::test]
async fn sends_the_documented_headers() {
    let server = Server::start([bootstrap("1.3.5"), ok(CODE), ok(PENDING)]).await;
    let terminal = Fixture::connected_to(&server.address).terminal;
    terminal.bootstrap().await.unwrap();
    terminal.request_pairing_code().await.unwrap();
    terminal.status().await.unwrap();

    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(lines, ["POST /pos/bootstrap HTTP/1.1", "POST /pos/pairing-code HTTP/1.1", "GET /pos/status HTTP/1.1"]);
    let mut parents = HashSet::new();
    for request in &requests {
        assert_eq!(request.header("x-device-id"), Some("POS-8F3A2C91"));
        assert_eq!(request.header("user-agent"), Some("Viopay-POS/1.4.2 (Android 12; PAX-A920)"));
        assert_eq!(request.header("x-client-type"), Some("pos"));
        let parent = request.header("traceparent").unwrap();
        let parts: Vec<_> = parent.split('-').map(str::len).collect();
        assert_eq!((parts, &parent[..3], &parent[parent.len() - 3..]), (vec![2, 32, 16, 2], "00-", "-01"));
        parents.insert(parent);
    }
    assert_eq!(parents.len(), requests.len(), "every request has a trace of its own");
}

#[tokio::test]
async fn a_long_poll_sends_its_wait_in_prefer() {
    let server = Server::start([ok(PENDING), ok(PENDING)]).await;
    let terminal = Fixture::connected_to(&server.address).terminal;
    let held = terminal.status_within(Duration::from_secs(7)).await.unwrap();
    assert_eq!(held, terminal.status().await.unwrap());
    let preferences: Vec<_> =
        server.requests().iter().map(|request| request.header("prefer").map(str::to_owned)).collect();
    assert_eq!(preferences, [Some("wait=7".to_owned()), None]);
}

#[tokio::test]
async fn bootstrap_reports_the_clock_offset_and_whether_the_app_is_supported() {
    for (min, supported) in [("1.3.5", true), ("1.4.2", true), ("1.4.3", false), ("2", false)] {
        let server = Server::start([bootstrap(min)]).await;
        let terminal = Fixture::connected_to(&server.address).terminal;
        let hello = terminal.bootstrap().await.unwrap();
        assert_eq!(hello.server_time, datetime!(2025-12-13 14:26:00 UTC));
        assert_eq!(hello.clock_offset, time::Duration::seconds(30));
        assert_eq!(terminal.is_supported(&hello), supported, "{min}");
    }
}

#[tokio::test]
async fn a_code_has_symbols_and_an_expiry_and_is_hidden_from_debug() {
    let server = Server::start([ok(CODE)]).await;
    let fixture = Fixture::connected_to(&server.address);
    let code = fixture.terminal.request_pairing_code().await.unwrap();
    assert_eq!(code.symbols(), "K7M3NP");
    assert_eq!(code.expires_at(), datetime!(2025-12-13 14:30:30 UTC));
    assert_eq!(code.remaining(datetime!(2025-12-13 14:30:29 UTC)), Duration::from_secs(1));
    assert_eq!(code.remaining(datetime!(2025-12-13 14:40:00 UTC)), Duration::ZERO);
    assert!(!format!("{code:?}").contains("K7M3NP"));
}

#[tokio::test]
async fn parses_every_status_value() {
    let cases = [
        ("inactive", DeviceStatus::Inactive, "none", PairingCodeStatus::None),
        ("inactive", DeviceStatus::Inactive, "pending", PairingCodeStatus::Pending),
        ("inactive", DeviceStatus::Inactive, "expired", PairingCodeStatus::Expired),
        ("activated", DeviceStatus::Activated, "used", PairingCodeStatus::Used),
    ];
    for (device, device_status, code, pairing_code_status) in cases {
        let body = format!(r#"{{"device_status":"{device}","is_claimed":false,"pairing_code_status":"{code}"}}"#);
        let server = Server::start([ok(&body)]).await;
        let status = Fixture::connected_to(&server.address).terminal.status().await.unwrap();
        assert_eq!((status.device_status, status.pairing_code_status), (device_status, pairing_code_status));
    }
}

#[tokio::test]
async fn an_error_envelope_becomes_an_api_error() {
    let server = Server::start([failure(404, "4004", "retry-after: 9\r\n")]).await;
    let error = Fixture::connected_to(&server.address).terminal.bootstrap().await.unwrap_err();
    assert_eq!(error.to_string(), "test error (HTTP 404, code 4004, trace abc123)");
    assert_eq!(error.retry_after(), None, "only 429 and 503 may ask to wait");
    let CallError::Api(error) = error else { panic!("{error:?}") };
    let expected = ApiError {
        http_status: 404,
        code: "4004".into(),
        message: "test error".into(),
        details: Some(serde_json::json!({"device_id": "POS-8F3A2C91"})),
        trace_id: "abc123".into(),
        retry_after: Some(Duration::from_secs(9)),
    };
    assert_eq!(*error, expected);
}

#[tokio::test]
async fn a_response_that_is_not_this_apis_is_reported_without_its_content() {
    let html = "content-type: text/html\r\n";
    let json = "content-type: application/json; charset=utf-8\r\n";
    let too_long = format!("\"{}\"", "K7M3NP".repeat(20_000));
    let cases = [
        (200, html, "<h1>K7M3NP: accept the terms</h1>", "not JSON"),
        (200, "", r#"{"pairing_code":"K7M3NP","expires_in_sec":300}"#, "not JSON"),
        (200, json, "{K7M3NP", "documented ones"),
        (200, json, "", "documented ones"),
        (200, json, r#"{"pairing_code":"K7M3NP","expires_in_sec":"soon"}"#, "documented ones"),
        (200, json, r#"{"pairing_code":"K7M3NP","expires_in_sec":-1}"#, "documented ones"),
        (200, json, r#"{"pairing_code":"K7M3NP0","expires_in_sec":300}"#, "pairing_code is not"),
        (200, json, &too_long, "too long"),
        (201, json, CODE, "no error envelope"),
        (302, "location: /login\r\n", "", "not JSON"),
        (404, html, "<h1>K7M3NP</h1>", "not JSON"),
        (502, json, r#"{"message":"K7M3NP"}"#, "no error envelope"),
    ];
    for (status, headers, body, expected) in cases {
        let server = Server::start([Reply::Http(status, headers.into(), body.into())]).await;
        let error = Fixture::connected_to(&server.address).terminal.request_pairing_code().await.unwrap_err();
        let CallError::Unexpected { http_status, problem, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*http_status, status);
        assert!(problem.contains(expected), "{problem} should contain {expected}");
        assert!(!format!("{error} {error:?}").contains("K7M3NP"), "{error:?} contains the code");
    }
}

#[tokio::test]
async fn a_malformed_field_is_named_in_the_error() {
    let status = |device: &str, code: &str| {
        ok(&format!(r#"{{"device_status":"{device}","is_claimed":false,"pairing_code_status":"{code}"}}"#))
    };
    for (reply, field) in
        [(status("lost", "none"), "device_status"), (status("inactive", "lost"), "pairing_code_status")]
    {
        let server = Server::start([reply]).await;
        let error = Fixture::connected_to(&server.address).terminal.status().await.unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
    let body = r#"{"status":"ok","server_time":"noon","min_supported_version":"1.3.5"}"#;
    for (reply, field) in [(ok(body), "server_time"), (bootstrap("latest"), "min_supported_version")] {
        let server = Server::start([reply]).await;
        let error = Fixture::connected_to(&server.address).terminal.bootstrap().await.unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}

#[tokio::test]
async fn a_call_without_a_response_times_out() {
    let server = Server::start([Reply::NoResponse]).await;
    let terminal = Fixture::with(&server.address, |builder| builder.transport(short_timeouts())).terminal;
    let error = terminal.status().await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_broken_or_refused_connection_is_unreachable() {
    let server = Server::start([Reply::BrokenResponse]).await;
    let error = Fixture::connected_to(&server.address).terminal.status().await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Fixture::connected_to(&address).terminal.status().await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
}
