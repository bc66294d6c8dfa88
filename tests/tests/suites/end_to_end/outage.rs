//! The provider goes away under load, and comes back.

use std::sync::Arc;

use pos_tests::issuer::{Issuer, key_id};
use pos_tests::people::{GABE, GINA, GROCER, GROCER_API};
use pos_tests::real_server::RealServer;
use pos_tests::server::Answer;
use reqwest::Method;
use serde_json::json;

use super::load::{Load, TokenSource};
use super::{acting, on_both, token};

on_both!(alone: an_outage_stops_nobody_whose_key_is_known);

/// `identity.refresh_cooldown_secs` of these servers: long, so that only the moved clock can end it.
const COOLDOWN: i64 = 60;
const SETTINGS: [(&str, &str); 2] =
    [("POS__IDENTITY__REFRESH_COOLDOWN_SECS", "60"), ("POS__IDENTITY__HTTP_TIMEOUT_MS", "1000")];

fn assert_waits(answer: &Answer) {
    assert_eq!(answer.failure(503, "5003"), "Service temporarily unavailable");
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{answer:?}");
}

async fn an_outage_stops_nobody_whose_key_is_known(issuer: Issuer) {
    let server = Arc::new(RealServer::start(&issuer.url, &SETTINGS).await);
    let (held, unseen) = (acting(&server, &issuer, GINA).await, token(&issuer, GABE).await);
    assert_eq!(server.claim_new_device(&held, GROCER).await.status, 200);
    issuer.rotate_keys(false).await;
    let of_unknown_key = token(&issuer, GINA).await;
    assert_ne!(key_id(&held), key_id(&of_unknown_key));

    let load = Load::start(&server, &TokenSource::Held(held));
    load.go_on_for(10).await;
    issuer.stop().await;
    load.go_on_for(20).await;
    assert_eq!(server.initiate(&unseen).await.status, 200, "its key is known");
    assert_eq!(server.claim_new_device(&unseen, GROCER).await.status, 200);
    assert_waits(&server.client_session(GROCER_API).await);
    // For a cool-down after the last fetch nobody is asked, and a key that is not known counts as no key.
    server.move_clock(COOLDOWN);
    assert_waits(&server.initiate(&of_unknown_key).await);
    assert_waits(&server.claim_new_device(&of_unknown_key, GROCER).await);
    assert_eq!(server.ready().await.json()["identity"], "ok", "there are keys");

    let newcomer = RealServer::start(&issuer.url, &SETTINGS).await;
    let device = newcomer.device(GROCER).await;
    assert_eq!(newcomer.terminal(Method::POST, "/pos/bootstrap", &device).await.status, 200);
    let code = newcomer.code(&device).await;
    assert_waits(&newcomer.initiate(&unseen).await);
    assert_waits(&newcomer.claim(&unseen, &code).await);
    assert_eq!(
        newcomer.ready().await.json(),
        json!({"status": "ready", "storage": "ok", "identity": "unavailable"}),
        "terminals are served"
    );

    issuer.start().await;
    server.move_clock(COOLDOWN);
    newcomer.move_clock(COOLDOWN);
    let after = issuer.login(GINA).await;
    for (server, token) in [(&*server, &of_unknown_key), (&newcomer, &unseen), (&*server, &after.access)] {
        let initiated = server.initiate(token).await;
        assert_eq!(initiated.status, 200, "{initiated:?}");
        let claimed = server.claim_new_device(token, GROCER).await;
        assert_eq!(claimed.status, 200, "{claimed:?}");
    }
    assert_eq!(server.client_session(GROCER_API).await.status, 200);
    load.go_on_for(10).await;
    for call in load.stop().await {
        assert!(call.went_well(), "{call:?}");
    }
    newcomer.stop().await;
    Arc::into_inner(server).expect("nobody else uses it").stop().await;
}
