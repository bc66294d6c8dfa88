//! Roles: which users get a session, and what the role allows.

use pos_domain::shared::{Party, Role};
use pos_tests::server::MERCHANT;
use serde_json::json;

use super::fixture::{SessionFixture, has_session, initiate, on_both_engines};

async fn the_lower_role_applies(fixture: SessionFixture) {
    let server = fixture.server();
    for (user, role) in [("ann", "admin"), ("vic", "viewer"), ("modest", "operator"), ("branch", "operator")] {
        let answer = initiate(&server, &fixture.log_in(user).await.access).await;
        assert_eq!(answer.json()["role"], role, "{user}: {answer:?}");
    }
    server.stop().await;
}

async fn a_non_member_gets_no_session(fixture: SessionFixture) {
    let server = fixture.server();
    let no_member = "User is not a member of the merchant or reseller that the access token names";
    for (user, message) in [
        ("stranger", no_member),
        ("misled", no_member),
        ("roleless", "Access token names no role for the merchant or reseller"),
        ("lost", "Access token names neither a merchant nor a reseller"),
    ] {
        let token = fixture.log_in(user).await.access;
        assert_eq!(initiate(&server, &token).await.failure(403, "4003"), message, "{user}");
        assert!(!has_session(&server, &token).await, "{user}");
    }
    let ids_of_one_kind =
        fixture.mint(&json!({"sub": "ann", "merchant_id": null, "reseller_id": MERCHANT.to_string()}));
    assert_eq!(initiate(&server, &ids_of_one_kind).await.failure(403, "4003"), no_member);
    server.stop().await;
}

async fn a_viewer_and_a_reseller_may_not_claim(fixture: SessionFixture) {
    let server = fixture.server();
    let id = server.device().await;
    let code = json!({ "pairing_code": server.code(&id).await });
    for (user, message) in [("vic", "Role does not allow this"), ("rob", "Session does not act for a merchant")] {
        let token = fixture.log_in(user).await.access;
        assert_eq!(initiate(&server, &token).await.status, 200);
        assert_eq!(server.claim(&token, &code).await.failure(403, "4003"), message);
    }
    let modest = fixture.log_in("modest").await.access;
    initiate(&server, &modest).await;
    assert_eq!(server.claim(&modest, &code).await.status, 200, "an operator may");
    server.stop().await;
}

async fn a_token_with_a_lower_role_applies(fixture: SessionFixture) {
    let server = fixture.server();
    initiate(&server, &fixture.mint(&json!({"sid": "1"}))).await;
    let viewers = fixture.mint(&json!({"sid": "1", "roles": "merchant-viewer"}));
    let refused = server.claim(&viewers, &json!({"pairing_code": "ZZZZZZ"})).await;
    assert_eq!(refused.failure(403, "4003"), "Role does not allow this");
    assert!(!has_session(&server, &fixture.mint(&json!({"sid": "1", "roles": []}))).await);
    assert!(has_session(&server, &fixture.mint(&json!({"sid": "1", "roles": "merchant-operator"}))).await);
    server.stop().await;
}

async fn a_role_change_ends_the_session(fixture: SessionFixture) {
    let server = fixture.server();
    let token = fixture.log_in("ann").await.access;
    initiate(&server, &token).await;
    fixture.app.add_member("ann", Party::Merchant(MERCHANT), Role::Admin).await;
    assert!(has_session(&server, &token).await, "the same role again changes nothing");
    fixture.app.add_member("ann", Party::Merchant(MERCHANT), Role::Operator).await;
    assert!(!has_session(&server, &token).await);
    assert_eq!(initiate(&server, &token).await.json()["role"], "operator");
    server.stop().await;
}

on_both_engines!(
    the_lower_role_applies,
    a_non_member_gets_no_session,
    a_viewer_and_a_reseller_may_not_claim,
    a_token_with_a_lower_role_applies,
    a_role_change_ends_the_session,
);
