//! Faults of the identity provider: unreachable, slow or incorrect.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use pos_adapters::clock::SystemClock;
use pos_adapters::identity::oidc::{OidcSettings, OidcVerifier};
use pos_port_identity::{TokenVerifier, VerifyError};
use serde_json::json;
use time::Duration;

use super::fake_provider::{Behaviour, FakeProvider};
use super::support::{
    ANY_PORT, AUDIENCE, clock, good_claims, mia, mint, mint_with_kid, rejected, start_idp, verifier, verifier_with,
};

const PAST_COOLDOWN: Duration = Duration::seconds(11);
const PAST_MAX_AGE: Duration = Duration::seconds(601);

#[tokio::test]
async fn the_verifier_starts_without_the_provider_and_recovers() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let free = std::net::TcpListener::bind(ANY_PORT).expect("a free port");
    let addr = free.local_addr().expect("bound");
    drop(free);
    let issuer = format!("http://{addr}");
    let verifier = verifier(&issuer, &clock);
    let token = mint(&idp, &good_claims(&issuer, &clock));
    assert!(!verifier.is_ready());
    assert_eq!(verifier.verify(&token).await, Err(VerifyError::Unavailable));
    assert!(!verifier.is_ready());

    let _provider = FakeProvider::start_at(addr, idp.jwks());
    clock.advance(PAST_COOLDOWN);
    assert_eq!(verifier.verify(&token).await, mia());
    assert!(verifier.is_ready());
}

#[tokio::test]
async fn warm_up_retries_until_the_provider_answers() {
    let idp = start_idp(&clock()).await;
    let provider = FakeProvider::start(idp.jwks());
    provider.set_behaviour(Behaviour::Fail);
    let settings = OidcSettings {
        refresh_cooldown: StdDuration::from_millis(1),
        ..OidcSettings::new(provider.issuer(), AUDIENCE)
    };
    let verifier = Arc::new(OidcVerifier::new(settings, Arc::new(SystemClock)).expect("settings are right"));
    let warming = tokio::spawn({
        let verifier = verifier.clone();
        async move { verifier.warm_up().await }
    });
    while provider.request_counts().0 < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!verifier.is_ready());
    provider.set_behaviour(Behaviour::Answer);
    tokio::time::timeout(StdDuration::from_secs(10), warming).await.expect("warm in time").expect("not cancelled");
    assert!(verifier.is_ready());
}

#[tokio::test]
async fn a_hanging_provider_times_out() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    provider.set_behaviour(Behaviour::Hang);
    let settings =
        OidcSettings { http_timeout: StdDuration::from_millis(200), ..OidcSettings::new(provider.issuer(), AUDIENCE) };
    let verifier = verifier_with(settings, &clock);
    let token = mint(&idp, &good_claims(provider.issuer(), &clock));
    let result = tokio::time::timeout(StdDuration::from_secs(5), verifier.verify(&token)).await;
    assert_eq!(result.expect("bounded"), Err(VerifyError::Unavailable));
    assert_eq!(provider.request_counts(), (1, 0));
}

#[tokio::test]
async fn cached_keys_are_used_while_the_provider_fails() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    let verifier = verifier(provider.issuer(), &clock);
    assert_eq!(verifier.verify(&mint(&idp, &good_claims(provider.issuer(), &clock))).await, mia());

    provider.set_behaviour(Behaviour::Fail);
    clock.advance(PAST_MAX_AGE);
    let token = mint(&idp, &good_claims(provider.issuer(), &clock));
    assert_eq!(verifier.verify(&token).await, mia());
    assert!(verifier.is_ready());

    clock.advance(PAST_COOLDOWN);
    let token = mint_with_kid(&idp, &good_claims(provider.issuer(), &clock), "perhaps-new");
    assert_eq!(verifier.verify(&token).await, Err(VerifyError::Unavailable), "the key may exist");
    assert_eq!(verifier.verify(&token).await, Err(VerifyError::Unavailable), "the same during the cool-down");
}

#[tokio::test]
async fn invalid_documents_are_rejected() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let listener = std::net::TcpListener::bind(ANY_PORT).expect("a free port");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("bound").port();
    let redirect_url = format!("http://127.0.0.1:{port}/certs");
    // Reaches this machine but is not a loopback address, so plain HTTP is rejected.
    let unprotected = format!("http://0.0.0.0:{port}/certs");
    for behaviour in [
        Behaviour::Huge,
        Behaviour::RedirectTo(redirect_url),
        Behaviour::Discovery(json!({"issuer": "https://elsewhere.example"})),
        Behaviour::Discovery(json!({"jwks_uri": unprotected})),
        Behaviour::Discovery(json!({"jwks_uri": "file:///etc/keys.json"})),
        Behaviour::Discovery(json!({"jwks_uri": null})),
        Behaviour::Discovery(json!({"response_types_supported": "garbage"})),
    ] {
        let provider = FakeProvider::start(idp.jwks());
        provider.set_behaviour(behaviour.clone());
        let verifier = verifier(provider.issuer(), &clock);
        let token = mint(&idp, &good_claims(provider.issuer(), &clock));
        assert_eq!(verifier.verify(&token).await, Err(VerifyError::Unavailable), "{behaviour:?}");
        assert_eq!(provider.request_counts().0, 1, "{behaviour:?}");
        assert!(!verifier.is_ready(), "{behaviour:?}");
    }
    let connection = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(connection, Err(std::io::ErrorKind::WouldBlock), "the verifier connected to the trap");
}

#[tokio::test]
async fn unusable_keys_are_skipped() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let mut jwks = idp.jwks();
    let keys = jwks["keys"].as_array_mut().expect("a list");
    let unusable = [
        json!({"kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "kid": "enc", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "unheard-of"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}),
        json!({"kty": "RSA", "kid": 7}),
        json!("garbage"),
    ];
    for key in unusable.clone() {
        keys.insert(0, key);
    }
    let provider = FakeProvider::start(jwks);
    let verifier = verifier(provider.issuer(), &clock);
    assert_eq!(verifier.verify(&mint(&idp, &good_claims(provider.issuer(), &clock))).await, mia());
    let token = mint_with_kid(&idp, &good_claims(provider.issuer(), &clock), "enc");
    assert_eq!(verifier.verify(&token).await, rejected("unknown key"));

    provider.set_keys(json!({"keys": unusable}));
    clock.advance(PAST_COOLDOWN);
    let token = mint_with_kid(&idp, &good_claims(provider.issuer(), &clock), "perhaps-new");
    assert_eq!(
        verifier.verify(&token).await,
        Err(VerifyError::Unavailable),
        "a key set without a usable key is rejected"
    );
    assert_eq!(verifier.verify(&mint(&idp, &good_claims(provider.issuer(), &clock))).await, mia());
}
