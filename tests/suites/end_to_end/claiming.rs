//! Authorization of claims: which user or API client may claim which device.

use pos_tests::issuer::Issuer;
use pos_tests::users::{BAKERY, BAKERY_API, CAFE, CORA, GABE, GINA, GROCER, GROCER_API, GWEN, NORA, NORTH, NORTH_API};
use reqwest::Method;
use serde_json::json;

use super::{is_authorized, on_both, provision, server, token, token_with_session};

on_both!(
    a_user_logs_in_and_claims_a_device_of_their_merchant,
    an_api_client_claims_a_device_of_its_merchant,
    an_api_client_needs_its_secret_for_every_session,
    a_claim_requires_a_session,
    a_viewer_cannot_claim,
    a_session_of_a_reseller_cannot_claim,
    only_access_tokens_are_accepted,
    a_refreshed_token_belongs_to_the_same_session,
);

/// The whole pairing flow of a terminal, with a user's claim.
async fn a_user_logs_in_and_claims_a_device_of_their_merchant(issuer: Issuer) {
    let server = server(&issuer).await;
    let tokens = issuer.login(GINA).await;
    let initiated = server.initiate(&tokens.access).await;
    let body = initiated.json();
    assert_eq!((&body["status"], &body["user_id"]), (&json!("initiated"), &json!(GINA.sub)), "{initiated:?}");
    assert_eq!((&body["merchant"]["id"], &body["reseller"]["id"]), (&json!(GROCER), &json!(NORTH)));
    assert_eq!((&body["role"], &body["application"]), (&json!("admin"), &json!("merchant-portal")));

    let device = provision(&server, &tokens.access).await;
    assert_eq!(server.terminal(Method::POST, "/pos/bootstrap", &device).await.status, 200);
    let code = server.code(&device).await;
    let before = server.terminal(Method::GET, "/pos/status", &device).await.json();
    assert_eq!((&before["is_claimed"], &before["pairing_code_status"]), (&false.into(), &"pending".into()));

    let foreign = server.claim(&token_with_session(&server, &issuer, CORA).await, &code).await;
    assert_eq!(foreign.failure(403, "4003"), "Device does not belong to your merchant account");
    let claimed = server.claim(&tokens.access, &code).await;
    assert_eq!(claimed.status, 200, "{claimed:?}");
    let again = server.claim(&tokens.access, &code).await;
    assert_eq!(again.failure(400, "4220"), "Pairing code has already been used");
    let after = server.terminal(Method::GET, "/pos/status", &device).await.json();
    assert_eq!((&after["is_claimed"], &after["pairing_code_status"]), (&true.into(), &"used".into()));

    let others = server.claim_new_device(&tokens.access, CAFE).await;
    assert_eq!(others.failure(403, "4003"), "Device does not belong to your merchant account");
    server.stop().await;
}

async fn an_api_client_claims_a_device_of_its_merchant(issuer: Issuer) {
    let server = server(&issuer).await;
    for (client, own, other) in [(GROCER_API, GROCER, BAKERY), (BAKERY_API, BAKERY, GROCER)] {
        for path in ["/client/session", "/auth/token"] {
            let answer = server.client_session_at(path, client, &client.secret()).await;
            let body = answer.json();
            assert_eq!((answer.status.as_u16(), &body["merchant"]["id"]), (200, &json!(own)), "{path}");
            assert_eq!((&body["role"], &body["client_id"]), (&json!("operator"), &json!(client.client_id)));
            let token = body["access_token"].as_str().expect("a token");
            assert_eq!(server.claim_new_device(token, own).await.status, 200);
            assert_eq!(server.claim_new_device(token, other).await.status, 403);
        }
    }
    let wrong = server.client_session_at("/client/session", GROCER_API, "guessed").await;
    assert_eq!(wrong.failure(401, "4001"), "Client credentials are invalid");
    server.stop().await;
}

/// A token that an API client requests from the provider directly has no session, and cannot be used to initiate one.
async fn an_api_client_needs_its_secret_for_every_session(issuer: Issuer) {
    let server = server(&issuer).await;
    let tokens = issuer.client_token(GROCER_API, &GROCER_API.secret()).await.expect("a token");
    assert!(tokens.refresh.is_none(), "an API client requests a new token instead");
    assert!(!is_authorized(&server, &tokens.access).await);
    let refused = server.initiate(&tokens.access).await;
    let message = "User is not a member of the merchant or reseller that the access token names";
    assert_eq!(refused.failure(403, "4003"), message);
    let wrong = issuer.client_token(GROCER_API, "guessed").await.expect_err("refused");
    assert_eq!(wrong.status, 401);
    server.stop().await;
}

async fn a_claim_requires_a_session(issuer: Issuer) {
    let server = server(&issuer).await;
    let token = token(&issuer, GINA).await;
    let refused = server.claim_new_device(&token, GROCER).await;
    assert_eq!(refused.failure(401, "4001"), "Session has not been initiated");
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    assert_eq!(server.initiate(&token).await.status, 200);
    assert_eq!(server.claim_new_device(&token, GROCER).await.status, 200);
    server.stop().await;
}

async fn a_viewer_cannot_claim(issuer: Issuer) {
    let server = server(&issuer).await;
    let viewer = token_with_session(&server, &issuer, GWEN).await;
    let refused = server.claim_new_device(&viewer, GROCER).await;
    assert_eq!(refused.failure(403, "4003"), "Role does not allow this");
    let operator = token_with_session(&server, &issuer, GABE).await;
    assert_eq!(server.claim_new_device(&operator, GROCER).await.status, 200);
    server.stop().await;
}

async fn a_session_of_a_reseller_cannot_claim(issuer: Issuer) {
    let server = server(&issuer).await;
    for token in [token_with_session(&server, &issuer, NORA).await, server.client_access_token(NORTH_API).await] {
        let refused = server.claim_new_device(&token, GROCER).await;
        assert_eq!(refused.failure(403, "4003"), "Session does not act for a merchant");
    }
    server.stop().await;
}

async fn only_access_tokens_are_accepted(issuer: Issuer) {
    let server = server(&issuer).await;
    let tokens = issuer.login(GINA).await;
    assert_eq!(server.initiate(&tokens.access).await.status, 200);
    let tampered = tokens.access.replacen('.', ".e30", 1);
    for (name, token) in [
        ("ID token", tokens.id.expect("an ID token")),
        ("refresh token", tokens.refresh.expect("a refresh token")),
        ("tampered", tampered),
    ] {
        for refused in [server.initiate(&token).await, server.claim_new_device(&token, GROCER).await] {
            assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired", "{name}");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{name}");
        }
    }
    assert_eq!(server.claim_new_device(&tokens.access, GROCER).await.status, 200);
    server.stop().await;
}

async fn a_refreshed_token_belongs_to_the_same_session(issuer: Issuer) {
    let server = server(&issuer).await;
    let first = issuer.login(GINA).await;
    assert_eq!(server.initiate(&first.access).await.status, 200);
    let second = issuer.refresh(&first).await.expect("new tokens");
    assert_ne!(first.access, second.access);
    for token in [first.access, second.access] {
        assert_eq!(server.claim_new_device(&token, GROCER).await.status, 200);
    }
    let elsewhere = issuer.login(GINA).await;
    assert!(!is_authorized(&server, &elsewhere.access).await, "each log-in is its own session");
    server.stop().await;
}
