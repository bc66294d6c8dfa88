//! Responses of the contract's examples, on every store.

use pos_tests::server::{Options, START, TestServer};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::json;
use time::Duration;

use super::server;

const REQUIRED: &str =
    "Key: 'ClaimDeviceRequest.PairingCode' Error:Field validation for 'PairingCode' failed on the 'required' tag";

async fn the_whole_flow(store: TestStore) {
    let server = TestServer::start(store.opened(), Options::default());
    let id = server.device().await;
    let status = async || server.terminal(Method::GET, "/pos/status", &id).await.json();

    let bootstrapped = server.terminal(Method::POST, "/pos/bootstrap", &id).await;
    assert_eq!(bootstrapped.status, 200);
    let expected = json!({"status": "ok", "server_time": "2026-01-02T03:04:05Z", "min_supported_version": "1.3.5"});
    assert_eq!(bootstrapped.json(), expected);
    let inactive = |code: &str| json!({"device_status": "inactive", "is_claimed": false, "pairing_code_status": code});
    assert_eq!(status().await, inactive("none"));

    let issued = server.terminal(Method::POST, "/pos/pairing-code", &id).await;
    assert_eq!((issued.status.as_u16(), &issued.json()["expires_in_sec"]), (200, &json!(300)));
    assert_eq!(issued.header("cache-control"), Some("no-store"));
    let first = issued.json()["pairing_code"].as_str().unwrap().to_owned();
    assert_eq!(status().await, inactive("pending"));

    server.clock.set(START + Duration::seconds(300) - Duration::microseconds(1));
    assert_eq!(status().await, inactive("pending"));
    server.clock.set(START + Duration::seconds(300));
    assert_eq!(status().await, inactive("expired"));

    let code = server.code(&id).await;
    assert_ne!(code, first);
    let superseded = server.claim("ann", &json!({ "pairing_code": first })).await;
    assert_eq!(superseded.failure(400, "4220"), "Pairing code has expired");
    let foreign = server.claim("eve", &json!({ "pairing_code": code })).await;
    assert_eq!(foreign.failure(403, "4003"), "Device does not belong to your merchant account");
    assert_eq!(foreign.details(), json!({ "device_id": id }));
    let typed = format!("  {}-{} ", code[..3].to_lowercase(), &code[3..]);
    let claimed = server.claim("ann", &json!({ "pairing_code": typed })).await;
    assert_eq!((claimed.status.as_u16(), claimed.json()), (200, json!({"status": "claimed", "device_id": id})));
    let expected = json!({"device_status": "claimed", "is_claimed": true, "pairing_code_status": "used"});
    assert_eq!(status().await, expected);

    let again = server.claim("bob", &json!({ "pairing_code": code })).await;
    assert_eq!(again.failure(400, "4220"), "Pairing code has already been used");
    assert_eq!(again.details(), json!({ "pairing_code": code }));
    let refused = server.terminal(Method::POST, "/pos/pairing-code", &id).await;
    assert_eq!(refused.failure(400, "4220"), "Device has already been claimed");
    server.stop().await;
}

#[tokio::test]
async fn the_whole_flow_on_sqlite() {
    the_whole_flow(TestStore::sqlite().await).await;
}

#[tokio::test]
async fn the_whole_flow_on_postgres() {
    the_whole_flow(TestStore::postgres().await).await;
}

#[tokio::test]
async fn the_response_names_the_unknown_device() {
    let (_store, server) = server().await;
    for (method, path) in
        [(Method::POST, "/pos/bootstrap"), (Method::POST, "/pos/pairing-code"), (Method::GET, "/pos/status")]
    {
        for id in ["POS-UNKNOWN", "POS-8F3A2C91", "POS-8f3a2c91", "POS-"] {
            let answer = server.terminal(method.clone(), path, id).await;
            assert_eq!(answer.failure(404, "4004"), "Device not found");
            assert_eq!(answer.details(), json!({ "device_id": id }));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_missing_code_gets_the_documented_message() {
    let (_store, server) = server().await;
    for body in [json!({}), json!({"pairing_code": null}), json!({"pairing_code": ""}), json!({"pairing_code": " \t"})]
    {
        let answer = server.claim("ann", &body).await;
        assert_eq!(answer.failure(400, "4000"), "Invalid request body");
        assert_eq!(answer.details(), json!({ "message": REQUIRED }), "{body}");
    }
    let unknown = server.claim("ann", &json!({"pairing_code": "XXXXXX"})).await;
    assert_eq!(unknown.failure(400, "4004"), "Pairing code not found");
    assert_eq!(unknown.details(), json!({"pairing_code": "XXXXXX"}));
    server.stop().await;
}

#[tokio::test]
async fn a_device_id_in_a_claim_must_match_the_code() {
    let (_store, server) = server().await;
    let (id, other) = (server.device().await, server.device().await);
    let code = server.code(&id).await;
    let refused = server.claim("ann", &json!({"pairing_code": code, "device_id": other})).await;
    assert_eq!(refused.failure(400, "4004"), "Pairing code not found");
    let claimed = server.claim("ann", &json!({"pairing_code": code, "device_id": id})).await;
    assert_eq!(claimed.status, 200);
    server.stop().await;
}
