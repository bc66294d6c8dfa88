//! Sessions of users: initiation, use, expiry and end.

use serde_json::json;

use super::fixture::{SessionFixture, end, has_session, initiate, on_both_engines, party_json, post};
use pos_application::test_support::RESELLER;
use pos_domain::shared::{Party, Role};
use pos_tests::server::{MERCHANT, OTHER_MERCHANT};

async fn a_session_is_initiated_used_and_ended(fixture: SessionFixture) {
    let server = fixture.server();
    let token = fixture.log_in("ann").await.access;
    assert!(!has_session(&server, &token).await);
    let answer = initiate(&server, &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = json!({
        "status": "initiated",
        "user_id": "ann",
        "merchant": party_json(MERCHANT, "Corner Shop"),
        "reseller": { "id": RESELLER.to_string(), "name": "Northern Terminals" },
        "role": "admin",
        "application": "merchant-portal",
        "channel": "web",
        "expires_at": "2026-01-02T13:04:05Z",
    });
    assert_eq!(answer.json(), expected);
    let id = server.device().await;
    let code = server.code(&id).await;
    let claimed = server.claim(&token, &json!({ "pairing_code": code })).await;
    assert_eq!(claimed.json(), json!({"status": "claimed", "device_id": id}));
    let ended = end(&server, &token).await;
    assert_eq!((ended.status.as_u16(), ended.json()), (200, json!({"status": "ended"})));
    assert!(!has_session(&server, &token).await);
    assert_eq!(end(&server, &token).await.status, 200, "ending again succeeds");
    let refused = initiate(&server, &token).await;
    assert_eq!(refused.failure(401, "4001"), "Session was ended", "its token starts no other session");
    let challenge = refused.header("www-authenticate").unwrap();
    assert_eq!(challenge, "Bearer error=\"invalid_token\", error_description=\"Session was ended\"");
    assert!(!has_session(&server, &token).await);
    let later = fixture.log_in("ann").await.access;
    assert_eq!(initiate(&server, &later).await.status, 200);
    assert!(has_session(&server, &later).await && !has_session(&server, &token).await);
    server.stop().await;
}

async fn a_session_belongs_to_the_provider_session_not_the_token(fixture: SessionFixture) {
    let server = fixture.server();
    let first = fixture.log_in("ann").await;
    initiate(&server, &first.access).await;
    fixture.advance(200);
    let second = fixture.refresh(&first).await;
    assert!(has_session(&server, &second.access).await, "a refreshed token continues the session");
    let other_log_in = fixture.log_in("ann").await;
    assert!(!has_session(&server, &other_log_in.access).await, "another log-in is another session");
    fixture.advance(150);
    let expired = server.claim(&first.access, &json!({"pairing_code": "ZZZZZZ"})).await;
    assert_eq!(expired.failure(401, "4001"), "Access token is invalid or expired");
    assert!(has_session(&server, &second.access).await, "the refreshed token is still valid");
    server.stop().await;
}

async fn a_session_expires_on_time(fixture: SessionFixture) {
    let server = fixture.server();
    let expiry_of = |answer: &pos_tests::server::Answer| answer.json()["expires_at"].as_str().unwrap().to_owned();
    let long_lived = |sid: &str| {
        let exp = fixture.unix_seconds() + 90_000;
        fixture.mint(&json!({"sid": sid, "exp": exp}))
    };
    let token = long_lived("1");
    initiate(&server, &token).await;
    fixture.advance(35_999);
    assert!(has_session(&server, &token).await);
    fixture.advance(1);
    assert!(!has_session(&server, &token).await, "the session expires at that very instant");
    let renewed = initiate(&server, &token).await;
    assert_eq!(expiry_of(&renewed), "2026-01-02T23:04:05Z");
    fixture.advance(100);
    assert_eq!(expiry_of(&initiate(&server, &token).await), "2026-01-02T23:05:45Z", "initiating again renews");
    let without_session_id = fixture.mint(&json!({"jti": "t-1"}));
    let answer = initiate(&server, &without_session_id).await;
    assert_eq!(
        expiry_of(&answer),
        "2026-01-02T13:10:45Z",
        "without a provider session, the session expires with the token"
    );
    assert!(has_session(&server, &without_session_id).await);
    fixture.advance(301);
    assert!(
        !has_session(&server, &without_session_id).await,
        "within the leeway the token is valid and its session expired"
    );
    let without_ids = fixture.mint(&json!({"sub": "modest"}));
    assert_eq!(initiate(&server, &without_ids).await.status, 200);
    assert!(has_session(&server, &without_ids).await);
    assert!(!has_session(&server, &fixture.mint(&json!({"sub": "modest", "scope": "other"}))).await);
    server.stop().await;
}

async fn a_token_without_a_session_is_rejected(fixture: SessionFixture) {
    let server = fixture.server();
    let id = server.device().await;
    let claim = json!({ "pairing_code": server.code(&id).await });
    for user in ["ann", "vic", "stranger", "lost", "rob"] {
        let token = fixture.log_in(user).await.access;
        assert_eq!(server.claim(&token, &claim).await.failure(401, "4001"), "Session has not been initiated", "{user}");
    }
    let ann = fixture.log_in("ann").await.access;
    assert_eq!(initiate(&server, &ann).await.status, 200);
    assert_eq!(server.claim(&ann, &claim).await.status, 200);
    server.stop().await;
}

async fn the_merchant_of_the_session_applies(fixture: SessionFixture) {
    fixture.app.add_member("ann", Party::Merchant(OTHER_MERCHANT), Role::Admin).await;
    let server = fixture.server();
    let id = server.device().await;
    let code = server.code(&id).await;
    let other = fixture.mint(&json!({"sid": "1", "merchant_id": OTHER_MERCHANT.to_string()}));
    assert_eq!(initiate(&server, &other).await.json()["merchant"], party_json(OTHER_MERCHANT, "Other Shop"));
    let own_merchant = fixture.mint(&json!({"sid": "1"}));
    let refused = server.claim(&own_merchant, &json!({ "pairing_code": code })).await;
    assert_eq!(refused.failure(403, "4003"), "Device does not belong to your merchant account");
    assert_eq!(initiate(&server, &own_merchant).await.json()["merchant"], party_json(MERCHANT, "Corner Shop"));
    assert_eq!(server.claim(&own_merchant, &json!({ "pairing_code": code })).await.status, 200);
    server.stop().await;
}

async fn a_session_is_valid_for_its_own_user_only(fixture: SessionFixture) {
    let server = fixture.server();
    initiate(&server, &fixture.mint(&json!({"sid": "1"}))).await;
    assert!(has_session(&server, &fixture.mint(&json!({"sid": "1"}))).await);
    assert!(!has_session(&server, &fixture.mint(&json!({"sid": "1", "sub": "modest"}))).await);
    server.stop().await;
}

async fn the_host_selects_the_application(fixture: SessionFixture) {
    let server = fixture.server();
    let token = fixture.log_in("rob").await.access;
    for host in ["reseller.viopay.io", "Reseller.VioPay.io", " reseller.viopay.io "] {
        let answer = post(&server, "/session/initiate", &token, &json!({ "host": host })).await.json();
        assert_eq!((&answer["application"], &answer["channel"]), (&json!("reseller-portal"), &json!("web")), "{host}");
        assert_eq!(answer["reseller"]["name"], "Northern Terminals");
        assert_eq!(answer.get("merchant"), None);
    }
    let other = fixture.log_in("eve").await.access;
    assert_eq!(initiate(&server, &other).await.json().get("reseller"), None, "a merchant without a reseller");
    server.stop().await;
}

on_both_engines!(
    a_session_is_initiated_used_and_ended,
    a_session_belongs_to_the_provider_session_not_the_token,
    a_session_expires_on_time,
    a_token_without_a_session_is_rejected,
    the_merchant_of_the_session_applies,
    a_session_is_valid_for_its_own_user_only,
    the_host_selects_the_application,
);
