//! Expiry of access tokens, to the second, by the server's clock.

use pos_tests::issuer::{Issuer, TEST_LOGIN, TEST_LOGIN_SHORT, claims};
use pos_tests::real_server::RealServer;
use pos_tests::users::{GINA, GROCER, GROCER_API};

use super::{is_authorized, on_both};

on_both!(
    a_token_expires_at_its_exp_and_a_refreshed_one_is_valid,
    an_api_clients_session_ends_with_its_token,
    a_client_may_have_its_own_token_lifetime,
);

async fn a_token_expires_at_its_exp_and_a_refreshed_one_is_valid(issuer: Issuer) {
    let server = RealServer::start(&issuer.url, &[("POS__IDENTITY__LEEWAY_SECS", "0")]).await;
    let device = server.device(GROCER).await;
    let tokens = issuer.token(GINA, TEST_LOGIN).await.expect("tokens");
    let lifetime = lifetime(&tokens.access);
    assert_eq!(server.initiate(&tokens.access).await.status, 200);
    assert!(is_authorized(&server, &tokens.access).await);
    server.move_clock(lifetime);
    let refused = server.claim(&tokens.access, "ZZZZZZ").await;
    assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired", "although it was verified before");
    server.move_clock(-lifetime);
    let refreshed = issuer.refresh(&tokens).await.expect("the session outlives the token");
    let code = server.code(&device).await;
    assert_eq!(server.claim(&refreshed.access, &code).await.status, 200, "without a second initiate");
    server.stop().await;
}

async fn an_api_clients_session_ends_with_its_token(issuer: Issuer) {
    let server = RealServer::start(&issuer.url, &[("POS__IDENTITY__LEEWAY_SECS", "0")]).await;
    let answer = server.client_session(GROCER_API).await.json();
    let token = answer["access_token"].as_str().expect("a token");
    assert!(is_authorized(&server, token).await);
    server.move_clock(lifetime(token));
    let refused = server.claim(token, "ZZZZZZ").await;
    assert_eq!(refused.failure(401, "4001"), "Access token is invalid or expired");
    server.move_clock(-lifetime(token));
    assert!(
        is_authorized(&server, &server.client_access_token(GROCER_API).await).await,
        "with its secret the client gets a new session"
    );
    server.stop().await;
}

async fn a_client_may_have_its_own_token_lifetime(issuer: Issuer) {
    let tokens = issuer.token(GINA, TEST_LOGIN_SHORT).await.expect("tokens");
    assert_eq!(lifetime(&tokens.access), 5);
}

/// `exp` minus `iat`, in seconds.
fn lifetime(token: &str) -> i64 {
    let claims = claims(token);
    claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat).expect("both times")
}
