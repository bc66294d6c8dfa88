//! Back-channel logout by the identity provider.

use serde_json::{Value, json};

use super::fixture::{SessionFixture, has_session, initiate, log_out, on_both_engines};

async fn a_logged_out_session_stays_ended(fixture: SessionFixture) {
    let server = fixture.server();
    let (one, other) = (fixture.log_in("ann").await, fixture.log_in("ann").await);
    for tokens in [&one, &other] {
        initiate(&server, &tokens.access).await;
    }
    let answer = log_out(&server, &fixture.logout_token(&json!({"sub": "ann", "sid": one.session_id}))).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"status": "logged_out"})));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!has_session(&server, &one.access).await);
    assert!(has_session(&server, &other.access).await, "another session of the same user stays");
    let refused = initiate(&server, &one.access).await;
    assert_eq!(refused.failure(401, "4001"), "Session was logged out");
    assert!(refused.header("www-authenticate").unwrap().contains("Session was logged out"));
    let again = log_out(&server, &fixture.logout_token(&json!({"sid": one.session_id}))).await;
    assert_eq!(again.status, 200, "a repeated logout succeeds");
    server.stop().await;
}

async fn a_logged_out_user_needs_a_later_log_in(fixture: SessionFixture) {
    let server = fixture.server();
    let (one, other) = (fixture.log_in("ann").await, fixture.log_in("ann").await);
    let eves = fixture.log_in("eve").await;
    for tokens in [&one, &other, &eves] {
        initiate(&server, &tokens.access).await;
    }
    fixture.advance(10);
    assert_eq!(log_out(&server, &fixture.logout_token(&json!({"sub": "ann"}))).await.status, 200);
    assert!(!has_session(&server, &one.access).await && !has_session(&server, &other.access).await);
    assert!(has_session(&server, &eves.access).await);
    assert_eq!(initiate(&server, &one.access).await.failure(401, "4001"), "Session was logged out");
    fixture.advance(1);
    let later = fixture.log_in("ann").await;
    assert_eq!(initiate(&server, &later.access).await.status, 200);
    assert!(has_session(&server, &later.access).await);
    server.stop().await;
}

async fn a_bad_logout_token_ends_nothing(fixture: SessionFixture) {
    let server = fixture.server();
    let tokens = fixture.log_in("ann").await;
    initiate(&server, &tokens.access).await;
    let sid = json!({"sid": tokens.session_id});
    let with = |changes: Value| {
        let mut all = sid.clone();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        fixture.logout_token(&all)
    };
    let good = with(json!({}));
    let tampered = good.replacen('.', ".e30", 1);
    for (name, token) in [
        ("garbage", "garbage".to_owned()),
        ("an access token", tokens.access.clone()),
        ("a refresh token", tokens.refresh.clone()),
        ("tampered", tampered),
        ("another issuer", with(json!({"iss": "https://elsewhere.example"}))),
        ("another client", with(json!({"aud": "somebody-else"}))),
        ("expired", with(json!({"exp": 1}))),
        ("no event", with(json!({"events": null}))),
        ("a nonce", with(json!({"nonce": "n"}))),
        ("neither user nor session", with(json!({"sid": null}))),
    ] {
        let answer = log_out(&server, &token).await;
        assert_eq!(answer.failure(400, "4000"), "Logout token is invalid", "{name}");
    }
    assert!(has_session(&server, &tokens.access).await);
    let as_access =
        server.claim(&with(json!({"aud": "pos-activation", "sub": "ann"})), &json!({"pairing_code": "ZZZZZZ"})).await;
    assert_eq!(as_access.failure(401, "4001"), "Access token is invalid or expired");
    assert_eq!(log_out(&server, &good).await.status, 200);
    assert!(!has_session(&server, &tokens.access).await);
    server.stop().await;
}

on_both_engines!(
    a_logged_out_session_stays_ended,
    a_logged_out_user_needs_a_later_log_in,
    a_bad_logout_token_ends_nothing,
);
