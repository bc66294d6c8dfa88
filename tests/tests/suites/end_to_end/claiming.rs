//! Who may claim which device.

use pos_tests::issuer::Issuer;
use pos_tests::people::{BAKERY, BAKERY_API, CAFE, CORA, GINA, GROCER, GROCER_API, NORA, NORTH_API};
use reqwest::Method;

use super::{on_both, server, token};

on_both!(
    a_person_logs_in_and_claims_a_device_of_their_merchant,
    a_machine_claims_a_device_of_its_merchant,
    who_acts_for_no_merchant_claims_nothing,
    only_access_tokens_open_the_door,
    a_refreshed_token_is_as_good_as_the_first,
);

/// The terminal's whole flow, with the claim of a person between.
async fn a_person_logs_in_and_claims_a_device_of_their_merchant(issuer: Issuer) {
    let server = server(&issuer).await;
    let tokens = issuer.login(GINA).await;
    let device = server.device(GROCER).await;
    assert_eq!(server.terminal(Method::POST, "/pos/bootstrap", &device).await.status, 200);
    let code = server.code(&device).await;
    let before = server.terminal(Method::GET, "/pos/status", &device).await.json();
    assert_eq!((&before["is_claimed"], &before["pairing_code_status"]), (&false.into(), &"pending".into()));

    let stranger = server.claim(&token(&issuer, CORA).await, &code).await;
    assert_eq!(stranger.failure(403, "4003"), "Device does not belong to your merchant account");
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

async fn a_machine_claims_a_device_of_its_merchant(issuer: Issuer) {
    let server = server(&issuer).await;
    for (client, own, other) in [(GROCER_API, GROCER, BAKERY), (BAKERY_API, BAKERY, GROCER)] {
        let tokens = issuer.client_token(client, &client.secret()).await.expect("a token");
        assert!(tokens.refresh.is_none(), "a machine asks again instead");
        assert_eq!(server.claim_new_device(&tokens.access, own).await.status, 200);
        assert_eq!(server.claim_new_device(&tokens.access, other).await.status, 403);
    }
    let guessed = issuer.client_token(GROCER_API, "guessed").await.expect_err("refused");
    assert_eq!(guessed.status, 401);
    server.stop().await;
}

async fn who_acts_for_no_merchant_claims_nothing(issuer: Issuer) {
    let server = server(&issuer).await;
    let machine = issuer.client_token(NORTH_API, &NORTH_API.secret()).await.expect("a token");
    for token in [token(&issuer, NORA).await, machine.access] {
        let refused = server.claim_new_device(&token, GROCER).await;
        assert_eq!(refused.failure(403, "4003"), "Access token does not name a merchant");
    }
    server.stop().await;
}

async fn only_access_tokens_open_the_door(issuer: Issuer) {
    let server = server(&issuer).await;
    let tokens = issuer.login(GINA).await;
    let tampered = tokens.access.replacen('.', ".e30", 1);
    for (name, token) in [
        ("ID token", tokens.id.expect("an ID token")),
        ("refresh token", tokens.refresh.expect("a refresh token")),
        ("tampered", tampered),
    ] {
        let refused = server.claim_new_device(&token, GROCER).await;
        assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired", "{name}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{name}");
    }
    assert_eq!(server.claim_new_device(&tokens.access, GROCER).await.status, 200);
    server.stop().await;
}

async fn a_refreshed_token_is_as_good_as_the_first(issuer: Issuer) {
    let server = server(&issuer).await;
    let first = issuer.login(GINA).await;
    let second = issuer.refresh(&first).await.expect("new tokens");
    assert_ne!(first.access, second.access);
    for token in [first.access, second.access] {
        assert_eq!(server.claim_new_device(&token, GROCER).await.status, 200);
    }
    server.stop().await;
}
