//! How a person gets in at the portal, and out again.

use pos_tests::issuer::{Issuer, PORTAL};
use pos_tests::people::{GABE, GINA};

use super::on_both;

on_both!(
    a_wrong_password_shows_the_form_again,
    a_stolen_code_buys_nothing,
    a_code_buys_tokens_once,
    the_portal_must_use_pkce_and_takes_no_passwords,
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
