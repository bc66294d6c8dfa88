//! Provisioning of devices and their lifecycle, by users and API clients.

use pos_tests::issuer::Issuer;
use pos_tests::real_server::RealServer;
use pos_tests::server::{Answer, send};
use pos_tests::users::{BAKERY, BAKERY_API, CAFE, GABE, GINA, GROCER, GROCER_API, GWEN, NILS, NORA, NORTH_API, SVEN};
use reqwest::Method;
use serde_json::{Value, json};

use super::{on_both, server, token, token_with_session};

on_both!(
    a_user_takes_a_device_through_its_lifecycle,
    a_reseller_provisions_for_its_merchants_and_cannot_claim,
    another_reseller_cannot_read_or_change_anything,
    an_api_client_provisions_once_per_idempotency_key,
    a_resellers_api_client_provisions_for_its_merchants,
    management_requires_a_session_and_a_sufficient_role,
);

async fn get(server: &RealServer, path: &str, token: &str) -> Answer {
    server.call(Method::GET, path, token, None).await
}

async fn post(server: &RealServer, path: &str, token: &str) -> Answer {
    server.call(Method::POST, path, token, None).await
}

/// The pairing state of the status route: device status, whether it is claimed, code status.
async fn poll(server: &RealServer, device: &str) -> (String, bool, String) {
    let answer = server.terminal(Method::GET, "/pos/status", device).await;
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    (text("device_status"), body["is_claimed"] == true, text("pairing_code_status"))
}

fn polled(device: &str, is_claimed: bool, code: &str) -> (String, bool, String) {
    (device.to_owned(), is_claimed, code.to_owned())
}

async fn a_user_takes_a_device_through_its_lifecycle(issuer: Issuer) {
    let server = server(&issuer).await;
    let token = issuer.login(GINA).await.access;
    assert_eq!(server.initiate(&token).await.status, 200);

    let made = server.call(Method::POST, "/merchant/devices", &token, Some(&json!({"label": "Till 1"}))).await;
    let body = made.json();
    assert_eq!((made.status.as_u16(), &body["merchant_id"]), (201, &json!(GROCER)), "{made:?}");
    assert_eq!((&body["status"], &body["label"]), (&json!("inactive"), &json!("Till 1")));
    let device = body["device_id"].as_str().unwrap();
    let path = format!("/merchant/devices/{device}");

    assert_eq!(server.terminal(Method::POST, "/pos/bootstrap", device).await.status, 200);
    assert_eq!(poll(&server, device).await, polled("inactive", false, "none"));
    let code = server.code(device).await;
    assert_eq!(poll(&server, device).await, polled("inactive", false, "pending"));
    assert_eq!(server.claim(&token, &code).await.status, 200);
    assert_eq!(poll(&server, device).await, polled("claimed", true, "used"));
    let shown = get(&server, &path, &token).await.json();
    assert_eq!((&shown["status"], &shown["claimed_by"]), (&json!("claimed"), &json!(GINA.sub)), "{shown}");
    assert_eq!(shown["last_seen"]["model"], "PAX-A920");

    let released = post(&server, &format!("{path}/release"), &token).await;
    assert_eq!((released.status.as_u16(), &released.json()["status"]), (200, &json!("inactive")));
    assert_eq!(poll(&server, device).await, polled("inactive", false, "none"));
    let code = server.code(device).await;
    let decommissioned = post(&server, &format!("{path}/decommission"), &token).await;
    assert_eq!((decommissioned.status.as_u16(), &decommissioned.json()["status"]), (200, &json!("decommissioned")));
    assert_eq!(server.claim(&token, &code).await.status, 400, "its code has ended with it");
    for (method, path) in [(Method::POST, "/pos/pairing-code"), (Method::GET, "/pos/status")] {
        let refused = server.terminal(method, path, device).await;
        assert_eq!(refused.failure(404, "4004"), "Device not found", "for a terminal the device no longer exists");
    }

    let events = get(&server, &format!("{path}/events"), &token).await.json();
    let events = events["items"].as_array().unwrap();
    let (user, terminal) = (format!("user:{}", GINA.sub), "terminal".to_owned());
    let expected = [
        ("provisioned", &user),
        ("pairing_code_issued", &terminal),
        ("claimed", &user),
        ("released", &user),
        ("pairing_code_issued", &terminal),
        ("decommissioned", &user),
    ];
    let recorded: Vec<_> = events.iter().map(|event| (&event["event"], &event["actor"])).collect();
    assert_eq!(json!(recorded), json!(expected));
    assert!(events.iter().all(|event| event["trace_id"].as_str().is_some_and(|id| id.len() == 32)), "{events:?}");
    server.stop().await;
}

