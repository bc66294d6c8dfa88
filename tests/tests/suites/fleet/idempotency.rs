//! `Idempotency-Key`: the same call creates once.

use std::collections::HashSet;

use futures_util::future::join_all;
use pos_tests::server::{Answer, MERCHANT, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, below, ids};
use crate::sessions::world::{World, initiate, on_both_engines};

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

async fn the_same_call_is_answered_the_same_and_creates_once(world: World) {
    let server = world.server();
    let (ann, rob) = (Caller::new(&world, &server, "ann").await, Caller::new(&world, &server, "rob").await);
    for (caller, path, body, list) in [
        (&ann, "/merchant/devices", json!({"label": "Till"}), "/merchant/devices"),
        (&ann, "/merchant/locations", json!({"name": "Here"}), "/merchant/locations"),
        (&rob, "/reseller/merchants", json!({"name": "New"}), "/reseller/merchants"),
    ] {
        let key = format!("key-of-{path}");
        let before = caller.get(list).await.json()["items"].as_array().unwrap().len();
        let first = caller.keyed(path, &key, &body).await;
        assert_eq!((first.status.as_u16(), replayed(&first)), (201, false), "{first:?}");
        for _ in 0..3 {
            let again = caller.keyed(path, &key, &body).await;
            assert_eq!((again.status.as_u16(), replayed(&again), &again.text), (201, true, &first.text), "{path}");
            assert_eq!(again.header("content-type"), first.header("content-type"));
        }
        assert_eq!(caller.get(list).await.json()["items"].as_array().unwrap().len(), before + 1, "{path}");
    }
    let spaced = ann.request(Method::POST, "/merchant/devices").header("Idempotency-Key", "key-of-/merchant/devices");
    let spaced = send(spaced.header("Content-Type", "application/json").body("{ \"label\" :\n\"Till\" }")).await;
    assert!(replayed(&spaced), "white space does not matter: {spaced:?}");
    let without = ann.post("/merchant/devices", &json!({"label": "Till"})).await;
    assert_eq!((without.status.as_u16(), replayed(&without)), (201, false), "without a key every call creates");
    server.stop().await;
}

async fn a_key_is_for_one_request_of_one_party(world: World) {
    let server = world.server();
    let (ann, eve) = (Caller::new(&world, &server, "ann").await, Caller::new(&world, &server, "eve").await);
    let rob = Caller::new(&world, &server, "rob").await;
    let till = json!({"label": "Till"});
    let first = ann.keyed("/merchant/devices", "k", &till).await;
    for (path, body) in [
        ("/merchant/devices", json!({"label": "Other"})),
        ("/merchant/devices", json!({})),
        ("/merchant/devices", json!({"label": "Till", "location_id": null})),
        ("/merchant/locations", json!({"name": "Till"})),
    ] {
        let other = ann.keyed(path, "k", &body).await;
        assert_eq!(other.failure(400, "4220"), "Idempotency-Key was used for another request", "{path} {body}");
    }
    for (caller, path) in [(&eve, "/merchant/devices".to_owned()), (&rob, below(MERCHANT, "devices"))] {
        let theirs = caller.keyed(&path, "k", &till).await;
        assert_eq!((theirs.status.as_u16(), replayed(&theirs)), (201, false), "another party's key is another");
        assert_ne!(theirs.json()["device_id"], first.json()["device_id"]);
    }
    let colleague = Caller::new(&world, &server, "modest").await.keyed("/merchant/devices", "k", &till).await;
    assert_eq!((replayed(&colleague), &colleague.text), (true, &first.text), "the key is the party's, not the user's");
    let viewer = Caller::new(&world, &server, "vic").await.keyed("/merchant/devices", "k", &till).await;
    assert_eq!(viewer.failure(403, "4003"), "Role does not allow this", "who may not create is told nothing");
    server.stop().await;
}

async fn a_refused_call_keeps_no_key(world: World) {
    let server = world.server();
    let ann = Caller::new(&world, &server, "ann").await;
    let id = ann.device().await;
    let refused = ann.keyed("/merchant/devices", "k", &json!({ "device_id": id })).await;
    assert_eq!(refused.failure(400, "4220"), "Device already exists");
    let nowhere = json!({"location_id": "00000000-0000-4000-8000-000000000000"});
    let refused = ann.keyed("/merchant/devices", "k", &nowhere).await;
    assert_eq!(refused.failure(400, "4000"), "Unknown location");
    let made = ann.keyed("/merchant/devices", "k", &json!({"label": "Till"})).await;
    assert_eq!((made.status.as_u16(), replayed(&made)), (201, false), "the key was still free");
    server.stop().await;
}

