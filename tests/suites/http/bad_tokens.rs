//! Invalid access tokens, sent to a server that verifies the tokens of a real issuer.

use std::sync::Arc;

use pos_dev_idp::{MintKid, MintOptions, MintSignature};
use pos_port_clock::Clock as _;
use pos_tests::server::{Answer, Options, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::{Value, json};

use crate::identity::support::{changed, clock, good_claims, mint, start_idp, verifier};

async fn claim(server: &TestServer, authorization: &str) -> Answer {
    let request = server.request(Method::POST, "/pos/claim").header("Authorization", authorization.to_owned());
    send(request.json(&json!({"pairing_code": "ZZZZZZ"}))).await
}

#[tokio::test]
async fn every_invalid_token_is_401_and_a_valid_one_is_accepted() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let store = TestStore::sqlite().await;
    let verifier = Arc::new(verifier(idp.issuer(), &clock));
    let server = TestServer::start(store.opened(), Options { verifier, clock: clock.clone(), ..Options::default() });
    let now = clock.now().unix_timestamp();
    let good = good_claims(idp.issuer(), &clock);
    let with = |changes: Value| mint(&idp, &changed(good.clone(), changes));
    let signed = |signature, kid, header: Value| {
        let header = header.as_object().unwrap().clone();
        idp.mint(&good, MintOptions { signature, kid, header }).unwrap()
    };
    let own = || MintKid::OfTheKey;
    let rs = MintSignature::Rs256;
    let elsewhere = "http://127.0.0.1:9/certs";
    let attacker = start_idp(&clock).await;
    let spoofed = json!({"jku": elsewhere, "jwk": attacker.jwks()["keys"][0], "kid": idp.kid(rs)});
    let spoofed = MintOptions { header: spoofed.as_object().unwrap().clone(), ..MintOptions::default() };
    let tampered = mint(&idp, &good).replacen('.', ".e30", 1);
    for (name, token) in [
        ("garbage", "garbage".to_owned()),
        ("three dots", "a.b.c".to_owned()),
        ("alg none", signed(MintSignature::None, own(), json!({}))),
        ("HS256 with the public key", signed(MintSignature::Hs256WithPublicKey, own(), json!({}))),
        ("wrong issuer", with(json!({"iss": "https://elsewhere.example/realms/viopay"}))),
        ("wrong audience", with(json!({"aud": "account"}))),
        ("expired", with(json!({"exp": now - 31}))),
        ("not yet valid", with(json!({"nbf": now + 31}))),
        ("no exp", with(json!({"exp": null}))),
        ("unknown kid", signed(rs, MintKid::Named("nobody's".into()), json!({}))),
        ("jku and jwk of an attacker", attacker.mint(&good, spoofed).unwrap()),
        ("ID token", with(json!({"typ": "ID"}))),
        ("refresh token", with(json!({"typ": "Refresh"}))),
        ("tampered", tampered),
        ("an ID token without a type", with(json!({"typ": null}))),
        ("12 kB", "x".repeat(12_000)),
    ] {
        let answer = claim(&server, &format!("Bearer {token}")).await;
        assert_eq!(answer.failure(401, "4001"), "Access token is invalid or expired", "{name}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{name}");
    }
    for merchant in [json!("shop-1"), json!([]), json!([good["merchant_id"], good["merchant_id"]]), json!({}), json!(7)]
    {
        let token = with(json!({ "merchant_id": merchant }));
        let refused = claim(&server, &format!("Bearer {token}")).await;
        assert_eq!(refused.failure(403, "4003"), "Access token claim merchant_id must be one UUID", "{merchant}");
        let forged = claim(&server, &format!("Bearer {}", token.replacen('.', ".e30", 1))).await;
        assert_eq!(forged.failure(401, "4001"), "Access token is invalid or expired", "the signature is checked first");
    }
    let initiate = server.request(Method::POST, "/session/initiate").json(&json!({"host": "merchant.viopay.io"}));
    let listed = send(initiate.bearer_auth(with(json!({"merchant_id": [good["merchant_id"]]})))).await;
    let no_member = "User is not a member of the merchant or reseller that the access token names";
    assert_eq!(listed.failure(403, "4003"), no_member, "a list of one value is that value");
    let typed = MintOptions { header: json!({"typ": "at+jwt"}).as_object().unwrap().clone(), ..MintOptions::default() };
    let typed = idp.mint(&changed(good.clone(), json!({"typ": null})), typed).unwrap();
    let typed = claim(&server, &format!("Bearer {typed}")).await;
    assert_eq!(typed.failure(401, "4001"), "Session has not been initiated", "the token is valid");
    let token = mint(&idp, &good);
    let basic = claim(&server, &format!("Basic {token}")).await;
    assert_eq!(basic.failure(401, "4001"), "Authorization header with a Bearer token is required");
    let accepted = claim(&server, &format!("Bearer {token}")).await;
    assert_eq!(accepted.failure(401, "4001"), "Session has not been initiated", "the token is valid");
    server.stop().await;
}
