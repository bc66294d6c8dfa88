//! Operations routes: health, metrics, API description and CORS.

use pos_tests::server::{Options, send};
use reqwest::Method;
use serde_json::json;

use super::{server, with};

#[tokio::test]
async fn a_healthy_server_is_live_and_ready() {
    let (_store, server) = server().await;
    assert_eq!(send(server.request(Method::GET, "/health/live")).await.json(), json!({"status": "ok"}));
    let ready = send(server.request(Method::GET, "/health/ready")).await;
    assert_eq!(ready.json(), json!({"status": "ready", "storage": "ok", "identity": "ok"}));
    server.stop().await;
}

#[tokio::test]
async fn metrics_count_requests_codes_claims_and_connections() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let code = server.code(&id).await;
    for _ in 0..3 {
        server.terminal(Method::GET, "/pos/status", &id).await;
    }
    server.claim("ann", &json!({ "pairing_code": code })).await;
    server.claim("ann", &json!({ "pairing_code": code })).await;
    send(server.request(Method::from_bytes(b"BREW").unwrap(), "/pos/status")).await;
    send(server.request(Method::GET, "/some/where/else")).await;
    let page = send(server.request(Method::GET, "/metrics")).await;
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "pos_http_requests_total{method=\"GET\",route=\"/pos/status\",status=\"200\"} 3",
        "pos_http_requests_total{method=\"other\",route=\"/pos/status\",status=\"405\"} 1",
        "pos_http_requests_total{method=\"GET\",route=\"unknown\",status=\"404\"} 1",
        "pos_http_request_duration_seconds_count{route=\"/pos/claim\"} 2",
        "pos_pairing_codes_issued_total 1",
        "pos_claims_total{outcome=\"claimed\"} 1",
        "pos_claims_total{outcome=\"used\"} 1",
    ] {
        assert!(page.text.lines().any(|shown| shown == line), "{line} is not in\n{}", page.text);
    }
    assert!(page.text.contains("pos_storage_connections{state=\"max\"}"), "{}", page.text);
    assert!(!page.text.contains(&code) && !page.text.contains(&id), "no code and no device in a label");
    server.stop().await;
}

#[tokio::test]
async fn metrics_can_be_switched_off() {
    let settings = vec![("POS__METRICS__ENABLED", "false".to_owned())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    assert_eq!(send(server.request(Method::GET, "/metrics")).await.failure(404, "4004"), "Not found");
    server.stop().await;
}

#[tokio::test]
async fn the_api_description_is_served() {
    let (_store, server) = server().await;
    let described = send(server.request(Method::GET, "/openapi.json")).await.json();
    assert!(described["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let statuses = |method: &str, path: &str| {
        let responses = &described["paths"][path][method]["responses"];
        responses.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    assert_eq!(statuses("post", "/pos/bootstrap"), "200 400 404 429 500 503");
    assert_eq!(statuses("post", "/pos/pairing-code"), "200 400 404 429 500 503");
    assert_eq!(statuses("get", "/pos/status"), "200 400 404 429 500 503");
    assert_eq!(statuses("post", "/pos/claim"), "200 400 401 403 413 415 429 500 503");
    let page = send(server.request(Method::GET, "/docs/")).await;
    assert!(page.status == 200 && page.text.contains("swagger-ui"), "{page:?}");
    let script = send(server.request(Method::GET, "/docs/swagger-initializer.js")).await;
    assert!(script.text.contains("/openapi.json"), "{script:?}");
    assert_eq!(send(server.request(Method::GET, "/docs")).await.status, 200, "redirected to the page");
    server.stop().await;
}

#[tokio::test]
async fn allowed_origins_pass_cors() {
    let settings = vec![("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://merchant.viopay.io".to_owned())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let preflight = |client_ip: &str| {
        let request = server.request(Method::OPTIONS, "/pos/claim").header("Origin", client_ip.to_owned());
        let request = request.header("Access-Control-Request-Method", "POST");
        send(request.header("Access-Control-Request-Headers", "authorization,content-type"))
    };
    let allowed = preflight("https://merchant.viopay.io").await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://merchant.viopay.io"), "{allowed:?}");
    let foreign = preflight("https://evil.example").await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    server.stop().await;
}

/// Browser instrumentation adds tracing headers to each request.
#[tokio::test]
async fn tracing_headers_pass_cors() {
    let settings = vec![("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://merchant.viopay.io".to_owned())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let request = server.request(Method::OPTIONS, "/pos/claim").header("Origin", "https://merchant.viopay.io");
    let request = request.header("Access-Control-Request-Method", "POST");
    let headers = "authorization,content-type,traceparent,tracestate,baggage,idempotency-key";
    let answer = send(request.header("Access-Control-Request-Headers", headers)).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""), "{answer:?}");
    let allowed = answer.header("access-control-allow-headers").unwrap().to_lowercase();
    for header in headers.split(',') {
        assert!(allowed.contains(header), "{header}: {allowed}");
    }
    assert_eq!(answer.header("x-trace-id").unwrap().len(), 32);
    server.stop().await;
}

#[tokio::test]
async fn a_rejected_preflight_gets_the_error_envelope() {
    let settings = vec![("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://portal.example.com".to_owned())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (client_ip, method, headers, why) in [
        ("https://portal.example.com", "DELETE", "", "method is not allowed"),
        ("https://portal.example.com", "POST", "x-unknown", "headers are not allowed"),
        ("https://evil.example", "POST", "", "Origin is not allowed"),
    ] {
        for path in ["/pos/claim", "/nowhere"] {
            let request = server.request(Method::OPTIONS, path).header("Origin", client_ip);
            let request = request.header("Access-Control-Request-Method", method);
            let request = request.header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"));
            let request =
                if headers.is_empty() { request } else { request.header("Access-Control-Request-Headers", headers) };
            let answer = send(request).await;
            assert_eq!(answer.failure(400, "4000"), "Cross-origin request is not allowed", "{client_ip} {method}");
            assert!(answer.details()["message"].as_str().unwrap().contains(why), "{answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("x-trace-id"), Some(trace_id));
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let metrics = send(server.request(Method::GET, "/metrics")).await.text;
    assert!(metrics.contains("method=\"OPTIONS\",route=\"preflight\",status=\"400\"} "), "{metrics}");
    server.stop().await;
}
