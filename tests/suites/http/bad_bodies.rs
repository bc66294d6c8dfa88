//! Invalid request bodies and credentials of claims.

use pos_tests::server::{Answer, TestServer, send};
use reqwest::Method;
use serde_json::json;

use super::server;

async fn claim_raw(server: &TestServer, body: impl Into<reqwest::Body>) -> Answer {
    let request = server.request(Method::POST, "/pos/claim").bearer_auth("ann");
    send(request.header("Content-Type", "application/json").body(body)).await
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_of_the_right_types_is_invalid() {
    let (_store, server) = server().await;
    let deep = "[".repeat(10_000);
    let deep_value = format!("{{\"pairing_code\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"pairing_code=K7M3NP".to_vec(),
        b"{\"pairing_code\":\"K7M".to_vec(),
        b"{\"pairing_code\":\"K7M3NP\"} trailing".to_vec(),
        b"{\"pairing_code\":\"K7M3NP\",\"pairing_code\":\"K7M3NQ\"}".to_vec(),
        b"{\"pairing_code\":\"\\ud800\"}".to_vec(),
        b"{\"pairing_code\":\"\xff\xfe\xfd\"}".to_vec(),
        b"\xef\xbb\xbf\xef\xbb\xbf{\"pairing_code\":\"K7M3NP\"}".to_vec(),
        b"\xef\xbb\xbf[\"K7M3NP\"]".to_vec(),
        deep.into_bytes(),
        deep_value.into_bytes(),
        b"null".to_vec(),
        b"\"K7M3NP\"".to_vec(),
        b"42".to_vec(),
        b"{\"pairing_code\":123456}".to_vec(),
        b"{\"pairing_code\":[\"K7M3NP\"]}".to_vec(),
        b"{\"pairing_code\":{\"a\":1}}".to_vec(),
        b"{\"pairing_code\":true}".to_vec(),
        b"{\"pairing_code\":\"K7M3NP\",\"device_id\":7}".to_vec(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = claim_raw(&server, body).await;
        assert_eq!(answer.failure(400, "4000"), "Invalid request body", "{shown}");
        assert!(answer.details()["message"].as_str().is_some_and(|why| !why.is_empty()), "{shown}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_code_of_the_wrong_length_is_invalid() {
    let (_store, server) = server().await;
    let long = "A".repeat(10_000);
    for typed in ["K7M3N", "K7M3NPQ", "K7M-3N", "K7M 3NPQ", "K", &long, "🙂🙂🙂🙂🙂🙂🙂"] {
        let answer = server.claim("ann", &json!({ "pairing_code": typed })).await;
        assert_eq!(answer.failure(400, "4000"), "Invalid request body");
        let why = answer.details()["message"].as_str().unwrap_or_default().to_owned();
        assert!(why.ends_with("failed on the 'len' tag"), "{why}");
    }
    server.stop().await;
}

#[tokio::test]
async fn six_characters_outside_the_code_alphabet_are_not_found() {
    let (_store, server) = server().await;
    for typed in ["K7M3N0", "K7M3N1", "K7M3NO", "K7M3NI", "K7M3N\u{0}", "K7M3N🙂", "K7M3Né", "K7M_NP", "';x/**"] {
        let answer = server.claim("eve", &json!({ "pairing_code": typed })).await;
        assert_eq!(answer.failure(400, "4004"), "Pairing code not found", "{typed:?}");
        assert_eq!(answer.details(), json!({ "pairing_code": typed }));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_rejected_with_and_without_a_length() {
    let (_store, server) = server().await;
    let huge = format!("{{\"pairing_code\":\"{}\"}}", "A".repeat(200_000));
    let answer = claim_raw(&server, huge.clone()).await;
    assert_eq!(answer.failure(413, "4013"), "Request body is too large");
    let chunks =
        huge.into_bytes().chunks(1_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    assert_eq!(claim_raw(&server, stream).await.failure(413, "4013"), "Request body is too large");
    server.stop().await;
}

#[tokio::test]
async fn only_json_is_accepted() {
    let (_store, server) = server().await;
    let body = "{\"pairing_code\":\"K7M3NP\"}";
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "é"] {
        let mut request = server.request(Method::POST, "/pos/claim").bearer_auth("ann").body(body);
        if !kind.is_empty() {
            request = request.header("Content-Type", kind);
        }
        assert_eq!(send(request).await.failure(415, "4015"), "Content-Type must be application/json", "{kind}");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        let request = server.request(Method::POST, "/pos/claim").bearer_auth("ann").body(body);
        assert_eq!(send(request.header("Content-Type", kind)).await.failure(400, "4004"), "Pairing code not found");
    }
    let request = server.request(Method::POST, "/pos/claim").bearer_auth("ann").body(body);
    let compressed = request.header("Content-Type", "application/json").header("Content-Encoding", "gzip");
    assert_eq!(send(compressed).await.failure(415, "4015"), "Content-Encoding must be identity");
    server.stop().await;
}

/// JSON bodies and form bodies.
#[tokio::test]
async fn a_415_response_names_the_invalid_header() {
    let (_store, server) = server().await;
    for (path, kind) in [
        ("/pos/claim", "application/json"),
        ("/client/session", "application/json"),
        ("/session/backchannel-logout", "application/x-www-form-urlencoded"),
    ] {
        let request = || server.request(Method::POST, path).bearer_auth("ann").body("");
        let coded =
            |coding: &str| send(request().header("Content-Type", kind).header("Content-Encoding", coding.to_owned()));
        for coding in ["gzip", "br", "gzip, identity", "é"] {
            assert_eq!(
                coded(coding).await.failure(415, "4015"),
                "Content-Encoding must be identity",
                "{path} {coding}"
            );
        }
        for coding in ["identity", "Identity", ""] {
            assert_eq!(coded(coding).await.failure(400, "4000"), "Invalid request body", "{path} {coding}");
        }
        let twice = send(request().header("Content-Type", kind).header("Content-Type", kind)).await;
        assert_eq!(twice.failure(415, "4015"), "Content-Type must be sent once", "{path}");
        let twice = request().header("Content-Type", kind);
        let twice = send(twice.header("Content-Encoding", "identity").header("Content-Encoding", "identity")).await;
        assert_eq!(twice.failure(415, "4015"), "Content-Encoding must be sent once", "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_byte_order_mark_before_the_body_is_skipped() {
    let (_store, server) = server().await;
    let claim = claim_raw(&server, b"\xef\xbb\xbf{\"pairing_code\":\"K7M3NP\"}".to_vec()).await;
    assert_eq!(claim.failure(400, "4004"), "Pairing code not found");
    let provision = server.request(Method::POST, "/merchant/devices").bearer_auth("ann");
    let provision = provision.header("Content-Type", "application/json").header("Idempotency-Key", "bom");
    let provision = send(provision.body(b"\xef\xbb\xbf{}".to_vec())).await;
    assert_ne!(provision.status, 400, "{provision:?}");
    server.stop().await;
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let code = server.code(&id).await;
    let answer = server.claim("ann", &json!({"pairing_code": code, "channel": "portal", "nested": {"a": [1]}})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn credentials_are_checked_before_the_body() {
    let (_store, server) = server().await;
    for body in ["", "{", "{\"pairing_code\":\"K7M3NP\"}"] {
        let request = server.request(Method::POST, "/pos/claim").header("Content-Type", "application/json");
        let answer = send(request.body(body)).await;
        assert_eq!(answer.failure(401, "4001"), "Authorization header with a Bearer token is required");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    server.stop().await;
}

#[tokio::test]
async fn invalid_credentials_are_rejected() {
    let (_store, server) = server().await;
    let claim = |credentials: &str| {
        let request = server.request(Method::POST, "/pos/claim").header("Authorization", credentials.to_owned());
        send(request.json(&json!({"pairing_code": "K7M3NP"})))
    };
    for credentials in ["", "Bearer", "Basic YW5uOmFubg==", "ann", "Attestation att_1", "Bearer\tann"] {
        assert_eq!(claim(credentials).await.header("www-authenticate"), Some("Bearer"), "{credentials}");
    }
    let answer = claim("Bearer nonsense").await;
    assert_eq!(answer.failure(401, "4001"), "Access token is invalid or expired");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    let answer = claim("Bearer lost").await;
    assert_eq!(answer.failure(401, "4001"), "Session has not been initiated");
    let twice = server.request(Method::POST, "/pos/claim").header("Authorization", "Bearer ann");
    let answer = send(twice.header("Authorization", "Bearer ann").json(&json!({"pairing_code": "K7M3NP"}))).await;
    assert_eq!(answer.failure(401, "4001"), "Authorization header with a Bearer token is required");
    assert_eq!(claim("bearer ann").await.failure(400, "4004"), "Pairing code not found", "scheme in lower case");
    server.stop().await;
}
