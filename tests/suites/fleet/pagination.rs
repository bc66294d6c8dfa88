//! Pagination of lists.

use std::collections::BTreeSet;

use pos_tests::server::MERCHANT;
use serde_json::{Value, json};

use super::{UserClient, ids, reseller_path};
use crate::sessions::fixture::{SessionFixture, on_both_engines};

/// Reads all pages of a list and returns the values and the number of pages. `between` runs after each page.
async fn read_all(
    caller: &UserClient<'_>,
    path: &str,
    name: &str,
    mut between: impl AsyncFnMut(),
) -> (Vec<String>, usize) {
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

async fn all_pages_of_a_list_are_in_order(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, rob) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "rob").await);
    let mut devices = Vec::new();
    for _ in 0..7 {
        devices.push(ann.device().await);
    }
    devices.sort();
    for (limit, pages) in [(1, 7), (3, 3), (7, 1), (200, 1)] {
        let listed = read_all(&ann, &format!("/merchant/devices?limit={limit}"), "device_id", async || ()).await;
        assert_eq!(listed, (devices.clone(), pages), "limit {limit}");
    }
    let listed = read_all(&rob, &reseller_path(MERCHANT, "devices?limit=2"), "device_id", async || ()).await;
    assert_eq!(listed, (devices.clone(), 4));
    for number in 0..5 {
        ann.post("/merchant/locations", &json!({"name": format!("Place {number}")})).await;
        rob.post("/reseller/merchants", &json!({"name": format!("Shop {number}")})).await;
    }
    let (locations, pages) = read_all(&ann, "/merchant/locations?limit=2", "location_id", async || ()).await;
    assert_eq!((locations.len(), pages, locations.is_sorted()), (5, 3, true));
    let (merchants, pages) = read_all(&rob, "/reseller/merchants?limit=2", "merchant_id", async || ()).await;
    assert_eq!((merchants.len(), pages, merchants.is_sorted()), (7, 4, true), "five new ones and the two it had");
    let path = format!("/merchant/devices/{}", devices[0]);
    for label in ["a", "b", "c"] {
        ann.patch(&path, &json!({ "label": label })).await;
    }
    let (events, pages) = read_all(&ann, &format!("{path}/events?limit=3"), "event", async || ()).await;
    assert_eq!((events.len(), pages), (4, 2));
    server.stop().await;
}

async fn concurrent_inserts_neither_skip_nor_repeat_items(fixture: SessionFixture) {
    let server = fixture.server();
    let ann = UserClient::new(&fixture, &server, "ann").await;
    let mut before = BTreeSet::new();
    for _ in 0..6 {
        before.insert(ann.device().await);
    }
    let mut made = Vec::new();
    let (seen, _) =
        read_all(&ann, "/merchant/devices?limit=2", "device_id", async || made.push(ann.device().await)).await;
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "no item is repeated");
    assert!(before.is_subset(&distinct), "no existing item is skipped");
    assert!(made.len() >= 2 && seen.is_sorted());
    server.stop().await;
}

async fn filters_apply_to_every_page(fixture: SessionFixture) {
    let server = fixture.server();
    let ann = UserClient::new(&fixture, &server, "ann").await;
    let location = ann.post("/merchant/locations", &json!({"name": "Here"})).await.json()["location_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (mut here, mut decommissioned) = (Vec::new(), Vec::new());
    for number in 0..6 {
        let id = ann.device().await;
        if number % 2 == 0 {
            ann.patch(&format!("/merchant/devices/{id}"), &json!({ "location_id": location })).await;
            here.push(id);
        } else {
            ann.post_empty(&format!("/merchant/devices/{id}/decommission")).await;
            decommissioned.push(id);
        }
    }
    here.sort();
    decommissioned.sort();
    let list = async |filter: &str| {
        read_all(&ann, &format!("/merchant/devices?limit=2&{filter}"), "device_id", async || ()).await.0
    };
    assert_eq!(list(&format!("location_id={location}")).await, here);
    assert_eq!(list("status=decommissioned").await, decommissioned);
    assert_eq!(list("status=inactive").await, here);
    assert_eq!(list(&format!("status=decommissioned&location_id={location}")).await, [] as [&str; 0]);
    assert_eq!(list("status=claimed").await, [] as [&str; 0]);
    assert_eq!(list("location_id=00000000-0000-4000-8000-000000000000").await, [] as [&str; 0]);
    server.stop().await;
}

async fn a_cursor_belongs_to_one_list_and_grants_no_access(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, eve) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "eve").await);
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
    all_pages_of_a_list_are_in_order,
    concurrent_inserts_neither_skip_nor_repeat_items,
    filters_apply_to_every_page,
    a_cursor_belongs_to_one_list_and_grants_no_access,
);
