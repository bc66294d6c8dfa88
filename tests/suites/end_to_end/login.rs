//! Log-in at the portal: password form, authorization code and PKCE.

use pos_tests::issuer::{Issuer, PORTAL};
use pos_tests::users::{GABE, GINA};

use super::on_both;

on_both!(
    a_wrong_password_shows_the_form_again,
    a_code_cannot_be_redeemed_without_its_verifier,
    a_code_can_be_redeemed_once,
    the_portal_requires_pkce_and_has_no_password_grant,
);

async fn a_wrong_password_shows_the_form_again(issuer: Issuer) {
    let log_in = issuer.browser().await;
    assert_eq!(log_in.submit(GABE.name, "wrong").await, None);
    assert_eq!(issuer.browser().await.submit("nobody", "wrong").await, None);
}

async fn a_code_cannot_be_redeemed_without_its_verifier(issuer: Issuer) {
    let log_in = issuer.browser().await;
    let code = log_in.submit(GINA.name, &GINA.password()).await.expect("a code");
    let refused = log_in.redeem_with_wrong_verifier(&issuer, &code).await.expect_err("refused");
    assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
}

async fn a_code_can_be_redeemed_once(issuer: Issuer) {
    let log_in = issuer.browser().await;
    let code = log_in.submit(GINA.name, &GINA.password()).await.expect("a code");
    let tokens = log_in.redeem(&issuer, &code).await.expect("tokens");
    let refused = log_in.redeem(&issuer, &code).await.expect_err("refused");
    assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
    let refused = issuer.refresh(&tokens).await.expect_err("a second redemption ends the session");
    assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
}

async fn the_portal_requires_pkce_and_has_no_password_grant(issuer: Issuer) {
    assert_eq!(issuer.log_in_without_pkce().await.as_deref(), Some("invalid_request"));
    let refused = issuer.token(GINA, PORTAL).await.expect_err("refused");
    assert_eq!((refused.status, refused.error.as_str()), (400, "unauthorized_client"));
}