async fn a_reseller_provisions_for_its_merchants_and_cannot_claim(issuer: Issuer) {
    let server = server(&issuer).await;
    let (reseller, merchant) =
        (token_with_session(&server, &issuer, NILS).await, token_with_session(&server, &issuer, GABE).await);
    let devices = format!("/reseller/merchants/{GROCER}/devices");
    let made = server.call(Method::POST, &devices, &reseller, Some(&json!({}))).await;
    assert_eq!((made.status.as_u16(), &made.json()["merchant_id"]), (201, &json!(GROCER)), "{made:?}");
    let id = made.json()["device_id"].as_str().unwrap().to_owned();

    let code = server.code(&id).await;
    let refused = server.claim(&reseller, &code).await;
    assert_eq!(refused.failure(403, "4003"), "Session does not act for a merchant");
    assert_eq!(server.claim(&merchant, &code).await.status, 200, "the merchant may");
    let shown = get(&server, &format!("{devices}/{id}"), &reseller).await.json();
    assert_eq!((&shown["status"], &shown["claimed_by"]), (&json!("claimed"), &json!(GABE.sub)));
    assert_eq!(get(&server, &format!("/merchant/devices/{id}"), &merchant).await.json(), shown, "both see the same");

    let refused = post(&server, &format!("{devices}/{id}/decommission"), &reseller).await;
    assert_eq!(refused.failure(403, "4003"), "Role does not allow this", "an operator may not");
    let administrator = token_with_session(&server, &issuer, NORA).await;
    assert_eq!(post(&server, &format!("{devices}/{id}/decommission"), &administrator).await.status, 200);
    server.stop().await;
}

async fn another_reseller_cannot_read_or_change_anything(issuer: Issuer) {
    let server = server(&issuer).await;
    let (north, south) =
        (token_with_session(&server, &issuer, NORA).await, token_with_session(&server, &issuer, SVEN).await);
    let devices = format!("/reseller/merchants/{GROCER}/devices");
    let made = server.call(Method::POST, &devices, &north, Some(&json!({}))).await.json();
    let id = made["device_id"].as_str().unwrap();

    let merchants = get(&server, "/reseller/merchants", &south).await.json();
    let seen: Vec<_> = merchants["items"].as_array().unwrap().iter().map(|one| one["merchant_id"].clone()).collect();
    assert_eq!(seen, [json!(BAKERY)]);
    let of_nobody = "00000000-0000-4000-8000-000000000000";
    for merchant in [GROCER.to_string(), of_nobody.to_owned()] {
        let devices = format!("/reseller/merchants/{merchant}/devices");
        let one = format!("{devices}/{id}");
        for (method, path, body) in [
            (Method::GET, format!("/reseller/merchants/{merchant}"), None),
            (Method::GET, devices.clone(), None),
            (Method::POST, devices, Some(json!({}))),
            (Method::GET, one.clone(), None),
            (Method::PATCH, one.clone(), Some(json!({"label": "Mine"}))),
            (Method::GET, format!("{one}/events"), None),
            (Method::POST, format!("{one}/decommission"), None),
            (Method::POST, format!("{one}/transfer"), Some(json!({"merchant_id": BAKERY}))),
        ] {
            let refused = server.call(method.clone(), &path, &south, body.as_ref()).await;
            assert_eq!(refused.failure(404, "4004"), "Merchant not found", "{method} {path}");
        }
    }
    let own = format!("/reseller/merchants/{BAKERY}/devices/{id}");
    assert_eq!(
        get(&server, &own, &south).await.failure(404, "4004"),
        "Device not found",
        "nor through its own merchant"
    );
    assert_eq!(get(&server, &format!("{devices}/{id}"), &north).await.json(), made, "nothing has changed");
    let listed = get(&server, &devices, &north).await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    server.stop().await;
}

