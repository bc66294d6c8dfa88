//! What the tokens say of everybody: the claims that `docs/keycloak.md` promises the server.

use pos_tests::issuer::{Issuer, TEST_LOGIN, claims};
use pos_tests::people::{API_CLIENTS, AUDIENCE, PEOPLE, Tenant};
use serde_json::{Value, json};

use super::on_both;

on_both!(every_token_names_its_tenant_and_roles, the_session_is_named_and_stays_the_same);

fn assert_speaks_for(claims: &Value, tenant: Tenant, role: &str, issuer: &Issuer) {
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
    for person in PEOPLE {
        let tokens = issuer.token(person, TEST_LOGIN).await.expect("a token");
        let claims = claims(&tokens.access);
        assert_speaks_for(&claims, person.tenant, person.role, &issuer);
        assert_eq!((&claims["sub"], &claims["preferred_username"]), (&json!(person.sub), &json!(person.name)));
    }
    for client in API_CLIENTS {
        let tokens = issuer.client_token(client, &client.secret()).await.expect("a token");
        let claims = claims(&tokens.access);
        assert_speaks_for(&claims, client.tenant, client.role, &issuer);
        assert_eq!((&claims["azp"], &claims["client_id"]), (&json!(client.client_id), &json!(client.client_id)));
        assert!(claims["sid"].is_null(), "a machine has no session: {claims}");
    }
}

/// A session on our side ends with `sid`, so that claim must be in every token of a person and outlive a refresh.
async fn the_session_is_named_and_stays_the_same(issuer: Issuer) {
    let first = issuer.login(PEOPLE[0]).await;
    let refreshed = issuer.refresh(&first).await.expect("new tokens");
    let other = issuer.login(PEOPLE[0]).await;
    let [first, refreshed, other] =
        [first, refreshed, other].map(|tokens| claims(&tokens.access)["sid"].as_str().map(str::to_owned));
    assert!(first.is_some());
    assert_eq!(first, refreshed);
    assert_ne!(first, other);
}
