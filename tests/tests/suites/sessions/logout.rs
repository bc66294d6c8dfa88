//! What the identity provider ends.

use serde_json::{Value, json};

use super::world::{World, acts, initiate, log_out, on_both_engines};

async fn a_logged_out_session_is_over_and_stays_so(world: World) {
    let server = world.server();
    let (one, other) = (world.log_in("ann").await, world.log_in("ann").await);
    for tokens in [&one, &other] {
        initiate(&server, &tokens.access).await;
    }
    let answer = log_out(&server, &world.logout_token(&json!({"sub": "ann", "sid": one.session_id}))).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"status": "logged_out"})));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!acts(&server, &one.access).await);
    assert!(acts(&server, &other.access).await, "another session of the same user goes on");
    let refused = initiate(&server, &one.access).await;
    assert_eq!(refused.failure(401, "4001"), "Session was logged out");
    assert!(refused.header("www-authenticate").unwrap().contains("Session was logged out"));
    let again = log_out(&server, &world.logout_token(&json!({"sid": one.session_id}))).await;
    assert_eq!(again.status, 200, "twice is once");
    server.stop().await;
}

async fn a_logged_out_user_is_out_until_a_later_log_in(world: World) {
    let server = world.server();
    let (one, other) = (world.log_in("ann").await, world.log_in("ann").await);
    let eves = world.log_in("eve").await;
    for tokens in [&one, &other, &eves] {
        initiate(&server, &tokens.access).await;
    }
    world.advance(10);
    assert_eq!(log_out(&server, &world.logout_token(&json!({"sub": "ann"}))).await.status, 200);
    assert!(!acts(&server, &one.access).await && !acts(&server, &other.access).await);
    assert!(acts(&server, &eves.access).await);
    assert_eq!(initiate(&server, &one.access).await.failure(401, "4001"), "Session was logged out");
    world.advance(1);
    let later = world.log_in("ann").await;
    assert_eq!(initiate(&server, &later.access).await.status, 200);
    assert!(acts(&server, &later.access).await);
    server.stop().await;
}

async fn a_bad_logout_token_ends_nothing(world: World) {
    let server = world.server();
    let tokens = world.log_in("ann").await;
    initiate(&server, &tokens.access).await;
    let sid = json!({"sid": tokens.session_id});
    let with = |changes: Value| {
        let mut all = sid.clone();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        world.logout_token(&all)
    };
    let good = with(json!({}));
    let tampered = good.replacen('.', ".e30", 1);
    for (name, token) in [
        ("garbage", "garbage".to_owned()),
        ("an access token", tokens.access.clone()),
        ("a refresh token", tokens.refresh.clone()),
        ("tampered", tampered),
        ("another issuer", with(json!({"iss": "https://elsewhere.example"}))),
        ("another client's", with(json!({"aud": "somebody-else"}))),
        ("expired", with(json!({"exp": 1}))),
        ("no event", with(json!({"events": null}))),
        ("a nonce", with(json!({"nonce": "n"}))),
        ("nobody", with(json!({"sid": null}))),
    ] {
        let answer = log_out(&server, &token).await;
        assert_eq!(answer.failure(400, "4000"), "Logout token is invalid", "{name}");
    }
    assert!(acts(&server, &tokens.access).await);
    let as_access =
        server.claim(&with(json!({"aud": "pos-activation", "sub": "ann"})), &json!({"pairing_code": "ZZZZZZ"})).await;
    assert_eq!(as_access.failure(401, "4001"), "Access token is invalid or expired");
    assert_eq!(log_out(&server, &good).await.status, 200);
    assert!(!acts(&server, &tokens.access).await);
    server.stop().await;
}

on_both_engines!(
    a_logged_out_session_is_over_and_stays_so,
    a_logged_out_user_is_out_until_a_later_log_in,
    a_bad_logout_token_ends_nothing,
);
