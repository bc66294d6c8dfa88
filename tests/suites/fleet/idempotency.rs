//! Idempotency keys of create requests.

use std::collections::HashSet;

use futures_util::future::join_all;
use pos_tests::server::{Answer, MERCHANT, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::{Value, json};

use super::{UserClient, ids, reseller_path};
use crate::sessions::fixture::{SessionFixture, initiate, on_both_engines};

fn is_replay(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

async fn a_retry_with_the_same_key_replays_the_response(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, rob) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "rob").await);
    for (caller, path, body, list) in [
        (&ann, "/merchant/devices", json!({"label": "Till"}), "/merchant/devices"),
        (&ann, "/merchant/locations", json!({"name": "Here"}), "/merchant/locations"),
        (&rob, "/reseller/merchants", json!({"name": "New"}), "/reseller/merchants"),
    ] {
        let key = format!("key-of-{path}");
        let before = caller.get(list).await.json()["items"].as_array().unwrap().len();
        let first = caller.post_with_key(path, &key, &body).await;
        assert_eq!((first.status.as_u16(), is_replay(&first)), (201, false), "{first:?}");
        for _ in 0..3 {
            let again = caller.post_with_key(path, &key, &body).await;
            assert_eq!((again.status.as_u16(), is_replay(&again), &again.text), (201, true, &first.text), "{path}");
            assert_eq!(again.header("content-type"), first.header("content-type"));
        }
        assert_eq!(caller.get(list).await.json()["items"].as_array().unwrap().len(), before + 1, "{path}");
    }
    let spaced = ann.request(Method::POST, "/merchant/devices").header("Idempotency-Key", "key-of-/merchant/devices");
    let spaced = send(spaced.header("Content-Type", "application/json").body("{ \"label\" :\n\"Till\" }")).await;
    assert!(is_replay(&spaced), "white space is ignored: {spaced:?}");
    let without = ann.post("/merchant/devices", &json!({"label": "Till"})).await;
    assert_eq!((without.status.as_u16(), is_replay(&without)), (201, false), "without a key every request creates");
    server.stop().await;
}

async fn a_key_belongs_to_one_request_of_one_party(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, eve) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "eve").await);
    let rob = UserClient::new(&fixture, &server, "rob").await;
    let till = json!({"label": "Till"});
    let first = ann.post_with_key("/merchant/devices", "k", &till).await;
    for (path, body) in [
        ("/merchant/devices", json!({"label": "Other"})),
        ("/merchant/devices", json!({})),
        ("/merchant/devices", json!({"label": "Till", "location_id": null})),
        ("/merchant/locations", json!({"name": "Till"})),
    ] {
        let other = ann.post_with_key(path, "k", &body).await;
        assert_eq!(other.failure(400, "4220"), "Idempotency-Key was used for another request", "{path} {body}");
    }
    for (caller, path) in [(&eve, "/merchant/devices".to_owned()), (&rob, reseller_path(MERCHANT, "devices"))] {
        let theirs = caller.post_with_key(&path, "k", &till).await;
        assert_eq!((theirs.status.as_u16(), is_replay(&theirs)), (201, false), "another party has its own keys");
        assert_ne!(theirs.json()["device_id"], first.json()["device_id"]);
    }
    let colleague = UserClient::new(&fixture, &server, "modest").await;
    let theirs = colleague.post_with_key("/merchant/devices", "k", &till).await;
    assert_eq!((is_replay(&theirs), &theirs.text), (true, &first.text), "the key belongs to the party, not the user");
    let viewer = UserClient::new(&fixture, &server, "vic").await.post_with_key("/merchant/devices", "k", &till).await;
    assert_eq!(viewer.failure(403, "4003"), "Role does not allow this", "the role is checked before the key");
    server.stop().await;
}

async fn a_rejected_request_does_not_use_the_key(fixture: SessionFixture) {
    let server = fixture.server();
    let ann = UserClient::new(&fixture, &server, "ann").await;
    let id = ann.device().await;
    let refused = ann.post_with_key("/merchant/devices", "k", &json!({ "device_id": id })).await;
    assert_eq!(refused.failure(400, "4220"), "Device already exists");
    let nowhere = json!({"location_id": "00000000-0000-4000-8000-000000000000"});
    let refused = ann.post_with_key("/merchant/devices", "k", &nowhere).await;
    assert_eq!(refused.failure(400, "4000"), "Unknown location");
    let made = ann.post_with_key("/merchant/devices", "k", &json!({"label": "Till"})).await;
    assert_eq!((made.status.as_u16(), is_replay(&made)), (201, false), "the key was still free");
    server.stop().await;
}

