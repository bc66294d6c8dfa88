//! Who gets a session, and what its role allows.

use pos_domain::{Party, Role};
use pos_tests::server::MERCHANT;
use serde_json::json;

use super::world::{World, acts, initiate, on_both_engines};

async fn the_lesser_role_counts(world: World) {
    let server = world.server();
    for (user, role) in [("ann", "admin"), ("vic", "viewer"), ("modest", "operator"), ("branch", "operator")] {
        let answer = initiate(&server, &world.log_in(user).await.access).await;
        assert_eq!(answer.json()["role"], role, "{user}: {answer:?}");
    }
    server.stop().await;
}

async fn who_is_no_member_gets_no_session(world: World) {
    let server = world.server();
    let no_member = "User is not a member of the merchant or reseller that the access token names";
    for (user, message) in [
        ("stranger", no_member),
        ("misled", no_member),
        ("roleless", "Access token names no role for the merchant or reseller"),
        ("lost", "Access token names neither a merchant nor a reseller"),
    ] {
        let token = world.log_in(user).await.access;
        assert_eq!(initiate(&server, &token).await.failure(403, "4003"), message, "{user}");
        assert!(!acts(&server, &token).await, "{user}");
    }
    let ids_of_one_kind = world.mint(&json!({"sub": "ann", "merchant_id": null, "reseller_id": MERCHANT.to_string()}));
    assert_eq!(initiate(&server, &ids_of_one_kind).await.failure(403, "4003"), no_member);
    server.stop().await;
}

async fn a_viewer_and_a_reseller_may_not_claim(world: World) {
    let server = world.server();
    let id = server.device().await;
    let code = json!({ "pairing_code": server.code(&id).await });
    for (user, message) in [("vic", "Role does not allow this"), ("rob", "Session does not act for a merchant")] {
        let token = world.log_in(user).await.access;
        assert_eq!(initiate(&server, &token).await.status, 200);
        assert_eq!(server.claim(&token, &code).await.failure(403, "4003"), message);
    }
    let modest = world.log_in("modest").await.access;
    initiate(&server, &modest).await;
    assert_eq!(server.claim(&modest, &code).await.status, 200, "an operator may");
    server.stop().await;
}

async fn a_token_that_gives_less_by_now_counts(world: World) {
    let server = world.server();
    initiate(&server, &world.mint(&json!({"sid": "1"}))).await;
    let viewers = world.mint(&json!({"sid": "1", "roles": "merchant-viewer"}));
    let refused = server.claim(&viewers, &json!({"pairing_code": "ZZZZZZ"})).await;
    assert_eq!(refused.failure(403, "4003"), "Role does not allow this");
    assert!(!acts(&server, &world.mint(&json!({"sid": "1", "roles": []}))).await);
    assert!(acts(&server, &world.mint(&json!({"sid": "1", "roles": "merchant-operator"}))).await);
    server.stop().await;
}

async fn another_role_ends_the_session(world: World) {
    let server = world.server();
    let token = world.log_in("ann").await.access;
    initiate(&server, &token).await;
    world.member("ann", Party::Merchant(MERCHANT), Role::Admin).await;
    assert!(acts(&server, &token).await, "the same role again changes nothing");
    world.member("ann", Party::Merchant(MERCHANT), Role::Operator).await;
    assert!(!acts(&server, &token).await);
    assert_eq!(initiate(&server, &token).await.json()["role"], "operator");
    server.stop().await;
}

on_both_engines!(
    the_lesser_role_counts,
    who_is_no_member_gets_no_session,
    a_viewer_and_a_reseller_may_not_claim,
    a_token_that_gives_less_by_now_counts,
    another_role_ends_the_session,
);
