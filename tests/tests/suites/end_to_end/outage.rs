//! The provider goes away under load, and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pos_tests::issuer::{Issuer, key_id};
use pos_tests::people::{GABE, GINA, GROCER};
use pos_tests::real_server::RealServer;
use pos_tests::server::Answer;
use reqwest::Method;
use serde_json::json;

use super::load::{Load, PATIENCE, TokenSource};
use super::{on_both, token};

on_both!(alone: an_outage_stops_nobody_whose_key_is_known);

/// `identity.refresh_cooldown_secs`.
const COOLDOWN: Duration = Duration::from_secs(1);
/// What else may keep an answer on a machine that does much else.
const SLACK: Duration = Duration::from_secs(4);
const SETTINGS: [(&str, &str); 2] =
    [("POS__IDENTITY__REFRESH_COOLDOWN_SECS", "1"), ("POS__IDENTITY__HTTP_TIMEOUT_MS", "1000")];

fn assert_waits(answer: &Answer) {
    assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{answer:?}");
}

async fn an_outage_stops_nobody_whose_key_is_known(issuer: Issuer) {
    let server = Arc::new(RealServer::start(&issuer.url, &SETTINGS).await);
    let (held, unseen) = (token(&issuer, GINA).await, token(&issuer, GABE).await);
    assert_eq!(server.claim_new_device(&held, GROCER).await.status, 200);
    issuer.rotate_keys(false).await;
    let of_unknown_key = token(&issuer, GINA).await;
    assert_ne!(key_id(&held), key_id(&of_unknown_key));

    let load = Load::start(&server, &TokenSource::Held(held));
    load.go_on_for(10).await;
    issuer.stop().await;
    load.go_on_for(20).await;
    assert_eq!(server.claim_new_device(&unseen, GROCER).await.status, 200, "its key is known");
    // For a cool-down after the last fetch nobody is asked, and a key that is not known counts as no key.
    let begun = Instant::now();
    let mut unknown = server.claim_new_device(&of_unknown_key, GROCER).await;
    while unknown.status == 401 && begun.elapsed() < COOLDOWN + SLACK {
        tokio::time::sleep(Duration::from_millis(50)).await;
        unknown = server.claim_new_device(&of_unknown_key, GROCER).await;
    }
    assert_waits(&unknown);
    assert_eq!(server.ready().await.json()["identity"], "ok", "there are keys");

    let newcomer = RealServer::start(&issuer.url, &SETTINGS).await;
    let device = newcomer.device(GROCER).await;
    assert_eq!(newcomer.terminal(Method::POST, "/pos/bootstrap", &device).await.status, 200);
    let code = newcomer.code(&device).await;
    assert_waits(&newcomer.claim(&unseen, &code).await);
    assert_eq!(
        newcomer.ready().await.json(),
        json!({"status": "ready", "storage": "ok", "identity": "unavailable"}),
        "terminals are served"
    );

    issuer.start().await;
    until_200("the key that was unknown", async || server.claim_new_device(&of_unknown_key, GROCER).await).await;
    until_200("a server that had no keys", async || newcomer.claim_new_device(&unseen, GROCER).await).await;
    let after = issuer.login(GINA).await;
    assert_eq!(server.claim_new_device(&after.access, GROCER).await.status, 200);
    load.go_on_for(10).await;
    for call in load.stop().await {
        assert_eq!(call.status, 200, "{call:?}");
    }
    newcomer.stop().await;
    Arc::into_inner(server).expect("nobody else uses it").stop().await;
}

/// Asks until the answer is no longer that it should ask later.
async fn until_200(what: &str, ask: impl AsyncFn() -> Answer) {
    let begun = Instant::now();
    loop {
        let answer = ask().await;
        if answer.status == 200 {
            return;
        }
        assert_waits(&answer);
        assert!(begun.elapsed() < PATIENCE, "{what}: no recovery");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
