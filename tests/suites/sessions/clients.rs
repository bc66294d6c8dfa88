//! Sessions of API clients: authentication by id and secret, attempt limit, rotation, revocation.

use pos_application::test_support::RESELLER;
use pos_domain::shared::{ApiClientId, Party};
use pos_tests::server::{Answer, MERCHANT, TestServer, send};
use reqwest::Method;
use serde_json::json;

use super::fixture::{
    SECRET, SessionFixture, client_session, end, has_session, on_both_engines, party_json, revoke, rotate,
};

const INVALID: &str = "Client credentials are invalid";

async fn a_client_authenticates_and_claims(fixture: SessionFixture) {
    let server = fixture.server();
    for path in ["/client/session", "/auth/token"] {
        let body = json!({"client_id": "till", "client_secret": SECRET});
        let answer = send(server.request(Method::POST, path).json(&body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let mut body = answer.json();
        let token = body["access_token"].take().as_str().unwrap().to_owned();
        let user = body["user_id"].take();
        assert_eq!(user.as_str().map(str::len), Some(36));
        let expected = json!({
            "access_token": null, "token_type": "Bearer", "expires_in": 300, "status": "initiated", "user_id": null,
            "client_id": "till", "merchant": party_json(MERCHANT, "Corner Shop"),
            "reseller": {"id": RESELLER.to_string(), "name": "Northern Terminals"},
            "role": "operator", "application": "api", "channel": "api", "expires_at": "2026-01-02T03:09:05Z",
        });
        assert_eq!(body, expected);
        assert!(has_session(&server, &token).await);
        assert_eq!(end(&server, &token).await.status, 200);
        assert!(!has_session(&server, &token).await);
    }
    server.stop().await;
}

async fn the_lower_role_of_row_and_token_applies(fixture: SessionFixture) {
    let server = fixture.server();
    let bare = client_session(&server, "bare", SECRET).await.json();
    assert_eq!((&bare["role"], &bare["merchant"]), (&json!("viewer"), &party_json(MERCHANT, "Corner Shop")));
    let token = bare["access_token"].as_str().unwrap();
    let refused = server.claim(token, &json!({"pairing_code": "ZZZZZZ"})).await;
    assert_eq!(refused.failure(403, "4003"), "Role does not allow this");
    let fleet = client_session(&server, "fleet", SECRET).await.json();
    assert_eq!((&fleet["role"], fleet.get("merchant")), (&json!("viewer"), None));
    assert_eq!(fleet["reseller"]["id"], RESELLER.to_string());
    server.stop().await;
}

async fn every_rejection_is_the_same(fixture: SessionFixture) {
    let server = fixture.server();
    let revoked = ApiClientId::parse("fleet").unwrap();
    assert!(revoke(&fixture.app.storage, &revoked).await);
    for (name, id, secret) in [
        ("a wrong secret", "till", "battery"),
        ("an unknown client", "nobody", SECRET),
        ("not a valid client id", "a b/c: é", SECRET),
        ("revoked", "fleet", SECRET),
        ("the provider has another secret", "renamed", SECRET),
        ("the provider does not know it", "unheard-of", SECRET),
        ("the provider's token is another merchant's", "elsewhere", SECRET),
        ("a user, not a client", "ann", "pw"),
    ] {
        let answer = client_session(&server, id, secret).await;
        assert_eq!(answer.failure(401, "4001"), INVALID, "{name}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{name}");
    }
    server.stop().await;
}

/// Authenticates with the client address in `X-Forwarded-For` of a trusted proxy, so that one test has many addresses.
async fn authenticate_from(server: &TestServer, address: &str, id: &str, secret: &str) -> Answer {
    let body = json!({ "client_id": id, "client_secret": secret });
    send(server.request(Method::POST, "/client/session").header("X-Forwarded-For", address.to_owned()).json(&body))
        .await
}

async fn wrong_secrets_are_counted_per_address(fixture: SessionFixture) {
    let settings = || {
        vec![
            ("POS__CLIENT__MAX_FAILURES", "3".into()),
            ("POS__CLIENT__FAILURE_WINDOW_SECS", "60".into()),
            ("POS__HTTP__TRUSTED_PROXIES", "127.0.0.1".into()),
        ]
    };
    let one = fixture.server_on(fixture.store.opened(), settings());
    let other = fixture.server_on(&fixture.store.reopened().await, settings());
    for (server, id, address) in
        [(&one, "till", "2001:db8::1"), (&other, "nobody", "2001:db8::2"), (&one, "bare", "2001:db8::ffff:3")]
    {
        assert_eq!(authenticate_from(server, address, id, "guess").await.failure(401, "4001"), INVALID, "{id}");
    }
    for server in [&one, &other] {
        let refused = authenticate_from(server, "2001:db8::4", "till", "guess").await;
        assert_eq!(refused.failure(429, "4290"), "Too many failed attempts, try again later");
        refused.assert_retry_after(60);
        assert_eq!(
            authenticate_from(server, "198.51.100.1", "till", "guess").await.failure(401, "4001"),
            INVALID,
            "elsewhere"
        );
        for address in ["2001:db8::1", "198.51.100.2"] {
            let answer = authenticate_from(server, address, "till", SECRET).await;
            assert_eq!(answer.status, 200, "the right secret is accepted from {address}: {answer:?}");
        }
    }
    fixture.advance(60);
    assert_eq!(
        authenticate_from(&one, "2001:db8::1", "till", "guess").await.failure(401, "4001"),
        INVALID,
        "the window has passed"
    );
    one.stop().await;
    other.stop().await;
}

async fn rotation_and_revocation_end_sessions_at_once(fixture: SessionFixture) {
    let (one, other) = (fixture.server(), fixture.replica().await);
    let token = async || {
        let answer = client_session(&one, "till", SECRET).await;
        answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    };
    let id = ApiClientId::parse("till").unwrap();
    let (_, hash) = fixture.app.storage.clients.find(&id).await.unwrap().unwrap();
    let before = token().await;
    assert!(has_session(&other, &before).await);
    assert!(rotate(&fixture.app.storage, &id, &hash).await);
    assert!(!has_session(&other, &before).await && !has_session(&one, &before).await);
    let after = token().await;
    assert!(has_session(&other, &after).await && !has_session(&other, &before).await);
    assert!(revoke(&fixture.app.storage, &id).await);
    assert!(!has_session(&other, &after).await);
    assert_eq!(client_session(&one, "till", SECRET).await.failure(401, "4001"), INVALID);
    one.stop().await;
    other.stop().await;
}

async fn an_unavailable_provider_is_a_503(fixture: SessionFixture) {
    let server = fixture.server();
    let SessionFixture { idp, .. } = fixture;
    idp.stop().await;
    let answer = client_session(&server, "till", SECRET).await;
    assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(
        client_session(&server, "till", "guess").await.failure(401, "4001"),
        INVALID,
        "a wrong secret is rejected without the provider"
    );
    server.stop().await;
}

async fn a_client_session_cannot_be_initiated_with_its_token(fixture: SessionFixture) {
    let server = fixture.server();
    let answer = client_session(&server, "till", SECRET).await.json();
    let token = answer["access_token"].as_str().unwrap();
    let refused = super::fixture::initiate(&server, token).await;
    let message = "User is not a member of the merchant or reseller that the access token names";
    assert_eq!(refused.failure(403, "4003"), message, "a client session needs the secret");
    end(&server, token).await;
    let refused = super::fixture::initiate(&server, token).await;
    assert_eq!(refused.failure(401, "4001"), "Session was ended");
    assert!(fixture.app.storage.members.find(Party::Merchant(MERCHANT), &user(&answer)).await.unwrap().is_none());
    server.stop().await;
}

fn user(answer: &serde_json::Value) -> pos_domain::shared::UserId {
    pos_domain::shared::UserId::parse(answer["user_id"].as_str().unwrap()).unwrap()
}

on_both_engines!(
    a_client_authenticates_and_claims,
    the_lower_role_of_row_and_token_applies,
    every_rejection_is_the_same,
    wrong_secrets_are_counted_per_address,
    rotation_and_revocation_end_sessions_at_once,
    an_unavailable_provider_is_a_503,
    a_client_session_cannot_be_initiated_with_its_token,
);
