//! Lists, page by page.

use std::collections::BTreeSet;

use pos_tests::server::MERCHANT;
use serde_json::{Value, json};

use super::{Caller, below, ids};
use crate::sessions::world::{World, on_both_engines};

/// Follows the cursors of a list to its end, and counts the pages. `between` runs after each page.
async fn follow(caller: &Caller<'_>, path: &str, name: &str, mut between: impl AsyncFnMut()) -> (Vec<String>, usize) {
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    for pages in 1.. {
        let next = cursor.as_str().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let answer = caller.get(&format!("{path}{next}")).await;
        seen.extend(ids(&answer, name));
        cursor = answer.json()["next_cursor"].clone();
        if cursor.is_null() {
            return (seen, pages);
        }
        between().await;
    }
    unreachable!("a list ends")
}

async fn a_list_is_followed_to_its_end_in_order(world: World) {
    let server = world.server();
    let (ann, rob) = (Caller::new(&world, &server, "ann").await, Caller::new(&world, &server, "rob").await);
    let mut devices = Vec::new();
    for _ in 0..7 {
        devices.push(ann.device().await);
    }
    devices.sort();
    for (limit, pages) in [(1, 7), (3, 3), (7, 1), (200, 1)] {
        let listed = follow(&ann, &format!("/merchant/devices?limit={limit}"), "device_id", async || ()).await;
        assert_eq!(listed, (devices.clone(), pages), "limit {limit}");
    }
    let listed = follow(&rob, &below(MERCHANT, "devices?limit=2"), "device_id", async || ()).await;
    assert_eq!(listed, (devices.clone(), 4));
    for number in 0..5 {
        ann.post("/merchant/locations", &json!({"name": format!("Place {number}")})).await;
        rob.post("/reseller/merchants", &json!({"name": format!("Shop {number}")})).await;
    }
    let (places, pages) = follow(&ann, "/merchant/locations?limit=2", "location_id", async || ()).await;
    assert_eq!((places.len(), pages, places.is_sorted()), (5, 3, true));
    let (merchants, pages) = follow(&rob, "/reseller/merchants?limit=2", "merchant_id", async || ()).await;
    assert_eq!((merchants.len(), pages, merchants.is_sorted()), (7, 4, true), "five new ones and the two it had");
    let path = format!("/merchant/devices/{}", devices[0]);
    for label in ["a", "b", "c"] {
        ann.patch(&path, &json!({ "label": label })).await;
    }
    let (events, pages) = follow(&ann, &format!("{path}/events?limit=3"), "event", async || ()).await;
    assert_eq!((events.len(), pages), (4, 2));
    server.stop().await;
}

async fn none_is_lost_or_doubled_while_others_are_made(world: World) {
    let server = world.server();
    let ann = Caller::new(&world, &server, "ann").await;
    let mut before = BTreeSet::new();
    for _ in 0..6 {
        before.insert(ann.device().await);
    }
    let mut made = Vec::new();
    let (seen, _) =
        follow(&ann, "/merchant/devices?limit=2", "device_id", async || made.push(ann.device().await)).await;
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "none comes twice");
    assert!(before.is_subset(&distinct), "none of those that were there is left out");
    assert!(made.len() >= 2 && seen.is_sorted());
    server.stop().await;
}

async fn filters_narrow_a_list_on_every_page(world: World) {
    let server = world.server();
    let ann = Caller::new(&world, &server, "ann").await;
    let place = ann.post("/merchant/locations", &json!({"name": "Here"})).await.json()["location_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (mut here, mut out) = (Vec::new(), Vec::new());
    for number in 0..6 {
        let id = ann.device().await;
        if number % 2 == 0 {
            ann.patch(&format!("/merchant/devices/{id}"), &json!({ "location_id": place })).await;
            here.push(id);
        } else {
            ann.act(&format!("/merchant/devices/{id}/decommission")).await;
            out.push(id);
        }
    }
    here.sort();
    out.sort();
    let list = async |filter: &str| {
        follow(&ann, &format!("/merchant/devices?limit=2&{filter}"), "device_id", async || ()).await.0
    };
    assert_eq!(list(&format!("location_id={place}")).await, here);
    assert_eq!(list("status=decommissioned").await, out);
    assert_eq!(list("status=inactive").await, here);
    assert_eq!(list(&format!("status=decommissioned&location_id={place}")).await, [] as [&str; 0]);
    assert_eq!(list("status=claimed").await, [] as [&str; 0]);
    assert_eq!(list("location_id=00000000-0000-4000-8000-000000000000").await, [] as [&str; 0]);
    server.stop().await;
}

async fn a_cursor_is_for_its_own_list_and_shows_no_more_than_its_caller_may_see(world: World) {
    let server = world.server();
    let (ann, eve) = (Caller::new(&world, &server, "ann").await, Caller::new(&world, &server, "eve").await);
    for _ in 0..3 {
        ann.device().await;
    }
    let cursor = ann.get("/merchant/devices?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    let theirs = eve.get(&format!("/merchant/devices?cursor={cursor}")).await;
    assert_eq!(ids(&theirs, "device_id"), [] as [&str; 0]);
    let wrong = ann.get(&format!("/merchant/locations?cursor={cursor}")).await;
    assert_eq!(wrong.failure(400, "4000"), "Invalid query parameters");
    server.stop().await;
}

on_both_engines!(
    a_list_is_followed_to_its_end_in_order,
    none_is_lost_or_doubled_while_others_are_made,
    filters_narrow_a_list_on_every_page,
    a_cursor_is_for_its_own_list_and_shows_no_more_than_its_caller_may_see,
);
