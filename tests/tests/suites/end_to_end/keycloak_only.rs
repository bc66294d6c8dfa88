//! What only a real Keycloak can show.

use pos_tests::issuer::Issuer;
use pos_tests::keycloak::Keycloak;
use pos_tests::people::{API_CLIENTS, GROCER, PEOPLE, realm_file};
use serde_json::Value;

use super::server;

/// The same server signs for all its realms, with keys of each its own.
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

/// What operators import opens nothing: nobody is in it, no secret, and no client that takes passwords.
#[test]
fn the_operators_realm_lets_nobody_in() {
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

/// The names in the file and in the tests are the same, and a client that takes passwords says what it is for.
#[test]
fn the_example_people_are_those_the_tests_know() {
    let file = realm_file("example-people.json");
    let users = file["users"].as_array().unwrap();
    let (machines, people): (Vec<_>, Vec<_>) = users.iter().partition(|user| !user["serviceAccountClientId"].is_null());
    let names: Vec<_> = people.iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!(names, PEOPLE.map(|person| person.name));
    for (user, person) in people.iter().zip(PEOPLE) {
        let (claim, id) = person.tenant.claim();
        assert_eq!(user["attributes"][claim][0], id.to_string(), "{user}");
        assert_eq!(user["id"], person.sub.to_string());
    }
    let names: Vec<_> = machines.iter().map(|user| user["serviceAccountClientId"].as_str().unwrap()).collect();
    assert_eq!(names, API_CLIENTS.map(|client| client.client_id));
    for client in file["clients"].as_array().unwrap() {
        let takes_passwords = client["directAccessGrantsEnabled"] == true;
        let says_so = client["description"].as_str().is_some_and(|text| text.starts_with("FOR TESTS ONLY"));
        assert_eq!(takes_passwords, says_so, "{client}");
    }
}
