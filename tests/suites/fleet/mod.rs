//! Management of devices, locations and merchants over real HTTP, on both engines, with the OIDC verifier and the
//! development issuer.

mod authorization;
mod bad_input;
mod idempotency;
mod lifecycle;
mod pagination;

use pos_tests::server::{Answer, TestServer, send};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::sessions::fixture::{SessionFixture, initiate};

/// HTTP client of a user with an initiated session.
pub(crate) struct UserClient<'s> {
    server: &'s TestServer,
    pub(crate) token: String,
}

impl<'s> UserClient<'s> {
    /// Logs a user in and initiates the session.
    pub(crate) async fn new(fixture: &SessionFixture, server: &'s TestServer, user: &str) -> Self {
        let token = fixture.log_in(user).await.access;
        assert_eq!(initiate(server, &token).await.status, 200, "{user}");
        Self { server, token }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post_empty(&self, path: &str) -> Answer {
        send(self.request(Method::POST, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).header("Idempotency-Key", key).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::PATCH, path).json(body)).await
    }

    /// Provisions a device for the user's merchant and returns its id.
    pub(crate) async fn device(&self) -> String {
        let made = self.post("/merchant/devices", &serde_json::json!({})).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["device_id"].as_str().unwrap().to_owned()
    }
}

/// The path of a resource of a reseller's merchant.
fn reseller_path(merchant: pos_domain::shared::MerchantId, rest: &str) -> String {
    format!("/reseller/merchants/{merchant}/{rest}")
}

/// The values of one field in a list.
fn ids(answer: &Answer, name: &str) -> Vec<String> {
    let items = answer.json()["items"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
    items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}
