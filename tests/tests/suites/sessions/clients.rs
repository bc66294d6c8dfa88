//! Machines: let in by id and secret, kept out when either is wrong, too often wrong, or revoked.

use pos_domain::{ApiClientId, Party, SecretHash};
use pos_tests::server::{Answer, MERCHANT, TestServer, send};
use reqwest::Method;
use serde_json::json;

use super::world::{RESELLER, SECRET, World, acts, client_session, end, on_both_engines, revoke, rotate, shown};

const INVALID: &str = "Client credentials are invalid";

async fn a_machine_is_let_in_and_acts(world: World) {
    let server = world.server();
    for path in ["/client/session", "/auth/token"] {
        let body = json!({"client_id": "till", "client_secret": SECRET});
        let answer = send(server.request(Method::POST, path).json(&body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let mut told = answer.json();
        let token = told["access_token"].take().as_str().unwrap().to_owned();
        let user = told["user_id"].take();
        assert_eq!(user.as_str().map(str::len), Some(36));
        let wanted = json!({
            "access_token": null, "token_type": "Bearer", "expires_in": 300, "status": "initiated", "user_id": null,
            "client_id": "till", "merchant": shown(MERCHANT, "Corner Shop"),
            "reseller": {"id": RESELLER.to_string(), "name": "Northern Terminals"},
            "role": "operator", "application": "api", "channel": "api", "expires_at": "2026-01-02T03:09:05Z",
        });
        assert_eq!(told, wanted);
        assert!(acts(&server, &token).await);
        assert_eq!(end(&server, &token).await.status, 200);
        assert!(!acts(&server, &token).await);
    }
    server.stop().await;
}

async fn the_lesser_of_row_and_token_counts(world: World) {
    let server = world.server();
    let bare = client_session(&server, "bare", SECRET).await.json();
    assert_eq!((&bare["role"], &bare["merchant"]), (&json!("viewer"), &shown(MERCHANT, "Corner Shop")));
    let token = bare["access_token"].as_str().unwrap();
    let refused = server.claim(token, &json!({"pairing_code": "ZZZZZZ"})).await;
    assert_eq!(refused.failure(403, "4003"), "Role does not allow this");
    let fleet = client_session(&server, "fleet", SECRET).await.json();
    assert_eq!((&fleet["role"], fleet.get("merchant")), (&json!("viewer"), None));
    assert_eq!(fleet["reseller"]["id"], RESELLER.to_string());
    server.stop().await;
}

async fn every_refusal_is_the_same(world: World) {
    let server = world.server();
    let revoked = ApiClientId::parse("fleet").unwrap();
    assert!(revoke(&world.storage, &revoked).await);
    for (name, id, secret) in [
        ("a wrong secret", "till", "battery"),
        ("an unknown client", "nobody", SECRET),
        ("no client's name at all", "a b/c: é", SECRET),
        ("revoked", "fleet", SECRET),
        ("the provider has another secret", "renamed", SECRET),
        ("the provider does not know it", "unheard-of", SECRET),
        ("the provider's token is another merchant's", "elsewhere", SECRET),
        ("a user of the provider's", "ann", "pw"),
    ] {
        let answer = client_session(&server, id, secret).await;
        assert_eq!(answer.failure(401, "4001"), INVALID, "{name}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{name}");
    }
    server.stop().await;
}

/// From behind a proxy that is trusted, so that the test has more than one address.
async fn from(server: &TestServer, address: &str, id: &str, secret: &str) -> Answer {
    let body = json!({ "client_id": id, "client_secret": secret });
    send(server.request(Method::POST, "/client/session").header("X-Forwarded-For", address.to_owned()).json(&body))
        .await
}

async fn wrong_secrets_are_counted_for_their_address(world: World) {
    let settings = || {
        vec![
            ("POS__CLIENT__MAX_FAILURES", "3".into()),
            ("POS__CLIENT__FAILURE_WINDOW_SECS", "60".into()),
            ("POS__HTTP__TRUSTED_PROXIES", "127.0.0.1".into()),
        ]
    };
    let one = world.server_on(world.store.opened(), settings());
    let other = world.server_on(&world.store.reopened().await, settings());
    for (server, id, address) in
        [(&one, "till", "2001:db8::1"), (&other, "nobody", "2001:db8::2"), (&one, "bare", "2001:db8::ffff:3")]
    {
        assert_eq!(from(server, address, id, "guess").await.failure(401, "4001"), INVALID, "{id}");
    }
    for server in [&one, &other] {
        let refused = from(server, "2001:db8::4", "till", "guess").await;
        assert_eq!(refused.failure(429, "4290"), "Too many failed attempts, try again later");
        refused.assert_sent_away_for(60);
        assert_eq!(from(server, "198.51.100.1", "till", "guess").await.failure(401, "4001"), INVALID, "elsewhere");
        for address in ["2001:db8::1", "198.51.100.2"] {
            let answer = from(server, address, "till", SECRET).await;
            assert_eq!(answer.status, 200, "the right secret is let in from {address}: {answer:?}");
        }
    }
    world.advance(60);
    assert_eq!(from(&one, "2001:db8::1", "till", "guess").await.failure(401, "4001"), INVALID, "the window has passed");
    one.stop().await;
    other.stop().await;
}

async fn a_secret_of_an_earlier_version_is_refused_until_it_is_rotated(world: World) {
    let server = world.server();
    let earlier = SecretHash::of_phc("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned());
    let id = ApiClientId::parse("till").unwrap();
    assert!(rotate(&world.storage, &id, &earlier).await);
    assert_eq!(client_session(&server, "till", SECRET).await.failure(401, "4001"), INVALID);
    assert!(rotate(&world.storage, &id, &SecretHash::of_secret(SECRET)).await);
    assert_eq!(client_session(&server, "till", SECRET).await.status, 200);
    server.stop().await;
}

async fn a_rotated_or_revoked_client_is_out_at_once(world: World) {
    let (one, other) = (world.server(), world.replica().await);
    let token = async || {
        let answer = client_session(&one, "till", SECRET).await;
        answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    };
    let id = ApiClientId::parse("till").unwrap();
    let (_, hash) = world.storage.clients.find(&id).await.unwrap().unwrap();
    let before = token().await;
    assert!(acts(&other, &before).await);
    assert!(rotate(&world.storage, &id, &hash).await);
    assert!(!acts(&other, &before).await && !acts(&one, &before).await);
    let after = token().await;
    assert!(acts(&other, &after).await && !acts(&other, &before).await);
    assert!(revoke(&world.storage, &id).await);
    assert!(!acts(&other, &after).await);
    assert_eq!(client_session(&one, "till", SECRET).await.failure(401, "4001"), INVALID);
    one.stop().await;
    other.stop().await;
}

async fn a_provider_that_is_away_is_told(world: World) {
    let server = world.server();
    let World { idp, .. } = world;
    idp.stop().await;
    let answer = client_session(&server, "till", SECRET).await;
    assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(client_session(&server, "till", "guess").await.failure(401, "4001"), INVALID, "ours to say");
    server.stop().await;
}

async fn a_session_of_a_machine_is_not_initiated_by_hand(world: World) {
    let server = world.server();
    let answer = client_session(&server, "till", SECRET).await.json();
    let token = answer["access_token"].as_str().unwrap();
    let refused = super::world::initiate(&server, token).await;
    let message = "User is not a member of the merchant or reseller that the access token names";
    assert_eq!(refused.failure(403, "4003"), message, "its secret must be shown again");
    end(&server, token).await;
    let refused = super::world::initiate(&server, token).await;
    assert_eq!(refused.failure(401, "4001"), "Session was ended");
    assert!(world.storage.members.find(Party::Merchant(MERCHANT), &user(&answer)).await.unwrap().is_none());
    server.stop().await;
}

fn user(answer: &serde_json::Value) -> pos_domain::UserId {
    pos_domain::UserId::parse(answer["user_id"].as_str().unwrap()).unwrap()
}

on_both_engines!(
    a_machine_is_let_in_and_acts,
    the_lesser_of_row_and_token_counts,
    every_refusal_is_the_same,
    wrong_secrets_are_counted_for_their_address,
    a_secret_of_an_earlier_version_is_refused_until_it_is_rotated,
    a_rotated_or_revoked_client_is_out_at_once,
    a_provider_that_is_away_is_told,
    a_session_of_a_machine_is_not_initiated_by_hand,
);
