//! Lifecycle of a device through the management API.

use pos_application::test_support::{RESELLER, SISTER};
use pos_tests::server::{MERCHANT, USER_AGENT, send};
use reqwest::Method;
use serde_json::{Value, json};

use super::{UserClient, ids, reseller_path};
use crate::sessions::fixture::{SessionFixture, on_both_engines};

async fn a_device_passes_through_its_lifecycle(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, rob) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "rob").await);
    let location = ann.post("/merchant/locations", &json!({"name": " High Street "})).await;
    assert_eq!(
        (location.status.as_u16(), location.json()["name"].as_str()),
        (201, Some("High Street")),
        "{location:?}"
    );
    let location = location.json()["location_id"].as_str().unwrap().to_owned();

    let request = json!({"device_id": "POS-8F3A2C91", "label": "Till 2", "location_id": location});
    let made = ann.post("/merchant/devices", &request).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut device = json!({
        "device_id": "POS-8F3A2C91", "merchant_id": MERCHANT.to_string(), "status": "inactive",
        "pairing_code_status": "none", "label": "Till 2", "location_id": location,
        "provisioned_at": "2026-01-02T03:04:05Z", "claimed_at": null, "claimed_by": null, "activated_at": null,
        "decommissioned_at": null, "last_seen": null,
    });
    assert_eq!(made.json(), device);
    let path = "/merchant/devices/POS-8F3A2C91";
    assert_eq!(ann.get(path).await.json(), device);
    assert_eq!(
        rob.get(&reseller_path(MERCHANT, "devices/POS-8F3A2C91")).await.json(),
        device,
        "its reseller sees the same"
    );

    fixture.advance(60);
    let terminal = async |method, path: &str| server.terminal(method, path, "POS-8F3A2C91").await;
    assert_eq!(terminal(Method::POST, "/pos/bootstrap").await.status, 200);
    let code = server.code("POS-8F3A2C91").await;
    let shown = ann.get(path).await;
    assert!(!shown.text.contains(&code), "only the terminal shows the code");
    device["pairing_code_status"] = "pending".into();
    let seen = json!({"at": "2026-01-02T03:05:05Z", "app_version": "1.4.2", "os": "Android 12", "model": "PAX-A920"});
    device["last_seen"] = seen;
    assert_eq!(shown.json(), device, "{USER_AGENT}");
    assert_eq!(server.claim(&ann.token, &json!({"pairing_code": code})).await.status, 200);
    device["status"] = "claimed".into();
    device["pairing_code_status"] = "used".into();
    device["claimed_at"] = "2026-01-02T03:05:05Z".into();
    device["claimed_by"] = "ann".into();
    assert_eq!(ann.get(path).await.json(), device);

    let updated = ann.patch(path, &json!({"label": null})).await;
    device["label"] = Value::Null;
    assert_eq!((updated.status.as_u16(), updated.json()), (200, device.clone()));
    let transfer_to_sister = async || {
        let body = json!({"merchant_id": SISTER.to_string()});
        rob.post(&reseller_path(MERCHANT, "devices/POS-8F3A2C91/transfer"), &body).await
    };
    let early = transfer_to_sister().await;
    assert_eq!(early.failure(400, "4220"), "Device has already been claimed");
    assert_eq!(early.details(), json!({"device_id": "POS-8F3A2C91"}));
    let released = ann.post_empty(&format!("{path}/release")).await;
    device["status"] = "inactive".into();
    device["pairing_code_status"] = "none".into();
    (device["claimed_at"], device["claimed_by"]) = (Value::Null, Value::Null);
    assert_eq!((released.status.as_u16(), released.json()), (200, device.clone()));
    assert_eq!(ann.post_empty(&format!("{path}/release")).await.failure(400, "4220"), "Device has not been claimed");
    let used = server.claim(&ann.token, &json!({"pairing_code": code})).await;
    assert_eq!(used.failure(400, "4220"), "Pairing code has already been used");

    let transferred = transfer_to_sister().await;
    device["merchant_id"] = SISTER.to_string().into();
    device["location_id"] = Value::Null;
    assert_eq!((transferred.status.as_u16(), transferred.json()), (200, device.clone()));
    for path in [path, "/merchant/devices/POS-8F3A2C91/events"] {
        assert_eq!(ann.get(path).await.failure(404, "4004"), "Device not found");
    }
    let sara = UserClient::new(&fixture, &server, "sara").await;
    let seen = sara.get("/merchant/devices/POS-8F3A2C91/events").await;
    assert_eq!(ids(&seen, "event"), ["transferred"], "earlier events belong to the former merchant");

    let decommissioned = sara.post_empty("/merchant/devices/POS-8F3A2C91/decommission").await;
    device["status"] = "decommissioned".into();
    device["decommissioned_at"] = "2026-01-02T03:05:05Z".into();
    assert_eq!((decommissioned.status.as_u16(), decommissioned.json()), (200, device));
    let again = sara.post_empty("/merchant/devices/POS-8F3A2C91/decommission").await;
    assert_eq!(again.failure(400, "4220"), "Device has already been decommissioned");
    for (refused, method) in [("release", Method::POST), ("", Method::PATCH)] {
        let path = format!("/merchant/devices/POS-8F3A2C91/{refused}");
        let answer = send(sara.request(method, path.trim_end_matches('/')).json(&json!({"label": "x"}))).await;
        assert_eq!(answer.failure(400, "4220"), "Device has been decommissioned");
    }
    assert_eq!(terminal(Method::POST, "/pos/bootstrap").await.failure(404, "4004"), "Device not found");
    let taken = sara.post("/merchant/devices", &json!({"device_id": "POS-8F3A2C91"})).await;
    assert_eq!(taken.failure(400, "4220"), "Device already exists", "its id cannot be used again");

    let trail = rob.get(&reseller_path(SISTER, "devices/POS-8F3A2C91/events")).await.json();
    let recorded: Vec<_> = trail["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            assert_eq!(event["trace_id"].as_str().map(str::len), Some(32), "{event}");
            assert_eq!(event["client_ip"], "127.0.0.1");
            (event["sequence"].as_u64().unwrap(), event["event"].as_str().unwrap(), event["actor"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        recorded,
        [
            (1, "provisioned", "user:ann"),
            (2, "pairing_code_issued", "terminal"),
            (3, "claimed", "user:ann"),
            (4, "updated", "user:ann"),
            (5, "released", "user:ann"),
            (6, "transferred", "user:rob"),
            (7, "decommissioned", "user:sara"),
        ]
    );
    assert_eq!(
        (&trail["items"][4]["merchant_id"], &trail["items"][5]["merchant_id"]),
        (&json!(MERCHANT.to_string()), &json!(SISTER.to_string()))
    );
    assert_eq!(trail["next_cursor"], Value::Null);
    server.stop().await;
}

async fn a_merge_patch_changes_only_the_named_fields(fixture: SessionFixture) {
    let server = fixture.server();
    let ann = UserClient::new(&fixture, &server, "ann").await;
    let id = ann.device().await;
    let path = format!("/merchant/devices/{id}");
    let location = ann.post("/merchant/locations", &json!({"name": "Here"})).await.json()["location_id"].clone();
    let patched = async |patch: Value| {
        let answer = ann.patch(&path, &patch).await;
        assert_eq!(answer.status, 200, "{patch}: {answer:?}");
        (answer.json()["label"].clone(), answer.json()["location_id"].clone())
    };
    assert_eq!(patched(json!({"label": "Till", "location_id": location})).await, (json!("Till"), location.clone()));
    assert_eq!(patched(json!({})).await, (json!("Till"), location.clone()));
    assert_eq!(patched(json!({"label": "Till", "location_id": location})).await, (json!("Till"), location.clone()));
    assert_eq!(patched(json!({"location_id": null})).await, (json!("Till"), Value::Null));
    assert_eq!(patched(json!({"label": null})).await, (Value::Null, Value::Null));
    assert_eq!(patched(json!({"label": null, "location_id": null})).await, (Value::Null, Value::Null));
    let events = ann.get(&format!("{path}/events")).await;
    assert_eq!(
        ids(&events, "event"),
        ["provisioned", "updated", "updated", "updated"],
        "a patch without changes leaves no event"
    );
    let standard =
        ann.request(Method::PATCH, &path).header("Content-Type", "application/merge-patch+json; charset=utf-8");
    assert_eq!(send(standard.body(r#"{"label":"B"}"#)).await.json()["label"], "B");
    server.stop().await;
}

async fn locations_and_merchants_are_created_read_and_renamed(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, rob) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "rob").await);
    let merchant = rob.post("/reseller/merchants", &json!({"name": "New Shop"})).await;
    assert_eq!(merchant.status, 201, "{merchant:?}");
    let mut shop = merchant.json();
    let id = shop["merchant_id"].as_str().unwrap().to_owned();
    assert_eq!(shop["reseller_id"], RESELLER.to_string());
    let path = format!("/reseller/merchants/{id}");
    assert_eq!(rob.get(&path).await.json(), shop);
    for _ in 0..2 {
        let renamed = rob.patch(&path, &json!({"name": "Newer Shop"})).await;
        shop["name"] = "Newer Shop".into();
        assert_eq!((renamed.status.as_u16(), renamed.json()), (200, shop.clone()));
    }
    assert_eq!(rob.patch(&path, &json!({})).await.json(), shop);
    let made = rob.post(&format!("{path}/locations"), &json!({"name": "There"})).await.json();
    assert_eq!(made["merchant_id"].as_str(), Some(&*id));
    let location = format!("{path}/locations/{}", made["location_id"].as_str().unwrap());
    assert_eq!(rob.get(&location).await.json(), made);
    assert_eq!(rob.patch(&location, &json!({"name": "Busy"})).await.json()["name"], "Busy");
    assert_eq!(ids(&rob.get(&format!("{path}/locations")).await, "name"), ["Busy"]);
    assert_eq!(ids(&ann.get("/merchant/locations").await, "name"), [] as [&str; 0]);
    let device = rob.post(&format!("{path}/devices"), &json!({"location_id": made["location_id"]})).await;
    assert_eq!((device.status.as_u16(), device.json()["merchant_id"].as_str()), (201, Some(&*id)));
    let own = ann.post("/merchant/devices", &json!({"location_id": made["location_id"]})).await;
    assert_eq!(own.failure(400, "4000"), "Unknown location", "another merchant's location is unknown");
    assert_eq!(own.details(), json!({"location_id": made["location_id"]}));

    let events = fixture.app.audit_events().await;
    let kinds: Vec<_> = events
        .iter()
        .filter(|event| event.audit_context.actor.to_string() == "user:rob")
        .map(|event| event.kind.as_str())
        .collect();
    let changes: Vec<_> = kinds.into_iter().filter(|kind| !kind.starts_with("session")).collect();
    assert_eq!(changes, ["merchant_added", "merchant_updated", "location_added", "location_updated"]);
    server.stop().await;
}

on_both_engines!(
    a_device_passes_through_its_lifecycle,
    a_merge_patch_changes_only_the_named_fields,
    locations_and_merchants_are_created_read_and_renamed,
);
