//! A token's end, by the provider's clock and ours.

use std::time::{Duration, Instant};

use pos_tests::issuer::{Issuer, TEST_LOGIN_SHORT, claims};
use pos_tests::people::{GINA, GROCER};
use pos_tests::real_server::RealServer;

use super::load::PATIENCE;
use super::on_both;

on_both!(a_token_ends_when_it_says_and_a_refreshed_one_goes_on);

async fn a_token_ends_when_it_says_and_a_refreshed_one_goes_on(issuer: Issuer) {
    let settings = [("POS__IDENTITY__LEEWAY_SECS", "0"), ("POS__CLAIM__MAX_FAILURES", "1000")];
    let server = RealServer::start(&issuer.url, &settings).await;
    // The keys must be there already, so that no fetch eats the token's time.
    let begun = Instant::now();
    while server.ready().await.json()["identity"] != "ok" {
        assert!(begun.elapsed() < PATIENCE, "no keys come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let device = server.device(GROCER).await;
    let begun = Instant::now();
    let tokens = issuer.token(GINA, TEST_LOGIN_SHORT).await.expect("tokens");
    let said = claims(&tokens.access);
    assert_eq!(said["exp"].as_i64().zip(said["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(5));
    // An unknown code: accepted at the door means 400, refused there means 401.
    assert_eq!(server.claim(&tokens.access, "ZZZZZZ").await.status, 400);
    loop {
        let answer = server.claim(&tokens.access, "ZZZZZZ").await;
        if answer.status == 401 {
            assert_eq!(answer.failure(401, "4001"), "Access token is invalid or expired");
            break;
        }
        assert_eq!(answer.failure(400, "4004"), "Pairing code not found");
        // Its seconds and some more, for a machine that does much else.
        assert!(begun.elapsed() < Duration::from_secs(10), "it outlives its own word");
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    // Its `iat` is in whole seconds, so a second less may have passed.
    assert!(begun.elapsed() > Duration::from_secs(3), "it ended early");
    let refreshed = issuer.refresh(&tokens).await.expect("the session outlives it");
    let code = server.code(&device).await;
    assert_eq!(server.claim(&refreshed.access, &code).await.status, 200);
    server.stop().await;
}
