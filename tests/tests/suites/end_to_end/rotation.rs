//! The realm's keys change while the server serves.

use std::sync::Arc;

use pos_tests::issuer::{Issuer, key_id};
use pos_tests::people::{GINA, GROCER};
use pos_tests::real_server::RealServer;

use super::load::{Load, TokenSource};
use super::{acting, on_both};

on_both!(alone: new_keys_are_taken_up_under_load_and_withdrawn_ones_given_up);

/// Without a cool-down every token of a key that is not known leads to a fetch, and so none may be refused. That a fetch
/// waits for the cool-down is `identity::key_refresh`'s to show, by a clock that stands still.
const NO_COOLDOWN: [(&str, &str); 1] = [("POS__IDENTITY__REFRESH_COOLDOWN_SECS", "0")];

async fn new_keys_are_taken_up_under_load_and_withdrawn_ones_given_up(issuer: Issuer) {
    let server = Arc::new(RealServer::start(&issuer.url, &NO_COOLDOWN).await);
    let old = acting(&server, &issuer, GINA).await;
    let load = Load::start(&server, &TokenSource::Fresh);
    load.go_on_for(10).await;

    issuer.rotate_keys(false).await;
    let new = acting(&server, &issuer, GINA).await;
    assert_ne!(key_id(&old), key_id(&new));
    load.go_on_for(40).await;
    for call in load.stop().await {
        assert!(call.went_well(), "{call:?}");
    }
    for token in [&old, &new] {
        assert_eq!(server.claim_new_device(token, GROCER).await.status, 200, "both keys are published");
    }

    issuer.rotate_keys(true).await;
    // Nothing tells the server but a token of the new key; once that is let in, the withdrawn keys are gone.
    let newest = acting(&server, &issuer, GINA).await;
    assert_ne!(key_id(&new), key_id(&newest));
    assert_eq!(server.claim_new_device(&newest, GROCER).await.status, 200);
    for withdrawn in [&old, &new] {
        let refused = server.claim_new_device(withdrawn, GROCER).await;
        assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired");
    }
    Arc::into_inner(server).expect("nobody else uses it").stop().await;
}
