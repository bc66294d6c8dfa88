//! Who may do what, and for whom.

use pos_tests::server::{MERCHANT, OTHER_MERCHANT, send};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, below, ids};
use crate::sessions::world::{DISTANT, SISTER, World, on_both_engines};

async fn what_is_somebody_elses_is_told_as_what_does_not_exist(world: World) {
    let server = world.server();
    let (ann, eve) = (Caller::new(&world, &server, "ann").await, Caller::new(&world, &server, "eve").await);
    let (rob, olga) = (Caller::new(&world, &server, "rob").await, Caller::new(&world, &server, "olga").await);
    let device = ann.device().await;
    let place = ann.post("/merchant/locations", &json!({"name": "Here"})).await.json()["location_id"]
        .as_str()
        .unwrap()
        .to_owned();
    // The answers to what is there and to what is not differ in the id and the trace id only.
    let same = |one: Value, id: &str, other: Value, unknown: &str| {
        let bare = |mut told: Value, id: &str| {
            told["error"]["trace_id"] = Value::Null;
            told.to_string().replace(id, "ID")
        };
        assert_eq!(bare(one, id), bare(other, unknown));
    };
    let no_device = "POS-00000000";
    let no_id = "00000000-0000-4000-8000-000000000000";
    for (caller, base) in [(&eve, "/merchant".to_owned()), (&rob, format!("/reseller/merchants/{SISTER}"))] {
        for (method, rest, body) in [
            (Method::GET, "", json!({})),
            (Method::PATCH, "", json!({"label": "Mine"})),
            (Method::POST, "/release", json!({})),
            (Method::POST, "/decommission", json!({})),
            (Method::GET, "/events", json!({})),
        ] {
            let ask = async |id: &str| {
                send(caller.request(method.clone(), &format!("{base}/devices/{id}{rest}")).json(&body)).await
            };
            let told = ask(&device).await;
            assert_eq!(told.failure(404, "4004"), "Device not found", "{method} {rest}");
            assert_eq!(told.details(), json!({ "device_id": device }));
            same(told.json(), &device, ask(no_device).await.json(), no_device);
        }
        for (method, body) in [(Method::GET, json!({})), (Method::PATCH, json!({"name": "Mine"}))] {
            let ask = async |id: &str| {
                send(caller.request(method.clone(), &format!("{base}/locations/{id}")).json(&body)).await
            };
            let told = ask(&place).await;
            assert_eq!(told.failure(404, "4004"), "Location not found");
            same(told.json(), &place, ask(no_id).await.json(), no_id);
        }
        assert_eq!(ids(&caller.get(&format!("{base}/devices")).await, "device_id"), [] as [&str; 0]);
        assert_eq!(ids(&caller.get(&format!("{base}/locations")).await, "location_id"), [] as [&str; 0]);
    }
    let id = MERCHANT.to_string();
    for (method, rest, body) in [
        (Method::GET, "", json!({})),
        (Method::PATCH, "", json!({"name": "Mine"})),
        (Method::GET, "/devices", json!({})),
        (Method::POST, "/devices", json!({})),
        (Method::GET, "/locations", json!({})),
        (Method::POST, "/locations", json!({"name": "Mine"})),
    ] {
        let ask = async |id: &str| {
            send(olga.request(method.clone(), &format!("/reseller/merchants/{id}{rest}")).json(&body)).await
        };
        let told = ask(&id).await;
        assert_eq!(told.failure(404, "4004"), "Merchant not found", "{method} {rest}");
        same(told.json(), &id, ask(no_id).await.json(), no_id);
    }
    // A device that is not there for the caller, under a merchant that is not there either: the merchant is told first.
    let theirs = olga.get(&below(MERCHANT, &format!("devices/{device}"))).await;
    assert_eq!(theirs.details(), json!({ "merchant_id": id }));
    for to in [OTHER_MERCHANT.to_string(), DISTANT.to_string(), no_id.to_owned()] {
        let told = rob.post(&below(MERCHANT, &format!("devices/{device}/move")), &json!({"merchant_id": to})).await;
        assert_eq!(told.failure(404, "4004"), "Merchant not found");
        assert_eq!(told.details(), json!({ "merchant_id": to }));
    }
    let taken = eve.post("/merchant/devices", &json!({"device_id": device})).await;
    assert_eq!(taken.failure(400, "4220"), "Device already exists");
    assert_eq!(taken.details(), json!({ "device_id": device }), "and not whose it is");
    for unnameable in ["POS", "8F3A2C91", "POS-%20", "POS-%00", "POS-%FF", "..%2Fdevices", "POS-'--", &"P".repeat(300)]
    {
        let told = ann.get(&format!("/merchant/devices/{unnameable}")).await;
        assert_eq!(told.failure(404, "4004"), "Device not found", "{unnameable}");
    }
    for unnameable in ["1", "not-a-uuid", "%00", &"1".repeat(300)] {
        assert_eq!(
            rob.get(&format!("/reseller/merchants/{unnameable}")).await.failure(404, "4004"),
            "Merchant not found"
        );
        assert_eq!(
            ann.get(&format!("/merchant/locations/{unnameable}")).await.failure(404, "4004"),
            "Location not found"
        );
    }
    server.stop().await;
}

