//! The realm's keys change while the server serves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pos_tests::issuer::{Issuer, key_id};
use pos_tests::people::{GINA, GROCER};
use pos_tests::real_server::RealServer;

use super::load::{Load, TokenSource, What};
use super::{on_both, token};

on_both!(alone: new_keys_are_taken_up_under_load_and_withdrawn_ones_given_up);

/// `identity.refresh_cooldown_secs` of these servers. For so long after a fetch the next must wait, and for so long a
/// token of a key that came after that fetch is refused.
const COOLDOWN: Duration = Duration::from_secs(1);
/// What a fetch and an answer take on a machine that does much else.
const SLACK: Duration = Duration::from_secs(4);

async fn new_keys_are_taken_up_under_load_and_withdrawn_ones_given_up(issuer: Issuer) {
    let issuer = Arc::new(issuer);
    let cooldown = COOLDOWN.as_secs().to_string();
    let server = Arc::new(RealServer::start(&issuer.url, &[("POS__IDENTITY__REFRESH_COOLDOWN_SECS", &cooldown)]).await);
    let old = token(&issuer, GINA).await;
    let load = Load::start(&server, &TokenSource::Fresh(issuer.clone()));
    load.go_on_for(10).await;

    let rotated = Instant::now();
    issuer.rotate_keys(false).await;
    let new = token(&issuer, GINA).await;
    assert_ne!(key_id(&old), key_id(&new));
    load.go_on_for(40).await;
    let calls = load.stop().await;
    for call in &calls {
        let may_be_refused = call.what == What::Claim && call.at >= rotated && call.at < rotated + COOLDOWN + SLACK;
        assert!(call.status == 200 || (may_be_refused && call.status == 401), "{call:?}");
    }
    assert!(calls.iter().rev().filter(|call| call.what == What::Claim).take(10).all(|call| call.status == 200));
    for token in [&old, &new] {
        assert_eq!(server.claim_new_device(token, GROCER).await.status, 200, "both keys are published");
    }

    issuer.rotate_keys(true).await;
    let newest = token(&issuer, GINA).await;
    assert_ne!(key_id(&new), key_id(&newest));
    // Nothing tells the server but a token of the new key; once that is let in, the withdrawn keys are gone.
    let begun = Instant::now();
    while server.claim_new_device(&newest, GROCER).await.status == 401 {
        assert!(begun.elapsed() < COOLDOWN + SLACK, "the new key is not taken up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.claim_new_device(&newest, GROCER).await.status, 200);
    for withdrawn in [&old, &new] {
        let refused = server.claim_new_device(withdrawn, GROCER).await;
        assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired");
    }
    Arc::into_inner(server).expect("nobody else uses it").stop().await;
}
