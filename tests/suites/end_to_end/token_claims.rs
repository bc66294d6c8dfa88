//! Claims of the users' and API clients' tokens, as `docs/keycloak.md` describes them.

use pos_tests::issuer::{Issuer, TEST_LOGIN, claims};
use pos_tests::users::{API_CLIENTS, AUDIENCE, Tenant, USERS};
use serde_json::{Value, json};

use super::on_both;

on_both!(every_token_names_its_tenant_and_roles, the_sid_is_in_every_token_and_survives_a_refresh);

fn assert_claims(claims: &Value, tenant: Tenant, role: &str, issuer: &Issuer) {
    let (claim, id) = tenant.claim();
    assert_eq!(claims[claim], json!(id), "{claims}");
    let other = if claim == "merchant_id" { "reseller_id" } else { "merchant_id" };
    assert!(claims[other].is_null(), "{claims}");
    assert_eq!(claims["roles"], json!([role]), "{claims}");
    assert_eq!((&claims["iss"], &claims["typ"]), (&json!(issuer.url), &json!("Bearer")), "{claims}");
    let audiences = claims["aud"].as_array().cloned().unwrap_or_else(|| vec![claims["aud"].clone()]);
    assert!(audiences.contains(&json!(AUDIENCE)), "{claims}");
    let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
    assert_eq!(lifetime, Some(300), "{claims}");
}

async fn every_token_names_its_tenant_and_roles(issuer: Issuer) {
    for user in USERS {
        let tokens = issuer.token(user, TEST_LOGIN).await.expect("a token");
        let claims = claims(&tokens.access);
        assert_claims(&claims, user.tenant, user.role, &issuer);
        assert_eq!((&claims["sub"], &claims["preferred_username"]), (&json!(user.sub), &json!(user.name)));
    }
    for client in API_CLIENTS {
        let tokens = issuer.client_token(client, &client.secret()).await.expect("a token");
        let claims = claims(&tokens.access);
        assert_claims(&claims, client.tenant, client.role, &issuer);
        assert_eq!((&claims["azp"], &claims["client_id"]), (&json!(client.client_id), &json!(client.client_id)));
        assert!(claims["sid"].is_null(), "an API client has no session at the provider: {claims}");
    }
}

/// Back-channel logout ends a session by its `sid`, so every token of a user must carry it, and a refresh must keep it.
async fn the_sid_is_in_every_token_and_survives_a_refresh(issuer: Issuer) {
    let first = issuer.login(USERS[0]).await;
    let refreshed = issuer.refresh(&first).await.expect("new tokens");
    let other = issuer.login(USERS[0]).await;
    let [first, refreshed, other] =
        [first, refreshed, other].map(|tokens| claims(&tokens.access)["sid"].as_str().map(str::to_owned));
    assert!(first.is_some());
    assert_eq!(first, refreshed);
    assert_ne!(first, other);
}
