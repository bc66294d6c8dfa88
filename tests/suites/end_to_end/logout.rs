//! Log-out at the provider and back-channel logout of sessions.

use pos_tests::issuer::{Issuer, Tokens};
use pos_tests::real_server::RealServer;
use pos_tests::users::{GABE, GINA, User};

use super::{is_authorized, on_both, server};

/// Without a back-channel logout URI at the provider.
mod without_back_channel {
    use super::*;

    on_both!(a_logout_ends_refresh_but_not_the_access_token);

    /// Without a notice the access token stays valid until it expires, because the server does not ask the provider.
    async fn a_logout_ends_refresh_but_not_the_access_token(issuer: Issuer) {
        let server = server(&issuer).await;
        let (tokens, other) = (log_in(&server, &issuer, GINA).await, log_in(&server, &issuer, GABE).await);
        issuer.logout(&tokens).await;
        let refused = issuer.refresh(&tokens).await.expect_err("refused");
        assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
        assert!(is_authorized(&server, &tokens.access).await, "until it expires");
        let other = issuer.refresh(&other).await.expect("another user's session is unaffected");
        assert!(is_authorized(&server, &other.access).await);
        server.stop().await;
    }
}

/// With the server's back-channel logout URI at the provider, for which the test locks the provider.
mod with_back_channel {
    use super::*;

    on_both!(exclusive: a_logout_ends_the_session_at_once);

    async fn a_logout_ends_the_session_at_once(issuer: Issuer) {
        let server = server(&issuer).await;
        let before = issuer.set_backchannel_logout_uri(&server.backchannel_logout_uri()).await;
        let (tokens, elsewhere) = (log_in(&server, &issuer, GINA).await, log_in(&server, &issuer, GINA).await);
        let other = log_in(&server, &issuer, GABE).await;
        let newest = issuer.refresh(&tokens).await.expect("new tokens");
        for token in [&tokens, &newest, &elsewhere, &other] {
            assert!(is_authorized(&server, &token.access).await);
        }

        // The provider sends the logout token before it responds, so there is nothing to wait for.
        issuer.logout(&newest).await;
        for token in [&tokens, &newest] {
            assert!(!is_authorized(&server, &token.access).await, "although the token has not expired");
            assert_eq!(server.initiate(&token.access).await.failure(401, "4001"), "Session was logged out");
        }
        assert!(is_authorized(&server, &elsewhere.access).await, "the user's other log-in is unaffected");
        assert!(is_authorized(&server, &other.access).await, "and so is another user");
        let after = log_in(&server, &issuer, GINA).await;
        assert!(is_authorized(&server, &after.access).await);
        issuer.set_backchannel_logout_uri(&before).await;
        server.stop().await;
    }
}

/// Logs a user in at the portal and initiates the session.
async fn log_in(server: &RealServer, issuer: &Issuer, user: User) -> Tokens {
    let tokens = issuer.login(user).await;
    let initiated = server.initiate(&tokens.access).await;
    assert_eq!(initiated.status, 200, "{initiated:?}");
    tokens
}