async fn a_role_that_is_too_low_may_look_only(world: World) {
    let server = world.server();
    let ann = Caller::new(&world, &server, "ann").await;
    let device = ann.device().await;
    let refused = async |caller: &Caller<'_>, method: Method, path: &str, body: Value| {
        let told = send(caller.request(method.clone(), path).json(&body)).await;
        assert_eq!(told.failure(403, "4003"), "Role does not allow this", "{method} {path}");
    };
    for (viewer, operator, base) in
        [("vic", "modest", "/merchant".to_owned()), ("rex", "rita", format!("/reseller/merchants/{MERCHANT}"))]
    {
        let (viewer, operator) =
            (Caller::new(&world, &server, viewer).await, Caller::new(&world, &server, operator).await);
        for rest in [
            "/devices".to_owned(),
            format!("/devices/{device}"),
            format!("/devices/{device}/events"),
            "/locations".to_owned(),
        ] {
            assert_eq!(viewer.get(&format!("{base}{rest}")).await.status, 200, "{rest}");
        }
        refused(&viewer, Method::POST, &format!("{base}/devices"), json!({})).await;
        refused(&viewer, Method::PATCH, &format!("{base}/devices/{device}"), json!({})).await;
        refused(&viewer, Method::POST, &format!("{base}/devices/{device}/release"), json!({})).await;
        refused(&viewer, Method::POST, &format!("{base}/locations"), json!({"name": "x"})).await;
        refused(&operator, Method::POST, &format!("{base}/devices/{device}/decommission"), json!({})).await;
        assert_eq!(operator.post(&format!("{base}/locations"), &json!({"name": "x"})).await.status, 201);
    }
    let (rex, rita) = (Caller::new(&world, &server, "rex").await, Caller::new(&world, &server, "rita").await);
    refused(&rita, Method::POST, "/reseller/merchants", json!({"name": "x"})).await;
    refused(&rita, Method::PATCH, &format!("/reseller/merchants/{MERCHANT}"), json!({"name": "x"})).await;
    let to = json!({"merchant_id": SISTER.to_string()});
    refused(&rex, Method::POST, &below(MERCHANT, &format!("devices/{device}/move")), to.clone()).await;
    assert_eq!(rita.post(&below(MERCHANT, &format!("devices/{device}/move")), &to).await.status, 200);
    server.stop().await;
}

async fn without_a_session_a_token_acts_for_nobody(world: World) {
    let server = world.server();
    for user in ["ann", "vic", "roleless", "lost", "rob"] {
        let token = world.log_in(user).await.access;
        for path in ["/merchant/devices", "/merchant/locations", "/reseller/merchants"] {
            for method in [Method::GET, Method::POST] {
                let request = server.request(method, path).bearer_auth(&token).json(&json!({"name": "x"}));
                let told = send(request).await;
                assert_eq!(told.failure(401, "4001"), "Session has not been initiated", "{user} {path}");
                assert!(told.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer ")));
            }
        }
    }
    let rob = Caller::new(&world, &server, "rob").await;
    assert_eq!(rob.get("/merchant/devices").await.failure(403, "4003"), "Session does not act for a merchant");
    assert_eq!(rob.get("/reseller/merchants").await.status, 200);
    let ann = Caller::new(&world, &server, "ann").await;
    assert_eq!(ann.get("/reseller/merchants").await.failure(403, "4003"), "Session does not act for a reseller");
    server.stop().await;
}

on_both_engines!(
    what_is_somebody_elses_is_told_as_what_does_not_exist,
    a_role_that_is_too_low_may_look_only,
    without_a_session_a_token_acts_for_nobody,
);
