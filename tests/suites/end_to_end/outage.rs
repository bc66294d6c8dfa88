//! Outage of the identity provider under load.

use std::sync::Arc;

use pos_tests::issuer::{Issuer, key_id};
use pos_tests::real_server::RealServer;
use pos_tests::server::Answer;
use pos_tests::users::{GABE, GINA, GROCER, GROCER_API};
use reqwest::Method;
use serde_json::json;

use super::load::{Load, TokenSource};
use super::{on_both, token, token_with_session};

on_both!(exclusive: an_outage_affects_no_token_whose_key_is_cached);

/// `identity.refresh_cooldown_secs` of these servers: so long that only moving the clock ends it.
const COOLDOWN: i64 = 60;
const SETTINGS: [(&str, &str); 2] =
    [("POS__IDENTITY__REFRESH_COOLDOWN_SECS", "60"), ("POS__IDENTITY__HTTP_TIMEOUT_MS", "1000")];

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{answer:?}");
}

async fn an_outage_affects_no_token_whose_key_is_cached(issuer: Issuer) {
    let server = Arc::new(RealServer::start(&issuer.url, &SETTINGS).await);
    let (in_use, unused) = (token_with_session(&server, &issuer, GINA).await, token(&issuer, GABE).await);
    assert_eq!(server.claim_new_device(&in_use, GROCER).await.status, 200);
    issuer.rotate_keys(false).await;
    let of_unknown_key = token(&issuer, GINA).await;
    assert_ne!(key_id(&in_use), key_id(&of_unknown_key));

    let load = Load::start(&server, &TokenSource::Fixed(in_use));
    load.wait_for_calls(10).await;
    issuer.stop().await;
    load.wait_for_calls(20).await;
    assert_eq!(server.initiate(&unused).await.status, 200, "its key is cached");
    assert_eq!(server.claim_new_device(&unused, GROCER).await.status, 200);
    assert_unavailable(&server.client_session(GROCER_API).await);
    // Within the cool-down after the last fetch the server does not ask the provider and treats an unknown key as missing.
    server.move_clock(COOLDOWN);
    assert_unavailable(&server.initiate(&of_unknown_key).await);
    assert_unavailable(&server.claim_new_device(&of_unknown_key, GROCER).await);
    assert_eq!(server.ready().await.json()["identity"], "ok", "some keys are cached");

    let new_replica = RealServer::start(&issuer.url, &SETTINGS).await;
    let device = new_replica.device(GROCER).await;
    assert_eq!(new_replica.terminal(Method::POST, "/pos/bootstrap", &device).await.status, 200);
    let code = new_replica.code(&device).await;
    assert_unavailable(&new_replica.initiate(&unused).await);
    assert_unavailable(&new_replica.claim(&unused, &code).await);
    assert_eq!(
        new_replica.ready().await.json(),
        json!({"status": "ready", "storage": "ok", "identity": "unavailable"}),
        "terminals need no identity provider"
    );

    issuer.start().await;
    server.move_clock(COOLDOWN);
    new_replica.move_clock(COOLDOWN);
    let after = issuer.login(GINA).await;
    for (server, token) in [(&*server, &of_unknown_key), (&new_replica, &unused), (&*server, &after.access)] {
        let initiated = server.initiate(token).await;
        assert_eq!(initiated.status, 200, "{initiated:?}");
        let claimed = server.claim_new_device(token, GROCER).await;
        assert_eq!(claimed.status, 200, "{claimed:?}");
    }
    assert_eq!(server.client_session(GROCER_API).await.status, 200);
    load.wait_for_calls(10).await;
    for call in load.stop().await {
        assert!(call.succeeded(), "{call:?}");
    }
    new_replica.stop().await;
    Arc::into_inner(server).expect("the only reference").stop().await;
}