async fn a_key_outlives_a_restart_and_ends_in_time(world: World) {
    let server = world.server();
    let ann = Caller::new(&world, &server, "ann").await;
    let till = json!({"label": "Till"});
    let first = ann.keyed("/merchant/devices", "k", &till).await;
    server.stop().await;
    let restarted = world.replica().await;
    world.advance(86_399);
    let ann = Caller::new(&world, &restarted, "ann").await;
    let again = ann.keyed("/merchant/devices", "k", &till).await;
    assert_eq!((replayed(&again), &again.text), (true, &first.text), "to the last second");
    world.advance(1);
    let later = ann.keyed("/merchant/devices", "k", &json!({"label": "Other"})).await;
    assert_eq!((later.status.as_u16(), replayed(&later)), (201, false), "then the key is free");
    assert_ne!(later.json()["device_id"], first.json()["device_id"]);
    let replay = ann.keyed("/merchant/devices", "k", &json!({"label": "Other"})).await;
    assert_eq!((replayed(&replay), &replay.text), (true, &later.text));
    restarted.stop().await;
}

async fn a_bad_key_is_refused(world: World) {
    let server = world.server();
    let ann = Caller::new(&world, &server, "ann").await;
    let long = "k".repeat(256);
    for (key, why) in [
        ("", "must not be empty"),
        ("two words", "must have 1 to 255 visible ASCII characters"),
        ("schlüssel", "must have 1 to 255 visible ASCII characters"),
        (&*long, "must have 1 to 255 visible ASCII characters"),
    ] {
        let told = ann.keyed("/merchant/devices", key, &json!({})).await;
        assert_eq!(told.failure(400, "4000"), "Idempotency-Key header is invalid", "{key}");
        assert_eq!(told.details(), json!({"message": format!("Idempotency-Key {why}")}));
    }
    let twice =
        ann.request(Method::POST, "/merchant/devices").header("Idempotency-Key", "k").header("Idempotency-Key", "k");
    let told = send(twice.json(&json!({}))).await;
    assert_eq!(told.details(), json!({"message": "Idempotency-Key must be sent once"}));
    assert_eq!(ids(&ann.get("/merchant/devices").await, "device_id"), [] as [&str; 0]);
    assert_eq!(ann.keyed("/merchant/devices", &"k".repeat(255), &json!({})).await.status, 201);
    server.stop().await;
}

on_both_engines!(
    the_same_call_is_answered_the_same_and_creates_once,
    a_key_is_for_one_request_of_one_party,
    a_refused_call_keeps_no_key,
    a_key_outlives_a_restart_and_ends_in_time,
    a_bad_key_is_refused,
);

/// Many identical calls at once on two servers over one database: one device, one answer.
async fn one_of_many(world: World) {
    let (one, other) = (world.server(), world.replica().await);
    let token = world.log_in("ann").await.access;
    assert_eq!(initiate(&one, &token).await.status, 200);
    for (path, body, name) in [
        ("/merchant/devices", json!({"label": "Till"}), "device_id"),
        ("/merchant/devices", json!({"device_id": "POS-8F3A2C91"}), "device_id"),
        ("/merchant/locations", json!({"name": "Here"}), "location_id"),
    ] {
        let before = listed(&one, &token, path).await;
        let key = format!("{path} {body}").replace([' ', '"'], "");
        let calls = (0..32).map(|caller| {
            let server = if caller % 2 == 0 { &one } else { &other };
            let request = server.request(Method::POST, path).bearer_auth(&token).header("Idempotency-Key", &key);
            send(request.json(&body))
        });
        let answers = join_all(calls).await;
        assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1, "one created");
        let told: HashSet<&str> = answers.iter().map(|answer| &*answer.text).collect();
        assert_eq!(told.len(), 1, "all were told the same");
        let after = listed(&other, &token, path).await;
        assert_eq!(after.len(), before.len() + 1);
        let made: Value = answers[0].json();
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
async fn many_identical_calls_on_two_servers_create_one_in_sqlite() {
    one_of_many(World::on(TestStore::sqlite().await).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_identical_calls_on_two_servers_create_one_in_postgres() {
    one_of_many(World::on(TestStore::postgres().await).await).await;
}
