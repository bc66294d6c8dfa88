//! Validation of bodies, query parameters and methods: the error envelope names the fault.

use pos_tests::server::{MERCHANT, Options, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::json;

use super::{UserClient, reseller_path};
use crate::sessions::fixture::{SessionFixture, on_both_engines};

const DEVICES: &str = "/merchant/devices";

async fn the_error_names_the_fault_of_a_body(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, rob) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "rob").await);
    let device = format!("{DEVICES}/{}", ann.device().await);
    let location = ann.post("/merchant/locations", &json!({"name": "Here"})).await.json()["location_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let location = format!("/merchant/locations/{location}");
    let (merchants, merchant) = ("/reseller/merchants", format!("/reseller/merchants/{MERCHANT}"));
    let (long, transfer) = ("x".repeat(201), format!("{merchant}/devices/POS-00000000/transfer"));
    let label = |text: &str| format!("{{\"label\": {}}}", json!(text));
    let (post, patch) = (Method::POST, Method::PATCH);
    let cases = [
        (&ann, &post, DEVICES, String::new(), "EOF"),
        (&ann, &post, DEVICES, "null".into(), "invalid type: null"),
        (&ann, &post, DEVICES, "[]".into(), "expected a JSON object, not an array"),
        (&ann, &post, DEVICES, "[\"POS-8F3A2C91\"]".into(), "expected a JSON object, not an array"),
        (&ann, &post, DEVICES, "{\"label\": \"a\"".into(), "EOF"),
        (&ann, &post, DEVICES, "{} {}".into(), "trailing characters"),
        (&ann, &post, DEVICES, "{\"device_id\": \"8F3A2C91\"}".into(), "device_id: must start with POS-"),
        (&ann, &post, DEVICES, "{\"device_id\": \"POS-8f3a2c91\"}".into(), "eight upper-case hex digits"),
        (&ann, &post, DEVICES, "{\"device_id\": \"\"}".into(), "device_id: must start with POS-"),
        (&ann, &post, DEVICES, "{\"device_id\": 7}".into(), "device_id: invalid type"),
        (&ann, &post, DEVICES, label(""), "label: a name has 1 to 200 characters"),
        (&ann, &post, DEVICES, label(" \t "), "label: a name has 1 to 200 characters"),
        (&ann, &post, DEVICES, label("a\u{7}b"), "none of them a control character"),
        (&ann, &post, DEVICES, label(&long), "label: a name has 1 to 200 characters"),
        (&ann, &post, DEVICES, "{\"location_id\": \"here\"}".into(), "location_id must be a UUID"),
        (&ann, &post, DEVICES, "{\"location_id\": \"6f1d2c3b000040008000000000000001\"}".into(), "must be a UUID"),
        (&ann, &post, DEVICES, "{\"status\": \"claimed\"}".into(), "unknown field `status`"),
        (&ann, &post, DEVICES, "{\"merchant_id\": \"x\"}".into(), "unknown field `merchant_id`"),
        (&ann, &post, DEVICES, "{\"label\": \"a\", \"label\": \"b\"}".into(), "duplicate field `label`"),
        (&ann, &patch, &device, "{\"status\": \"inactive\"}".into(), "unknown field `status`"),
        (&ann, &patch, &device, "{\"label\": 7}".into(), "label: invalid type"),
        (&ann, &patch, &device, label(""), "label: a name has 1 to 200 characters"),
        (&ann, &patch, &device, "[null]".into(), "expected a JSON object, not an array"),
        (&ann, &patch, &device, "null".into(), "invalid type: null"),
        (&ann, &patch, &device, "{\"location_id\": \"x\"}".into(), "location_id must be a UUID"),
        (&ann, &post, "/merchant/locations", "{}".into(), "missing field `name`"),
        (&ann, &post, "/merchant/locations", "{\"name\": null}".into(), "name: invalid type: null"),
        (&ann, &post, "/merchant/locations", "{\"name\": \" \"}".into(), "name: a name has 1 to 200 characters"),
        (&ann, &patch, &location, "{\"name\": null}".into(), "name: invalid type: null"),
        (&ann, &patch, &location, "{\"merchant_id\": null}".into(), "unknown field `merchant_id`"),
        (&rob, &post, merchants, "{}".into(), "missing field `name`"),
        (&rob, &post, merchants, "{\"name\": \"a\", \"merchant_id\": \"b\"}".into(), "unknown field `merchant_id`"),
        (&rob, &patch, &merchant, "{\"name\": null}".into(), "name: invalid type: null"),
        (&rob, &patch, &merchant, "{\"reseller_id\": null}".into(), "unknown field `reseller_id`"),
        (&rob, &post, &transfer, "{}".into(), "missing field `merchant_id`"),
        (&rob, &post, &transfer, "{\"merchant_id\": \"x\"}".into(), "merchant_id must be a UUID"),
    ];
    for (caller, method, path, body, why) in cases {
        let request = caller.request(method.clone(), path).header("Content-Type", "application/json");
        let answer = send(request.body(body.clone())).await;
        assert_eq!(answer.failure(400, "4000"), "Invalid request body", "{method} {path} {body}");
        let message = answer.details()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(why), "{method} {path} {body}: {message:?} should say {why:?}");
    }
    for (method, path) in [(&post, DEVICES), (&patch, device.as_str())] {
        for kind in ["text/plain", "application/json-patch+json"] {
            let answer = send(ann.request(method.clone(), path).header("Content-Type", kind).body("{}")).await;
            assert!(answer.failure(415, "4015").starts_with("Content-Type must be application/"), "{kind}");
        }
        let huge = send(ann.request(method.clone(), path).json(&json!({"label": "x".repeat(20_000)}))).await;
        assert_eq!(huge.failure(413, "4013"), "Request body is too large");
    }
    let merge = ann.request(Method::POST, DEVICES).header("Content-Type", "application/merge-patch+json");
    assert_eq!(send(merge.body("{}")).await.failure(415, "4015"), "Content-Type must be application/json");
    server.stop().await;
}

