//! Tests that need a real Keycloak, and checks of its realm files.

use pos_tests::issuer::Issuer;
use pos_tests::keycloak::Keycloak;
use pos_tests::users::{API_CLIENTS, GROCER, USERS, realm_file};
use serde_json::Value;

use super::server;

/// One Keycloak signs the tokens of all its realms, with different keys for each realm.
#[tokio::test]
async fn a_token_of_another_realm_is_refused() {
    let Some(keycloak) = Keycloak::shared().await else { return };
    let token = keycloak.admin_token().await;
    drop(keycloak);
    let Some(issuer) = Issuer::keycloak().await else { return };
    let server = server(&issuer).await;
    let refused = server.claim_new_device(&token, GROCER).await;
    assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired");
    server.stop().await;
}

/// The realm file for operators contains no user, no secret and no client with direct access grants.
#[test]
fn the_operators_realm_has_no_credentials() {
    let realm = realm_file("realm.json");
    assert_eq!(realm["users"], Value::Null);
    let clients = realm["clients"].as_array().unwrap();
    let names: Vec<_> = clients.iter().map(|client| client["clientId"].as_str().unwrap()).collect();
    assert_eq!(names, ["pos-activation", "portal"]);
    for client in clients {
        assert!(client["secret"].is_null(), "{client}");
        assert_eq!(
            (&client["directAccessGrantsEnabled"], &client["serviceAccountsEnabled"]),
            (&false.into(), &false.into())
        );
    }
    let portal = &clients[1];
    assert_eq!(portal["attributes"]["pkce.code.challenge.method"], "S256");
    assert!(portal["redirectUris"].as_array().unwrap().iter().all(|uri| !uri.as_str().unwrap().contains('*')));
}

/// The users of the file and of the test kit are the same, and each client with direct access grants is marked as for tests.
#[test]
fn the_example_users_match_the_test_kit() {
    let file = realm_file("example-people.json");
    let users = file["users"].as_array().unwrap();
    let (accounts, humans): (Vec<_>, Vec<_>) = users.iter().partition(|user| !user["serviceAccountClientId"].is_null());
    let names: Vec<_> = humans.iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!(names, USERS.map(|user| user.name));
    for (entry, user) in humans.iter().zip(USERS) {
        let (claim, id) = user.tenant.claim();
        assert_eq!(entry["attributes"][claim][0], id.to_string(), "{entry}");
        assert_eq!(entry["id"], user.sub.to_string());
    }
    let names: Vec<_> = accounts.iter().map(|user| user["serviceAccountClientId"].as_str().unwrap()).collect();
    assert_eq!(names, API_CLIENTS.map(|client| client.client_id));
    for client in file["clients"].as_array().unwrap() {
        let takes_passwords = client["directAccessGrantsEnabled"] == true;
        let is_marked = client["description"].as_str().is_some_and(|text| text.starts_with("FOR TESTS ONLY"));
        assert_eq!(takes_passwords, is_marked, "{client}");
    }
}
