//! End-to-end tests over real HTTP: a user or an API client gets a token from an identity provider and uses the API.
//!
//! Every test runs twice, with a real Keycloak and with the development issuer, so both must behave the same. Without
//! Keycloak its half is skipped and prints `SKIPPED keycloak` and the reason.

mod claiming;
mod expiry;
mod key_rotation;
mod keycloak_only;
mod load;
mod login;
mod logout;
mod outage;
mod provisioning;
mod token_claims;

use pos_tests::issuer::{Issuer, TEST_LOGIN};
use pos_tests::real_server::RealServer;
use pos_tests::users::User;
use reqwest::Method;
use serde_json::json;

/// Runs tests, `async fn(Issuer)`, with each provider. With `exclusive` they lock Keycloak and may change or stop it.
macro_rules! on_both {
    (exclusive: $($case:ident),+ $(,)?) => { $crate::end_to_end::on_both!(@ keycloak_exclusive: $($case),+); };
    ($($case:ident),+ $(,)?) => { $crate::end_to_end::on_both!(@ keycloak: $($case),+); };
    (@ $keycloak:ident: $($case:ident),+) => {
        mod dev_idp {
            use pos_tests::issuer::Issuer;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(Issuer::dev_idp().await).await;
                }
            )+
        }
        mod keycloak {
            use pos_tests::issuer::Issuer;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(issuer) = Issuer::$keycloak().await {
                        super::$case(issuer).await;
                    }
                }
            )+
        }
    };
}
use on_both;

/// A server that trusts `issuer`, with a high limit of failed claims, so that a test may claim often.
async fn server(issuer: &Issuer) -> RealServer {
    RealServer::start(&issuer.url, &[("POS__CLAIM__MAX_FAILURES", "1000")]).await
}

/// An access token of a user, by the password grant.
async fn token(issuer: &Issuer, user: User) -> String {
    issuer.token(user, TEST_LOGIN).await.expect("a token").access
}

/// An access token of a user, with an initiated session.
async fn token_with_session(server: &RealServer, issuer: &Issuer, user: User) -> String {
    let token = token(issuer, user).await;
    let initiated = server.initiate(&token).await;
    assert_eq!(initiated.status, 200, "{initiated:?}");
    token
}

/// Whether a token is accepted for a merchant, by the claim route and by the merchant's routes alike.
async fn is_authorized(server: &RealServer, token: &str) -> bool {
    let claim = server.claim(token, "ZZZZZZ").await;
    let list = server.call(Method::GET, "/merchant/devices", token, None).await;
    if list.status == 200 {
        assert_eq!(claim.failure(400, "4004"), "Pairing code not found");
        return true;
    }
    for refused in [claim, list] {
        assert_eq!(refused.failure(401, "4001"), "Session has not been initiated");
    }
    false
}

/// Provisions a device through the API with a token of a merchant, and returns its id.
async fn provision(server: &RealServer, token: &str) -> String {
    let made = server.call(Method::POST, "/merchant/devices", token, Some(&json!({}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["device_id"].as_str().expect("an id").to_owned()
}
