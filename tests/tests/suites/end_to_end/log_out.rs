//! Log-out at the provider, and what it ends here.

use pos_tests::issuer::{Issuer, Tokens};
use pos_tests::people::{GABE, GINA, Person};
use pos_tests::real_server::RealServer;

use super::{acts, on_both, server};

/// Stories whose server the provider does not know.
mod untold {
    use super::*;

    on_both!(after_a_log_out_no_new_tokens_come);

    /// A server that is not told cannot know: an access token says itself how long it holds, and nobody is asked.
    async fn after_a_log_out_no_new_tokens_come(issuer: Issuer) {
        let server = server(&issuer).await;
        let (tokens, other) = (log_in(&server, &issuer, GINA).await, log_in(&server, &issuer, GABE).await);
        issuer.logout(&tokens).await;
        let refused = issuer.refresh(&tokens).await.expect_err("refused");
        assert_eq!((refused.status, refused.error.as_str()), (400, "invalid_grant"));
        assert!(acts(&server, &tokens.access).await, "until it expires");
        let other = issuer.refresh(&other).await.expect("another's session goes on");
        assert!(acts(&server, &other.access).await);
        server.stop().await;
    }
}

/// Stories whose server the provider calls, for which no other test may use it.
mod told {
    use super::*;

    on_both!(alone: a_log_out_ends_the_session_at_once);

    async fn a_log_out_ends_the_session_at_once(issuer: Issuer) {
        let server = server(&issuer).await;
        let before = issuer.tell_of_log_outs_at(&server.backchannel_logout_uri()).await;
        let (tokens, elsewhere) = (log_in(&server, &issuer, GINA).await, log_in(&server, &issuer, GINA).await);
        let other = log_in(&server, &issuer, GABE).await;
        let newest = issuer.refresh(&tokens).await.expect("new tokens");
        for token in [&tokens, &newest, &elsewhere, &other] {
            assert!(acts(&server, &token.access).await);
        }

        // The provider calls before it answers, so there is nothing to wait for.
        issuer.logout(&newest).await;
        for token in [&tokens, &newest] {
            assert!(!acts(&server, &token.access).await, "though the token still holds");
            assert_eq!(server.initiate(&token.access).await.failure(401, "4001"), "Session was logged out");
        }
        assert!(acts(&server, &elsewhere.access).await, "the same person's other log-in goes on");
        assert!(acts(&server, &other.access).await, "and so does another person");
        let anew = log_in(&server, &issuer, GINA).await;
        assert!(acts(&server, &anew.access).await);
        issuer.tell_of_log_outs_at(&before).await;
        server.stop().await;
    }
}

/// Logs a person in at the portal and initiates the session.
async fn log_in(server: &RealServer, issuer: &Issuer, person: Person) -> Tokens {
    let tokens = issuer.login(person).await;
    let initiated = server.initiate(&tokens.access).await;
    assert_eq!(initiated.status, 200, "{initiated:?}");
    tokens
}
