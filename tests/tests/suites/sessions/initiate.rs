//! Initiating a session, acting in it, and ending it.

use serde_json::json;

use super::world::{RESELLER, World, acts, end, initiate, on_both_engines, post, shown};
use pos_domain::{Party, Role};
use pos_tests::server::{MERCHANT, OTHER_MERCHANT};

async fn a_session_is_initiated_used_and_ended(world: World) {
    let server = world.server();
    let token = world.log_in("ann").await.access;
    assert!(!acts(&server, &token).await);
    let answer = initiate(&server, &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let wanted = json!({
        "status": "initiated",
        "user_id": "ann",
        "merchant": shown(MERCHANT, "Corner Shop"),
        "reseller": { "id": RESELLER.to_string(), "name": "Northern Terminals" },
        "role": "admin",
        "application": "merchant-portal",
        "channel": "web",
        "expires_at": "2026-01-02T13:04:05Z",
    });
    assert_eq!(answer.json(), wanted);
    let id = server.device().await;
    let code = server.code(&id).await;
    let claimed = server.claim(&token, &json!({ "pairing_code": code })).await;
    assert_eq!(claimed.json(), json!({"status": "claimed", "device_id": id}));
    let ended = end(&server, &token).await;
    assert_eq!((ended.status.as_u16(), ended.json()), (200, json!({"status": "ended"})));
    assert!(!acts(&server, &token).await);
    assert_eq!(end(&server, &token).await.status, 200, "ending twice is ending");
    let refused = initiate(&server, &token).await;
    assert_eq!(refused.failure(401, "4001"), "Session was ended", "nor does its token begin another");
    let challenge = refused.header("www-authenticate").unwrap();
    assert_eq!(challenge, "Bearer error=\"invalid_token\", error_description=\"Session was ended\"");
    assert!(!acts(&server, &token).await);
    let later = world.log_in("ann").await.access;
    assert_eq!(initiate(&server, &later).await.status, 200);
    assert!(acts(&server, &later).await && !acts(&server, &token).await);
    server.stop().await;
}

async fn a_session_is_the_providers_and_not_the_tokens(world: World) {
    let server = world.server();
    let first = world.log_in("ann").await;
    initiate(&server, &first.access).await;
    world.advance(200);
    let second = world.refreshed(&first).await;
    assert!(acts(&server, &second.access).await, "a refreshed token goes on with the session");
    let elsewhere = world.log_in("ann").await;
    assert!(!acts(&server, &elsewhere.access).await, "another log-in is another session");
    world.advance(150);
    let expired = server.claim(&first.access, &json!({"pairing_code": "ZZZZZZ"})).await;
    assert_eq!(expired.failure(401, "4001"), "Access token is invalid or expired");
    assert!(acts(&server, &second.access).await, "but the second token holds");
    server.stop().await;
}

async fn a_session_lasts_as_long_as_it_may(world: World) {
    let server = world.server();
    let end_of = |answer: &pos_tests::server::Answer| answer.json()["expires_at"].as_str().unwrap().to_owned();
    let long = |sid: &str| {
        let exp = world.clock_seconds() + 90_000;
        world.mint(&json!({"sid": sid, "exp": exp}))
    };
    let token = long("1");
    initiate(&server, &token).await;
    world.advance(35_999);
    assert!(acts(&server, &token).await);
    world.advance(1);
    assert!(!acts(&server, &token).await, "over at the very instant");
    let renewed = initiate(&server, &token).await;
    assert_eq!(end_of(&renewed), "2026-01-02T23:04:05Z");
    world.advance(100);
    assert_eq!(end_of(&initiate(&server, &token).await), "2026-01-02T23:05:45Z", "initiating again renews");
    let alone = world.mint(&json!({"jti": "t-1"}));
    let answer = initiate(&server, &alone).await;
    assert_eq!(end_of(&answer), "2026-01-02T13:10:45Z", "a token of no session takes its session with it");
    assert!(acts(&server, &alone).await);
    world.advance(301);
    assert!(!acts(&server, &alone).await, "within the leeway the token holds, and its session does not");
    let nameless = world.mint(&json!({"sub": "modest"}));
    assert_eq!(initiate(&server, &nameless).await.status, 200);
    assert!(acts(&server, &nameless).await);
    assert!(!acts(&server, &world.mint(&json!({"sub": "modest", "scope": "other"}))).await);
    server.stop().await;
}

async fn a_token_without_a_session_acts_for_nobody(world: World) {
    let server = world.server();
    let id = server.device().await;
    let claim = json!({ "pairing_code": server.code(&id).await });
    for user in ["ann", "vic", "stranger", "lost", "rob"] {
        let token = world.log_in(user).await.access;
        assert_eq!(server.claim(&token, &claim).await.failure(401, "4001"), "Session has not been initiated", "{user}");
    }
    let ann = world.log_in("ann").await.access;
    assert_eq!(initiate(&server, &ann).await.status, 200);
    assert_eq!(server.claim(&ann, &claim).await.status, 200);
    server.stop().await;
}

async fn the_sessions_merchant_counts(world: World) {
    world.member("ann", Party::Merchant(OTHER_MERCHANT), Role::Admin).await;
    let server = world.server();
    let id = server.device().await;
    let code = server.code(&id).await;
    let other = world.mint(&json!({"sid": "1", "merchant_id": OTHER_MERCHANT.to_string()}));
    assert_eq!(initiate(&server, &other).await.json()["merchant"], shown(OTHER_MERCHANT, "Other Shop"));
    let own = world.mint(&json!({"sid": "1"}));
    let refused = server.claim(&own, &json!({ "pairing_code": code })).await;
    assert_eq!(refused.failure(403, "4003"), "Device does not belong to your merchant account");
    assert_eq!(initiate(&server, &own).await.json()["merchant"], shown(MERCHANT, "Corner Shop"));
    assert_eq!(server.claim(&own, &json!({ "pairing_code": code })).await.status, 200);
    server.stop().await;
}

async fn a_session_is_its_users(world: World) {
    let server = world.server();
    initiate(&server, &world.mint(&json!({"sid": "1"}))).await;
    assert!(acts(&server, &world.mint(&json!({"sid": "1"}))).await);
    assert!(!acts(&server, &world.mint(&json!({"sid": "1", "sub": "modest"}))).await);
    server.stop().await;
}

async fn the_host_says_which_application(world: World) {
    let server = world.server();
    let token = world.log_in("rob").await.access;
    for host in ["reseller.viopay.io", "Reseller.VioPay.io", " reseller.viopay.io "] {
        let answer = post(&server, "/session/initiate", &token, &json!({ "host": host })).await.json();
        assert_eq!((&answer["application"], &answer["channel"]), (&json!("reseller-portal"), &json!("web")), "{host}");
        assert_eq!(answer["reseller"]["name"], "Northern Terminals");
        assert_eq!(answer.get("merchant"), None);
    }
    let other = world.log_in("eve").await.access;
    assert_eq!(initiate(&server, &other).await.json().get("reseller"), None, "a merchant of nobody's");
    server.stop().await;
}

impl World {
    fn clock_seconds(&self) -> i64 {
        use pos_port_clock::Clock as _;
        self.clock.now().unix_timestamp()
    }
}

on_both_engines!(
    a_session_is_initiated_used_and_ended,
    a_session_is_the_providers_and_not_the_tokens,
    a_session_lasts_as_long_as_it_may,
    a_token_without_a_session_acts_for_nobody,
    the_sessions_merchant_counts,
    a_session_is_its_users,
    the_host_says_which_application,
);
