//! Every body that is wrong, on every route.

use pos_tests::server::{Answer, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::{Value, json};

use super::world::{World, post};

async fn raw(server: &TestServer, path: &str, token: &str, kind: &str, body: &str) -> Answer {
    let request = server.request(Method::POST, path).bearer_auth(token).header("Content-Type", kind);
    send(request.body(body.to_owned())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_wrong_are_named() {
    let world = World::on(TestStore::sqlite().await).await;
    let server = world.server();
    let token = world.log_in("ann").await.access;
    let long = "x".repeat(300);
    let required = |name: &str, field: &str| {
        format!("Key: '{name}.{field}' Error:Field validation for '{field}' failed on the 'required' tag")
    };
    let (host, id, secret) = (
        required("InitiateSessionRequest", "Host"),
        required("ClientSessionRequest", "ClientId"),
        required("ClientSessionRequest", "ClientSecret"),
    );
    for (path, body, wanted) in [
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
        let told = answer.details()["message"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains(&wanted), "{path} {body}: {told}");
        assert!(!told.contains("xxx"), "nothing that may be a secret is repeated: {told}");
    }
    for path in ["/session/initiate", "/client/session", "/auth/token"] {
        assert_eq!(
            raw(&server, path, &token, "application/json", "{").await.failure(400, "4000"),
            "Invalid request body"
        );
        let other = raw(&server, path, &token, "text/plain", "{}").await;
        assert_eq!(other.failure(415, "4015"), "Content-Type must be application/json");
        let huge = format!("{{\"host\":\"{}\"}}", "x".repeat(20_000));
        assert_eq!(
            raw(&server, path, &token, "application/json", &huge).await.failure(413, "4013"),
            "Request body is too large"
        );
        assert_eq!(send(server.request(Method::GET, path)).await.failure(405, "4005"), "Method not allowed");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_is_told_what_to_send() {
    let world = World::on(TestStore::sqlite().await).await;
    let server = world.server();
    let token = world.log_in("ann").await.access;
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
async fn forms_that_are_wrong_are_named() {
    let world = World::on(TestStore::sqlite().await).await;
    let server = world.server();
    let path = "/session/backchannel-logout";
    let form = "application/x-www-form-urlencoded";
    for body in ["", "logout_token=", "other=1", "logout_token=a&logout_token=b", "%ff=%fe"] {
        let answer = raw(&server, path, "", form, body).await;
        assert_eq!(answer.failure(400, "4000"), "Invalid request body", "{body}");
    }
    let json = raw(&server, path, "", "application/json", "{\"logout_token\": \"x\"}").await;
    assert_eq!(json.failure(415, "4015"), "Content-Type must be application/x-www-form-urlencoded");
    let huge = format!("logout_token={}", "x".repeat(20_000));
    assert_eq!(raw(&server, path, "", form, &huge).await.failure(413, "4013"), "Request body is too large");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_before_the_body() {
    let world = World::on(TestStore::sqlite().await).await;
    let server = world.server();
    for path in ["/session/initiate", "/session/end"] {
        let none = send(server.request(Method::POST, path).json(&Value::Null)).await;
        assert_eq!(none.failure(401, "4001"), "Authorization header with a Bearer token is required");
        assert_eq!(none.header("www-authenticate"), Some("Bearer"));
        let bad = post(&server, path, "nonsense", &json!({})).await;
        assert_eq!(bad.failure(401, "4001"), "Access token is invalid or expired");
    }
    server.stop().await;
}
