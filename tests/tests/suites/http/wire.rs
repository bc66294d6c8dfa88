//! What holds for every route: envelope, trace id, methods, paths.

use pos_tests::server::{USER_AGENT, send};
use reqwest::Method;

use super::server;

const ROUTES: [(&str, &str); 8] = [
    ("/pos/bootstrap", "POST"),
    ("/pos/pairing-code", "POST"),
    ("/pos/status", "GET, HEAD"),
    ("/pos/claim", "POST"),
    ("/health/live", "GET, HEAD"),
    ("/health/ready", "GET, HEAD"),
    ("/metrics", "GET, HEAD"),
    ("/openapi.json", "GET, HEAD"),
];

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let (_store, server) = server().await;
    for (path, allow) in ROUTES {
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::from_bytes(b"BREW").unwrap()] {
            let answer = send(server.request(method.clone(), path)).await;
            assert_eq!(answer.failure(405, "4005"), "Method not allowed", "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
        let wrong = if allow == "POST" { Method::GET } else { Method::POST };
        assert_eq!(send(server.request(wrong, path)).await.failure(405, "4005"), "Method not allowed");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_route_is_not_found() {
    let (_store, server) = server().await;
    for path in ["/", "/pos", "/pos/status/", "/POS/status", "//pos/status", "/pos/%00", "/pos/status/../claim/x", "/docs/no.js"] {
        let answer = send(server.request(Method::GET, path)).await;
        assert_eq!(answer.failure(404, "4004"), "Not found", "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_callers_trace_id_comes_back() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let poll = |traceparent: &str| {
        let request = server.request(Method::GET, "/pos/status").header("X-Device-Id", &id);
        let request = request.header("User-Agent", USER_AGENT).header("X-Client-Type", "pos");
        send(request.header("traceparent", traceparent.to_owned()))
    };
    let answer = poll(&format!("00-{trace_id}-00f067aa0ba902b7-01")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-trace-id")), (200, Some(trace_id)));
    let mut fresh = std::collections::HashSet::new();
    for malformed in ["", "nonsense", &format!("00-{trace_id}"), &"0".repeat(10_000), "00-é"] {
        let answer = poll(malformed).await;
        let id = answer.header("x-trace-id").unwrap_or_default().to_owned();
        assert_eq!(answer.status, 200, "{malformed}");
        assert!(id.len() == 32 && id != trace_id && fresh.insert(id), "{malformed}");
    }
    let unknown = server.request(Method::GET, "/nowhere").header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"));
    let answer = send(unknown).await;
    assert_eq!(answer.json()["error"]["trace_id"], trace_id);
    server.stop().await;
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let (_store, server) = server().await;
    let answer = send(server.request(Method::HEAD, "/health/live")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    server.stop().await;
}

#[tokio::test]
async fn a_body_where_none_is_needed_does_not_matter() {
    let (_store, server) = server().await;
    let id = server.device().await;
    for body in ["{}", "nonsense", &"x".repeat(100_000)] {
        let request = server.request(Method::POST, "/pos/bootstrap").header("X-Device-Id", &id);
        let request = request.header("User-Agent", USER_AGENT).header("X-Client-Type", "pos");
        assert_eq!(send(request.body(body.to_owned())).await.status, 200);
    }
    server.stop().await;
}
