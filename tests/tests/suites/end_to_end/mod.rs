//! The whole way, over real HTTP: a person or a machine gets a token from an identity provider, and our server lets them
//! do what they may. Every story is told twice, with a real Keycloak and with the development issuer, which are held to
//! one behaviour by that.
//!
//! Where Keycloak cannot be had, its half says `SKIPPED keycloak` and why.

mod claiming;
mod expiry;
mod keycloak_only;
mod load;
mod log_in;
mod log_out;
mod outage;
mod people;
mod provisioning;
mod rotation;

use pos_tests::issuer::{Issuer, TEST_LOGIN};
use pos_tests::people::Person;
use pos_tests::real_server::RealServer;
use reqwest::Method;
use serde_json::json;

/// Tells stories, `async fn(Issuer)`, with each provider; `alone` those that change its keys or take it down.
macro_rules! on_both {
    (alone: $($story:ident),+ $(,)?) => { $crate::end_to_end::on_both!(@ keycloak_alone: $($story),+); };
    ($($story:ident),+ $(,)?) => { $crate::end_to_end::on_both!(@ keycloak: $($story),+); };
    (@ $keycloak:ident: $($story:ident),+) => {
        mod dev_idp {
            use pos_tests::issuer::Issuer;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    super::$story(Issuer::dev_idp().await).await;
                }
            )+
        }
        mod keycloak {
            use pos_tests::issuer::Issuer;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    if let Some(issuer) = Issuer::$keycloak().await {
                        super::$story(issuer).await;
                    }
                }
            )+
        }
    };
}
use on_both;

/// A server that trusts `issuer` and is not strict about guessing, so that a story may claim often.
async fn server(issuer: &Issuer) -> RealServer {
    RealServer::start(&issuer.url, &[("POS__CLAIM__MAX_FAILURES", "1000")]).await
}

/// An access token of a person, the short way.
async fn token(issuer: &Issuer, person: Person) -> String {
    issuer.token(person, TEST_LOGIN).await.expect("a token").access
}

/// An access token of a person whose session is initiated.
async fn acting(server: &RealServer, issuer: &Issuer, person: Person) -> String {
    let token = token(issuer, person).await;
    let initiated = server.initiate(&token).await;
    assert_eq!(initiated.status, 200, "{initiated:?}");
    token
}

/// Whether a token may act for a merchant, at the door of the claim and at that of the merchant's own routes.
async fn acts(server: &RealServer, token: &str) -> bool {
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

/// A device that a merchant's person or machine makes known through the API.
async fn provision(server: &RealServer, token: &str) -> String {
    let made = server.call(Method::POST, "/merchant/devices", token, Some(&json!({}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["device_id"].as_str().expect("an id").to_owned()
}
