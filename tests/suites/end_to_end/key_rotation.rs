//! Rotation of the realm's signing keys under load.

use std::sync::Arc;

use pos_tests::issuer::{Issuer, key_id};
use pos_tests::real_server::RealServer;
use pos_tests::users::{GINA, GROCER};

use super::load::{Load, TokenSource};
use super::{on_both, token_with_session};

on_both!(exclusive: new_keys_are_accepted_under_load_and_withdrawn_keys_rejected);

/// Without a cool-down every token of an unknown key causes a fetch, so none may be rejected. `identity::key_refresh` tests
/// that a fetch waits for the cool-down, with a manual clock.
const NO_COOLDOWN: [(&str, &str); 1] = [("POS__IDENTITY__REFRESH_COOLDOWN_SECS", "0")];

async fn new_keys_are_accepted_under_load_and_withdrawn_keys_rejected(issuer: Issuer) {
    let server = Arc::new(RealServer::start(&issuer.url, &NO_COOLDOWN).await);
    let old = token_with_session(&server, &issuer, GINA).await;
    let load = Load::start(&server, &TokenSource::Fresh);
    load.wait_for_calls(10).await;

    issuer.rotate_keys(false).await;
    let new = token_with_session(&server, &issuer, GINA).await;
    assert_ne!(key_id(&old), key_id(&new));
    load.wait_for_calls(40).await;
    for call in load.stop().await {
        assert!(call.succeeded(), "{call:?}");
    }
    for token in [&old, &new] {
        assert_eq!(server.claim_new_device(token, GROCER).await.status, 200, "both keys are published");
    }

    issuer.rotate_keys(true).await;
    // Only a token of the new key makes the server fetch keys. Once it is accepted, the withdrawn keys are removed.
    let newest = token_with_session(&server, &issuer, GINA).await;
    assert_ne!(key_id(&new), key_id(&newest));
    assert_eq!(server.claim_new_device(&newest, GROCER).await.status, 200);
    for withdrawn in [&old, &new] {
        let refused = server.claim_new_device(withdrawn, GROCER).await;
        assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired");
    }
    Arc::into_inner(server).expect("the only reference").stop().await;
}
