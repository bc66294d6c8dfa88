//! Invalid request bodies on every session route.

use pos_tests::server::{Answer, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::{Value, json};

use super::fixture::{SessionFixture, post};

async fn raw(server: &TestServer, path: &str, token: &str, content_type: &str, body: &str) -> Answer {
    let request = server.request(Method::POST, path).bearer_auth(token).header("Content-Type", content_type);
    send(request.body(body.to_owned())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_names_an_invalid_field() {
    let fixture = SessionFixture::new(TestStore::sqlite().await).await;
    let server = fixture.server();
    let token = fixture.log_in("ann").await.access;
    let long = "x".repeat(300);
    let required = |name: &str, field: &str| {
        format!("Key: '{name}.{field}' Error:Field validation for '{field}' failed on the 'required' tag")
    };
    let (host, id, secret) = (
        required("InitiateSessionRequest", "Host"),
        required("ClientSessionRequest", "ClientId"),
        required("ClientSessionRequest", "ClientSecret"),
    );
    for (path, body, expected) in [
        ("/session/initiate", json!({}), host.clone()),
        ("/session/initiate", json!({"host": null}), host.clone()),
        ("/session/initiate", json!({"host": " \t"}), host),
        ("/session/initiate", json!({"host": long}), "'max' tag".to_owned()),
        ("/session/initiate", json!({"host": 7}), "expected a string".to_owned()),
        ("/session/initiate", json!([]), String::new()),
        ("/client/session", json!({}), format!("{id}\n{secret}")),
        ("/client/session", json!({"client_id": "till"}), secret.clone()),
        ("/auth/token", json!({"client_id": "till", "client_secret": ""}), secret),
        ("/client/session", json!({"client_id": "till", "client_secret": long}), "'max' tag".to_owned()),
        ("/client/session", json!({"client_id": ["till"], "client_secret": "x"}), "expected a string".to_owned()),
    ] {
        let answer = post(&server, path, &token, &body).await;
        assert_eq!(answer.failure(400, "4000"), "Invalid request body", "{path} {body}");
        let message = answer.details()["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(&expected), "{path} {body}: {message}");
        assert!(!message.contains("xxx"), "the message repeats a possible secret: {message}");
    }
    for path in ["/session/initiate", "/client/session", "/auth/token"] {
        assert_eq!(
            raw(&server, path, &token, "application/json", "{").await.failure(400, "4000"),
            "Invalid request body"
        );
        let other = raw(&server, path, &token, "text/plain", "{}").await;
        assert_eq!(other.failure(415, "4015"), "Content-Type must be application/json");
        let too_large = format!("{{\"host\":\"{}\"}}", "x".repeat(20_000));
        assert_eq!(
            raw(&server, path, &token, "application/json", &too_large).await.failure(413, "4013"),
            "Request body is too large"
        );
        assert_eq!(send(server.request(Method::GET, path)).await.failure(405, "4005"), "Method not allowed");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_of_an_unknown_host_says_what_to_send() {
    let fixture = SessionFixture::new(TestStore::sqlite().await).await;
    let server = fixture.server();
    let token = fixture.log_in("ann").await.access;
    for host in ["www.example.com", "https://merchant.viopay.io", "merchant.viopay.io:443", "merchant.viopay.io/"] {
        let answer = post(&server, "/session/initiate", &token, &json!({ "host": host })).await;
        assert_eq!(answer.failure(400, "4000"), "Unknown host");
        let details = answer.details();
        assert_eq!(details["host"], host);
        assert!(details["message"].as_str().unwrap().contains("without scheme, port and path"));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_forms_are_rejected() {
    let fixture = SessionFixture::new(TestStore::sqlite().await).await;
    let server = fixture.server();
    let path = "/session/backchannel-logout";
    let form = "application/x-www-form-urlencoded";
    for body in ["", "logout_token=", "other=1", "logout_token=a&logout_token=b", "%ff=%fe"] {
        let answer = raw(&server, path, "", form, body).await;
        assert_eq!(answer.failure(400, "4000"), "Invalid request body", "{body}");
    }
    let json = raw(&server, path, "", "application/json", "{\"logout_token\": \"x\"}").await;
    assert_eq!(json.failure(415, "4015"), "Content-Type must be application/x-www-form-urlencoded");
    let too_large = format!("logout_token={}", "x".repeat(20_000));
    assert_eq!(raw(&server, path, "", form, &too_large).await.failure(413, "4013"), "Request body is too large");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_checked_before_the_body() {
    let fixture = SessionFixture::new(TestStore::sqlite().await).await;
    let server = fixture.server();
    for path in ["/session/initiate", "/session/end"] {
        let none = send(server.request(Method::POST, path).json(&Value::Null)).await;
        assert_eq!(none.failure(401, "4001"), "Authorization header with a Bearer token is required");
        assert_eq!(none.header("www-authenticate"), Some("Bearer"));
        let bad = post(&server, path, "nonsense", &json!({})).await;
        assert_eq!(bad.failure(401, "4001"), "Access token is invalid or expired");
    }
    server.stop().await;
}
