//! A token's end, to the second, by the server's clock.

use pos_tests::issuer::{Issuer, TEST_LOGIN, TEST_LOGIN_SHORT, claims};
use pos_tests::people::{GINA, GROCER, GROCER_API};
use pos_tests::real_server::RealServer;

use super::{acts, on_both};

on_both!(
    a_token_ends_when_it_says_and_a_refreshed_one_goes_on,
    a_machines_session_ends_with_its_token,
    a_client_may_have_tokens_of_its_own_length,
);

async fn a_token_ends_when_it_says_and_a_refreshed_one_goes_on(issuer: Issuer) {
    let server = RealServer::start(&issuer.url, &[("POS__IDENTITY__LEEWAY_SECS", "0")]).await;
    let device = server.device(GROCER).await;
    let tokens = issuer.token(GINA, TEST_LOGIN).await.expect("tokens");
    let lifetime = lifetime(&tokens.access);
    assert_eq!(server.initiate(&tokens.access).await.status, 200);
    assert!(acts(&server, &tokens.access).await);
    server.move_clock(lifetime);
    let refused = server.claim(&tokens.access, "ZZZZZZ").await;
    assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired", "though it was verified before");
    server.move_clock(-lifetime);
    let refreshed = issuer.refresh(&tokens).await.expect("the session outlives it");
    let code = server.code(&device).await;
    assert_eq!(server.claim(&refreshed.access, &code).await.status, 200, "without initiating anew");
    server.stop().await;
}

async fn a_machines_session_ends_with_its_token(issuer: Issuer) {
    let server = RealServer::start(&issuer.url, &[("POS__IDENTITY__LEEWAY_SECS", "0")]).await;
    let answer = server.client_session(GROCER_API).await.json();
    let token = answer["access_token"].as_str().expect("a token");
    assert!(acts(&server, token).await);
    server.move_clock(lifetime(token));
    let refused = server.claim(token, "ZZZZZZ").await;
    assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired");
    server.move_clock(-lifetime(token));
    assert!(acts(&server, &server.machine(GROCER_API).await).await, "it shows its secret again");
    server.stop().await;
}

async fn a_client_may_have_tokens_of_its_own_length(issuer: Issuer) {
    let tokens = issuer.token(GINA, TEST_LOGIN_SHORT).await.expect("tokens");
    assert_eq!(lifetime(&tokens.access), 5);
}

/// In seconds, as the token says.
fn lifetime(token: &str) -> i64 {
    let said = claims(token);
    said["exp"].as_i64().zip(said["iat"].as_i64()).map(|(exp, iat)| exp - iat).expect("both times")
}