async fn an_api_client_provisions_once_per_idempotency_key(issuer: Issuer) {
    let server = server(&issuer).await;
    let mut made = Vec::new();
    for (path, client) in [("/client/session", GROCER_API), ("/auth/token", BAKERY_API)] {
        let session = server.client_session_at(path, client, &client.secret()).await.json();
        let token = session["access_token"].as_str().expect("a token").to_owned();
        let create = async |token: &str, body: Value| {
            let request = server.request(Method::POST, "/merchant/devices").bearer_auth(token);
            send(request.header("Idempotency-Key", "delivery-7").json(&body)).await
        };
        let body = json!({"label": "Till 7"});
        let first = create(&token, body.clone()).await;
        assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (201, None), "{first:?}");
        let another_session = server.client_access_token(client).await;
        for token in [&token, &another_session] {
            let again = create(token, body.clone()).await;
            assert_eq!((again.status.as_u16(), &again.text), (201, &first.text));
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
        }
        let other = create(&token, json!({"label": "Till 8"})).await;
        assert_eq!(other.failure(400, "4220"), "Idempotency-Key was used for another request");
        let listed = get(&server, "/merchant/devices", &token).await.json();
        assert_eq!(listed["items"], json!([first.json()]), "one device, and no other merchant's");
        made.push(first.json()["device_id"].clone());
    }
    assert_ne!(made[0], made[1], "each party has its own keys");
    server.stop().await;
}

async fn a_resellers_api_client_provisions_for_its_merchants(issuer: Issuer) {
    let server = server(&issuer).await;
    let token = server.client_access_token(NORTH_API).await;
    for (merchant, status) in [(GROCER, 201), (CAFE, 201), (BAKERY, 404)] {
        let path = format!("/reseller/merchants/{merchant}/devices");
        let answer = server.call(Method::POST, &path, &token, Some(&json!({}))).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let refused = get(&server, "/merchant/devices", &token).await;
    assert_eq!(refused.failure(403, "4003"), "Session does not act for a merchant");
    let merchants = server.client_access_token(GROCER_API).await;
    let refused = get(&server, "/reseller/merchants", &merchants).await;
    assert_eq!(refused.failure(403, "4003"), "Session does not act for a reseller");
    server.stop().await;
}

async fn management_requires_a_session_and_a_sufficient_role(issuer: Issuer) {
    let server = server(&issuer).await;
    let (gina, nora) = (token(&issuer, GINA).await, token(&issuer, NORA).await);
    let devices = format!("/reseller/merchants/{GROCER}/devices");
    for (path, token) in [("/merchant/devices", &gina), (devices.as_str(), &nora)] {
        for (method, body) in [(Method::GET, None), (Method::POST, Some(json!({})))] {
            let refused = server.call(method, path, token, body.as_ref()).await;
            assert_eq!(refused.failure(401, "4001"), "Session has not been initiated", "{path}");
        }
    }
    let viewer = token_with_session(&server, &issuer, GWEN).await;
    let refused = server.call(Method::POST, "/merchant/devices", &viewer, Some(&json!({}))).await;
    assert_eq!(refused.failure(403, "4003"), "Role does not allow this");
    let listed = get(&server, "/merchant/devices", &viewer).await;
    assert_eq!(
        (listed.status.as_u16(), &listed.json()["items"]),
        (200, &json!([])),
        "a viewer may read, and nothing was created"
    );
    server.stop().await;
}
