//! How a person gets in at the portal, and out again.

use pos_tests::issuer::{Issuer, PORTAL};
use pos_tests::people::{GABE, GINA, GROCER};

use super::{on_both, server};

on_both!(
    a_wrong_password_shows_the_form_again,
    a_stolen_code_buys_nothing,
    a_code_buys_tokens_once,
    the_portal_must_use_pkce_and_takes_no_passwords,
    after_a_log_out_no_new_tokens_come,
);

async fn a_wrong_password_shows_the_form_again(issuer: Issuer) {
    let log_in = issuer.browser().await;
    assert_eq!(log_in.submit(GABE.name, "wrong").await, None);
    assert_eq!(issuer.browser().await.submit("nobody", "wrong").await, None);
}

async fn a_stolen_code_buys_nothing(issuer: Issuer) {
    let log_in = issuer.browser().await;
    let code = log_in.submit(GINA.name, &GINA.password()).await.expect("a code");
    let refused = log_in.redeem_as_thief(&issuer, &code).await.expect_err("refused");
    assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
}

async fn a_code_buys_tokens_once(issuer: Issuer) {
    let log_in = issuer.browser().await;
    let code = log_in.submit(GINA.name, &GINA.password()).await.expect("a code");
    let tokens = log_in.redeem(&issuer, &code).await.expect("tokens");
    let refused = log_in.redeem(&issuer, &code).await.expect_err("refused");
    assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
    let refused = issuer.refresh(&tokens).await.expect_err("the session of a stolen code is ended");
    assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
}

async fn the_portal_must_use_pkce_and_takes_no_passwords(issuer: Issuer) {
    assert_eq!(issuer.log_in_without_pkce().await.as_deref(), Some("invalid_request"));
    let refused = issuer.token(GINA, PORTAL).await.expect_err("refused");
    assert_eq!((refused.status, refused.error.as_str()), (400, "unauthorized_client"));
}

/// What the log-out cannot reach is the access token: it says itself how long it holds, and nobody is asked. That is why
/// its life is short.
async fn after_a_log_out_no_new_tokens_come(issuer: Issuer) {
    let server = server(&issuer).await;
    let (tokens, other) = (issuer.login(GINA).await, issuer.login(GABE).await);
    issuer.logout(&tokens).await;
    let refused = issuer.refresh(&tokens).await.expect_err("refused");
    assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
    assert_eq!(server.claim_new_device(&tokens.access, GROCER).await.status, 200, "until it expires");
    let other = issuer.refresh(&other).await.expect("another's session goes on");
    assert_eq!(server.claim_new_device(&other.access, GROCER).await.status, 200);
    server.stop().await;
}