async fn the_error_names_the_fault_of_a_query_parameter(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, rob) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "rob").await);
    let id = ann.device().await;
    let events = format!("{DEVICES}/{id}/events");
    let theirs = reseller_path(MERCHANT, "locations");
    let limits = "limit must be a whole number from 1 to 200";
    let cursor = "cursor is not valid for this list";
    let cases = [
        (&ann, DEVICES, "limit=0", limits),
        (&ann, DEVICES, "limit=201", limits),
        (&ann, DEVICES, "limit=-1", limits),
        (&ann, DEVICES, "limit=%2B1", limits),
        (&ann, DEVICES, "limit=", limits),
        (&ann, DEVICES, "limit=ten", limits),
        (&ann, DEVICES, "limit=99999999999999999999", limits),
        (&ann, DEVICES, "limit=1&limit=2", "duplicate field `limit`"),
        (&ann, DEVICES, "cursor=", cursor),
        (&ann, DEVICES, "cursor=POS-8F3A2C91", cursor),
        (&ann, DEVICES, "cursor=%00", cursor),
        (&ann, DEVICES, "status=lost", "status must be one of inactive, claimed, activated, decommissioned"),
        (&ann, DEVICES, "status=Claimed", "status must be one of"),
        (&ann, DEVICES, "location_id=here", "location_id must be a UUID"),
        (&ann, DEVICES, "sort=label", "unknown field `sort`"),
        (&ann, DEVICES, "merchant_id=1", "unknown field `merchant_id`"),
        (&ann, &events, "status=claimed", "unknown field `status`"),
        (&ann, &events, "limit=0", limits),
        (&ann, &events, "cursor=MTpldmVudHM6LTE", cursor),
        (&ann, "/merchant/locations", "status=claimed", "unknown field `status`"),
        (&rob, "/reseller/merchants", "name=x", "unknown field `name`"),
        (&rob, "/reseller/merchants", "cursor=MTptZXJjaGFudHM6eA", cursor),
        (&rob, &theirs, "limit=1000", limits),
    ];
    for (caller, path, query, why) in cases {
        let answer = caller.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.failure(400, "4000"), "Invalid query parameters", "{path}?{query}");
        let message = answer.details()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(why), "{path}?{query}: {message:?} should say {why:?}");
    }
    for good in ["limit=1", "limit=200", "", "limit=5&status=inactive"] {
        assert_eq!(ann.get(&format!("{DEVICES}?{good}")).await.status, 200, "{good}");
    }
    server.stop().await;
}

on_both_engines!(the_error_names_the_fault_of_a_body, the_error_names_the_fault_of_a_query_parameter);

#[tokio::test]
async fn cors_allows_patch_and_idempotency_headers() {
    let store = TestStore::sqlite().await;
    let settings = vec![("POS__HTTP__CORS_ALLOWED_ORIGINS", "https://portal.example".to_owned())];
    let server = TestServer::start(store.opened(), Options { settings, ..Options::default() });
    let preflight = server.request(Method::OPTIONS, "/merchant/devices/POS-00000001");
    let preflight =
        preflight.header("Origin", "https://portal.example").header("Access-Control-Request-Method", "PATCH");
    let requested = "authorization,content-type,idempotency-key";
    let answer = send(preflight.header("Access-Control-Request-Headers", requested)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PATCH"), "{answer:?}");
    let allowed = answer.header("access-control-allow-headers").unwrap().to_lowercase();
    assert!(allowed.contains("idempotency-key"), "{answer:?}");
    let read = server.request(Method::GET, DEVICES).header("Origin", "https://portal.example").bearer_auth("ann");
    let exposed = send(read).await.header("access-control-expose-headers").unwrap().to_lowercase();
    assert!(exposed.contains("idempotency-replayed"), "{exposed}");
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_method_is_405_with_allow() {
    let store = TestStore::sqlite().await;
    let server = TestServer::start(store.opened(), Options::default());
    for (path, allow) in [
        (DEVICES, "GET, HEAD, POST"),
        ("/merchant/devices/POS-00000001", "GET, HEAD, PATCH"),
        ("/merchant/devices/POS-00000001/release", "POST"),
        ("/merchant/devices/POS-00000001/events", "GET, HEAD"),
        ("/reseller/merchants", "GET, HEAD, POST"),
        ("/reseller/merchants/1", "GET, HEAD, PATCH"),
        ("/reseller/merchants/1/devices/2/transfer", "POST"),
    ] {
        let allowed: Vec<_> = allow.split(", ").collect();
        for method in ["GET", "POST", "PATCH", "PUT", "DELETE"].into_iter().filter(|method| !allowed.contains(method)) {
            let answer = send(server.request(method.parse().unwrap(), path).bearer_auth("ann")).await;
            assert_eq!(answer.failure(405, "4005"), "Method not allowed", "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }
    server.stop().await;
}