async fn a_key_survives_a_restart_and_expires(fixture: SessionFixture) {
    let server = fixture.server();
    let ann = UserClient::new(&fixture, &server, "ann").await;
    let till = json!({"label": "Till"});
    let first = ann.post_with_key("/merchant/devices", "k", &till).await;
    server.stop().await;
    let restarted = fixture.replica().await;
    fixture.advance(86_399);
    let ann = UserClient::new(&fixture, &restarted, "ann").await;
    let again = ann.post_with_key("/merchant/devices", "k", &till).await;
    assert_eq!((is_replay(&again), &again.text), (true, &first.text), "until the last second");
    fixture.advance(1);
    let later = ann.post_with_key("/merchant/devices", "k", &json!({"label": "Other"})).await;
    assert_eq!((later.status.as_u16(), is_replay(&later)), (201, false), "then the key is free");
    assert_ne!(later.json()["device_id"], first.json()["device_id"]);
    let replay = ann.post_with_key("/merchant/devices", "k", &json!({"label": "Other"})).await;
    assert_eq!((is_replay(&replay), &replay.text), (true, &later.text));
    restarted.stop().await;
}

async fn an_invalid_key_is_rejected(fixture: SessionFixture) {
    let server = fixture.server();
    let ann = UserClient::new(&fixture, &server, "ann").await;
    let long = "k".repeat(256);
    for (key, why) in [
        ("", "must not be empty"),
        ("two words", "must have 1 to 255 visible ASCII characters"),
        ("schlüssel", "must have 1 to 255 visible ASCII characters"),
        (&*long, "must have 1 to 255 visible ASCII characters"),
    ] {
        let refused = ann.post_with_key("/merchant/devices", key, &json!({})).await;
        assert_eq!(refused.failure(400, "4000"), "Idempotency-Key header is invalid", "{key}");
        assert_eq!(refused.details(), json!({"message": format!("Idempotency-Key {why}")}));
    }
    let twice =
        ann.request(Method::POST, "/merchant/devices").header("Idempotency-Key", "k").header("Idempotency-Key", "k");
    let refused = send(twice.json(&json!({}))).await;
    assert_eq!(refused.details(), json!({"message": "Idempotency-Key must be sent once"}));
    assert_eq!(ids(&ann.get("/merchant/devices").await, "device_id"), [] as [&str; 0]);
    assert_eq!(ann.post_with_key("/merchant/devices", &"k".repeat(255), &json!({})).await.status, 201);
    server.stop().await;
}

on_both_engines!(
    a_retry_with_the_same_key_replays_the_response,
    a_key_belongs_to_one_request_of_one_party,
    a_rejected_request_does_not_use_the_key,
    a_key_survives_a_restart_and_expires,
    an_invalid_key_is_rejected,
);

/// Identical concurrent requests on two servers over one database: one row, one response.
async fn assert_one_is_created(fixture: SessionFixture) {
    let (one, other) = (fixture.server(), fixture.replica().await);
    let token = fixture.log_in("ann").await.access;
    assert_eq!(initiate(&one, &token).await.status, 200);
    for (path, body, name) in [
        ("/merchant/devices", json!({"label": "Till"}), "device_id"),
        ("/merchant/devices", json!({"device_id": "POS-8F3A2C91"}), "device_id"),
        ("/merchant/locations", json!({"name": "Here"}), "location_id"),
    ] {
        let before = listed(&one, &token, path).await;
        let key = format!("{path} {body}").replace([' ', '"'], "");
        let calls = (0..32).map(|number| {
            let server = if number % 2 == 0 { &one } else { &other };
            let request = server.request(Method::POST, path).bearer_auth(&token).header("Idempotency-Key", &key);
            send(request.json(&body))
        });
        let idempotency = join_all(calls).await;
        assert!(idempotency.iter().all(|answer| answer.status == 201), "{idempotency:?}");
        assert_eq!(idempotency.iter().filter(|answer| !is_replay(answer)).count(), 1, "one request creates");
        let bodies: HashSet<&str> = idempotency.iter().map(|answer| &*answer.text).collect();
        assert_eq!(bodies.len(), 1, "all responses are the same");
        let after = listed(&other, &token, path).await;
        assert_eq!(after.len(), before.len() + 1);
        let made: Value = idempotency[0].json();
        assert!(after.iter().any(|item| item[name] == made[name]));
    }
    one.stop().await;
    other.stop().await;
}

async fn listed(server: &TestServer, token: &str, path: &str) -> Vec<Value> {
    let answer = send(server.request(Method::GET, path).bearer_auth(token)).await;
    answer.json()["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_identical_requests_create_one_in_sqlite() {
    assert_one_is_created(SessionFixture::new(TestStore::sqlite().await).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_identical_requests_create_one_in_postgres() {
    assert_one_is_created(SessionFixture::new(TestStore::postgres().await).await).await;
}
