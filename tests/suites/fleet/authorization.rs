//! Authorization by tenant, role and session.

use pos_application::test_support::SISTER;
use pos_tests::server::{MERCHANT, OTHER_MERCHANT, send};
use reqwest::Method;
use serde_json::{Value, json};

use super::{UserClient, ids, reseller_path};
use crate::sessions::fixture::{DISTANT, SessionFixture, on_both_engines};

async fn another_tenants_resource_looks_like_a_missing_one(fixture: SessionFixture) {
    let server = fixture.server();
    let (ann, eve) = (UserClient::new(&fixture, &server, "ann").await, UserClient::new(&fixture, &server, "eve").await);
    let (rob, olga) =
        (UserClient::new(&fixture, &server, "rob").await, UserClient::new(&fixture, &server, "olga").await);
    let device = ann.device().await;
    let location = ann.post("/merchant/locations", &json!({"name": "Here"})).await.json()["location_id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Responses for a foreign and for a missing resource differ only in the id and the trace id.
    let assert_same = |one: Value, id: &str, other: Value, unknown: &str| {
        let normalized = |mut body: Value, id: &str| {
            body["error"]["trace_id"] = Value::Null;
            body.to_string().replace(id, "ID")
        };
        assert_eq!(normalized(one, id), normalized(other, unknown));
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
            let send_for = async |id: &str| {
                send(caller.request(method.clone(), &format!("{base}/devices/{id}{rest}")).json(&body)).await
            };
            let refused = send_for(&device).await;
            assert_eq!(refused.failure(404, "4004"), "Device not found", "{method} {rest}");
            assert_eq!(refused.details(), json!({ "device_id": device }));
            assert_same(refused.json(), &device, send_for(no_device).await.json(), no_device);
        }
        for (method, body) in [(Method::GET, json!({})), (Method::PATCH, json!({"name": "Mine"}))] {
            let send_for = async |id: &str| {
                send(caller.request(method.clone(), &format!("{base}/locations/{id}")).json(&body)).await
            };
            let refused = send_for(&location).await;
            assert_eq!(refused.failure(404, "4004"), "Location not found");
            assert_same(refused.json(), &location, send_for(no_id).await.json(), no_id);
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
        let send_for = async |id: &str| {
            send(olga.request(method.clone(), &format!("/reseller/merchants/{id}{rest}")).json(&body)).await
        };
        let refused = send_for(&id).await;
        assert_eq!(refused.failure(404, "4004"), "Merchant not found", "{method} {rest}");
        assert_same(refused.json(), &id, send_for(no_id).await.json(), no_id);
    }
    // Neither the merchant nor the device exists for the caller: the error names the merchant.
    let theirs = olga.get(&reseller_path(MERCHANT, &format!("devices/{device}"))).await;
    assert_eq!(theirs.details(), json!({ "merchant_id": id }));
    for to in [OTHER_MERCHANT.to_string(), DISTANT.to_string(), no_id.to_owned()] {
        let refused = rob
            .post(&reseller_path(MERCHANT, &format!("devices/{device}/transfer")), &json!({"merchant_id": to}))
            .await;
        assert_eq!(refused.failure(404, "4004"), "Merchant not found");
        assert_eq!(refused.details(), json!({ "merchant_id": to }));
    }
    let taken = eve.post("/merchant/devices", &json!({"device_id": device})).await;
    assert_eq!(taken.failure(400, "4220"), "Device already exists");
    assert_eq!(taken.details(), json!({ "device_id": device }), "the owner is not disclosed");
    for invalid in ["POS", "8F3A2C91", "POS-%20", "POS-%00", "POS-%FF", "..%2Fdevices", "POS-'--", &"P".repeat(300)] {
        let refused = ann.get(&format!("/merchant/devices/{invalid}")).await;
        assert_eq!(refused.failure(404, "4004"), "Device not found", "{invalid}");
    }
    for invalid in ["1", "not-a-uuid", "%00", &"1".repeat(300)] {
        assert_eq!(rob.get(&format!("/reseller/merchants/{invalid}")).await.failure(404, "4004"), "Merchant not found");
        assert_eq!(ann.get(&format!("/merchant/locations/{invalid}")).await.failure(404, "4004"), "Location not found");
    }
    server.stop().await;
}

async fn a_viewer_may_only_read(fixture: SessionFixture) {
    let server = fixture.server();
    let ann = UserClient::new(&fixture, &server, "ann").await;
    let device = ann.device().await;
    let assert_refused = async |caller: &UserClient<'_>, method: Method, path: &str, body: Value| {
        let refused = send(caller.request(method.clone(), path).json(&body)).await;
        assert_eq!(refused.failure(403, "4003"), "Role does not allow this", "{method} {path}");
    };
    for (viewer, operator, base) in
        [("vic", "modest", "/merchant".to_owned()), ("rex", "rita", format!("/reseller/merchants/{MERCHANT}"))]
    {
        let (viewer, operator) =
            (UserClient::new(&fixture, &server, viewer).await, UserClient::new(&fixture, &server, operator).await);
        for rest in [
            "/devices".to_owned(),
            format!("/devices/{device}"),
            format!("/devices/{device}/events"),
            "/locations".to_owned(),
        ] {
            assert_eq!(viewer.get(&format!("{base}{rest}")).await.status, 200, "{rest}");
        }
        assert_refused(&viewer, Method::POST, &format!("{base}/devices"), json!({})).await;
        assert_refused(&viewer, Method::PATCH, &format!("{base}/devices/{device}"), json!({})).await;
        assert_refused(&viewer, Method::POST, &format!("{base}/devices/{device}/release"), json!({})).await;
        assert_refused(&viewer, Method::POST, &format!("{base}/locations"), json!({"name": "x"})).await;
        assert_refused(&operator, Method::POST, &format!("{base}/devices/{device}/decommission"), json!({})).await;
        assert_eq!(operator.post(&format!("{base}/locations"), &json!({"name": "x"})).await.status, 201);
    }
    let (rex, rita) =
        (UserClient::new(&fixture, &server, "rex").await, UserClient::new(&fixture, &server, "rita").await);
    assert_refused(&rita, Method::POST, "/reseller/merchants", json!({"name": "x"})).await;
    assert_refused(&rita, Method::PATCH, &format!("/reseller/merchants/{MERCHANT}"), json!({"name": "x"})).await;
    let to = json!({"merchant_id": SISTER.to_string()});
    assert_refused(&rex, Method::POST, &reseller_path(MERCHANT, &format!("devices/{device}/transfer")), to.clone())
        .await;
    assert_eq!(rita.post(&reseller_path(MERCHANT, &format!("devices/{device}/transfer")), &to).await.status, 200);
    server.stop().await;
}

async fn a_token_without_a_session_is_rejected(fixture: SessionFixture) {
    let server = fixture.server();
    for user in ["ann", "vic", "roleless", "lost", "rob"] {
        let token = fixture.log_in(user).await.access;
        for path in ["/merchant/devices", "/merchant/locations", "/reseller/merchants"] {
            for method in [Method::GET, Method::POST] {
                let request = server.request(method, path).bearer_auth(&token).json(&json!({"name": "x"}));
                let refused = send(request).await;
                assert_eq!(refused.failure(401, "4001"), "Session has not been initiated", "{user} {path}");
                assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer ")));
            }
        }
    }
    let rob = UserClient::new(&fixture, &server, "rob").await;
    assert_eq!(rob.get("/merchant/devices").await.failure(403, "4003"), "Session does not act for a merchant");
    assert_eq!(rob.get("/reseller/merchants").await.status, 200);
    let ann = UserClient::new(&fixture, &server, "ann").await;
    assert_eq!(ann.get("/reseller/merchants").await.failure(403, "4003"), "Session does not act for a reseller");
    server.stop().await;
}

on_both_engines!(
    another_tenants_resource_looks_like_a_missing_one,
    a_viewer_may_only_read,
    a_token_without_a_session_is_rejected,
);
