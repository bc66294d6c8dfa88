//! Fetching of the provider's keys: rotation, maximum age, shared fetch, cool-down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration as StdDuration;

use pos_adapters::identity::oidc::{OidcSettings, OidcVerifier};
use pos_port_clock::ManualClock;
use pos_port_identity::{Principal, TokenVerifier, VerifyError};
use serde_json::json;
use time::Duration;

use super::fake_provider::{Behaviour, FakeProvider};
use super::support::{
    AUDIENCE, changed, clock, good_claims, mia, mint, mint_with_kid, rejected, start_idp, verifier, verifier_with,
};

const COOLDOWN: Duration = Duration::seconds(10);
const MAX_AGE: Duration = Duration::seconds(600);
const MICROSECOND: Duration = Duration::microseconds(1);

/// Verifies until a background fetch produces the expected result.
async fn eventually(verifier: &OidcVerifier, token: &str, expected: Result<Principal, VerifyError>) {
    let reached = async {
        while verifier.verify(token).await != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(StdDuration::from_secs(10), reached).await.expect("the keys in use did not change");
}

#[tokio::test]
async fn rotated_keys_are_found_without_a_restart() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let before = mint(&idp, &good_claims(idp.issuer(), &clock));
    assert_eq!(verifier.verify(&before).await, mia());

    idp.rotate_keys(false).await.expect("rotated");
    clock.advance(COOLDOWN);
    let after = mint(&idp, &good_claims(idp.issuer(), &clock));
    assert_eq!(verifier.verify(&after).await, mia());
    assert_eq!(verifier.verify(&before).await, mia(), "the old key is still published");
}

#[tokio::test]
async fn a_withdrawn_key_is_untrusted_after_the_maximum_age_even_for_cached_tokens() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let cached = mint(&idp, &good_claims(idp.issuer(), &clock));
    let fresh = mint(&idp, &good_claims(idp.issuer(), &clock));
    assert_eq!(verifier.verify(&cached).await, mia());

    idp.rotate_keys(true).await.expect("rotated");
    clock.advance(MAX_AGE - MICROSECOND);
    assert_eq!(verifier.verify(&cached).await, mia(), "the keys are not too old yet");
    clock.advance(MICROSECOND);
    assert_eq!(verifier.verify(&cached).await, mia(), "the old keys serve while the new ones are fetched");
    eventually(&verifier, &cached, rejected("unknown key")).await;
    assert_eq!(verifier.verify(&fresh).await, rejected("unknown key"));
    let new = mint(&idp, &good_claims(idp.issuer(), &clock));
    assert_eq!(verifier.verify(&new).await, mia());
}

#[tokio::test]
async fn many_callers_share_one_fetch() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    provider.set_behaviour(Behaviour::AnswerWhenOpened);
    let verifier = Arc::new(verifier(provider.issuer(), &clock));
    let started = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (verifier, started) = (verifier.clone(), started.clone());
            let token = mint(&idp, &good_claims(provider.issuer(), &clock));
            tokio::spawn(async move {
                started.fetch_add(1, Ordering::SeqCst);
                verifier.verify(&token).await
            })
        })
        .collect();
    // One thread runs all tasks, so each started call waits for the keys before the next task runs.
    while started.load(Ordering::SeqCst) < 64 || provider.request_counts().0 == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(provider.request_counts(), (1, 0));
    provider.open_gate();
    for caller in callers {
        assert_eq!(caller.await.expect("not cancelled"), mia());
    }
    assert_eq!(provider.request_counts(), (1, 1));
}

#[tokio::test]
async fn a_cancelled_caller_does_not_cancel_the_fetch() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    provider.set_behaviour(Behaviour::AnswerWhenOpened);
    let verifier = Arc::new(verifier(provider.issuer(), &clock));
    let token = mint(&idp, &good_claims(provider.issuer(), &clock));
    let call = || {
        let (verifier, token) = (verifier.clone(), token.clone());
        tokio::spawn(async move { verifier.verify(&token).await })
    };
    let (first, second) = (call(), call());
    while provider.request_counts().0 == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    provider.open_gate();
    assert_eq!(second.await.expect("not cancelled"), mia());
    assert_eq!(provider.request_counts(), (1, 1));
}

/// Verifies a token with an unknown key id.
async fn verify_with_unknown_key(
    idp: &pos_dev_idp::RunningDevIdp,
    issuer: &str,
    verifier: &OidcVerifier,
    clock: &ManualClock,
) {
    let token = mint_with_kid(idp, &good_claims(issuer, clock), "unheard-of");
    assert_eq!(verifier.verify(&token).await, rejected("unknown key"));
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_per_cool_down() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    let verifier = verifier(provider.issuer(), &clock);
    for _ in 0..20 {
        verify_with_unknown_key(&idp, provider.issuer(), &verifier, &clock).await;
    }
    assert_eq!(provider.request_counts(), (1, 1));
    clock.advance(COOLDOWN - MICROSECOND);
    verify_with_unknown_key(&idp, provider.issuer(), &verifier, &clock).await;
    assert_eq!(provider.request_counts(), (1, 1));
    clock.advance(MICROSECOND);
    verify_with_unknown_key(&idp, provider.issuer(), &verifier, &clock).await;
    assert_eq!(provider.request_counts(), (2, 2));
}

#[tokio::test]
async fn a_failing_provider_gets_no_request_during_the_cool_down() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    provider.set_behaviour(Behaviour::Fail);
    let verifier = verifier(provider.issuer(), &clock);
    let token = mint(&idp, &good_claims(provider.issuer(), &clock));
    for _ in 0..20 {
        assert_eq!(verifier.verify(&token).await, Err(VerifyError::Unavailable));
    }
    assert_eq!(provider.request_counts(), (1, 0));

    provider.set_behaviour(Behaviour::Answer);
    clock.advance(COOLDOWN - MICROSECOND);
    assert_eq!(verifier.verify(&token).await, Err(VerifyError::Unavailable));
    assert_eq!(provider.request_counts(), (1, 0));
    clock.advance(MICROSECOND);
    assert_eq!(verifier.verify(&token).await, mia());
    assert_eq!(provider.request_counts(), (2, 1));
}

#[tokio::test]
async fn a_clock_set_back_does_not_extend_the_cool_down() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    let verifier = verifier(provider.issuer(), &clock);
    verify_with_unknown_key(&idp, provider.issuer(), &verifier, &clock).await;
    clock.advance(-Duration::days(1));
    verify_with_unknown_key(&idp, provider.issuer(), &verifier, &clock).await;
    assert_eq!(provider.request_counts(), (2, 2));
}

#[tokio::test]
async fn a_small_cache_evicts_and_verifies_again() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    for token_cache_capacity in [0, 1, 2] {
        let settings = OidcSettings { token_cache_capacity, ..OidcSettings::new(idp.issuer(), AUDIENCE) };
        let verifier = verifier_with(settings, &clock);
        let users: Vec<_> = (0..5).map(|user| format!("user-{user}")).collect();
        let claims = |user: &String| changed(good_claims(idp.issuer(), &clock), json!({"sub": user}));
        let tokens: Vec<_> = users.iter().map(|user| mint(&idp, &claims(user))).collect();
        for _ in 0..3 {
            for (user, token) in users.iter().zip(&tokens) {
                let principal = verifier.verify(token).await.expect("good");
                assert_eq!(principal.user_id.as_str(), user, "capacity {token_cache_capacity}");
            }
        }
    }
}
