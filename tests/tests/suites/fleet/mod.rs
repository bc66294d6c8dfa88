//! Devices, locations and merchants over real HTTP, with the real verifier and the development issuer, on both engines.

mod bad_input;
mod idempotency;
mod life;
mod pages;
mod tenants;

use pos_tests::server::{Answer, TestServer, send};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::sessions::world::{World, initiate};

/// Somebody with a session at a server.
pub(crate) struct Caller<'s> {
    server: &'s TestServer,
    pub(crate) token: String,
}

impl<'s> Caller<'s> {
    /// Logs a user in and initiates the session.
    pub(crate) async fn new(world: &World, server: &'s TestServer, user: &str) -> Self {
        let token = world.log_in(user).await.access;
        assert_eq!(initiate(server, &token).await.status, 200, "{user}");
        Self { server, token }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn act(&self, path: &str) -> Answer {
        send(self.request(Method::POST, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).header("Idempotency-Key", key).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::PATCH, path).json(body)).await
    }

    /// Makes a device of the caller's merchant known and answers its id.
    pub(crate) async fn device(&self) -> String {
        let made = self.post("/merchant/devices", &serde_json::json!({})).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["device_id"].as_str().unwrap().to_owned()
    }
}

/// A path below a reseller's merchant.
fn below(merchant: pos_domain::MerchantId, rest: &str) -> String {
    format!("/reseller/merchants/{merchant}/{rest}")
}

/// The ids in a list.
fn ids(answer: &Answer, name: &str) -> Vec<String> {
    let items = answer.json()["items"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
    items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}
