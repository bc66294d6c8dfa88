//! Sender of logout tokens to clients (OpenID Connect Back-Channel Logout 1.0).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, redirect};
use serde_json::{Map, Value, json};

use crate::settings::DevClient;

/// Time limit for a client's response. Only the user's own log-out waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Lifetime of a logout token, in seconds: two minutes at most (section 2.4).
const LIFETIME: i64 = 120;

/// The clients' logout addresses, and the HTTP client that calls them.
pub(crate) struct Backchannel {
    http: Client,
    addresses: Mutex<HashMap<String, String>>,
}

impl Backchannel {
    /// Starts with the addresses from the settings.
    pub(crate) fn new(clients: &[DevClient]) -> Result<Self, reqwest::Error> {
        // No idle connections: they would break with the issuer's runtime each time the issuer is halted. No proxy:
        // clients are on this machine.
        let http = Client::builder()
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()?;
        let address = |client: &DevClient| Some((client.client_id.clone(), client.backchannel_logout_uri.clone()?));
        Ok(Self { http, addresses: Mutex::new(clients.iter().filter_map(address).collect()) })
    }

    /// Sets or removes a client's address, and returns the previous one.
    pub(crate) fn set(&self, client_id: &str, address: Option<&str>) -> Option<String> {
        match address {
            Some(address) => self.addresses().insert(client_id.to_owned(), address.to_owned()),
            None => self.addresses().remove(client_id),
        }
    }

    pub(crate) fn address(&self, client_id: &str) -> Option<String> {
        self.addresses().get(client_id).cloned()
    }

    /// Sends a logout token and waits for the response. A failure is only logged, as in Keycloak: the session has already
    /// ended.
    pub(crate) async fn send(&self, address: &str, token: &str) {
        match self.http.post(address).form(&[("logout_token", token)]).send().await {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => {
                tracing::warn!(address, status = response.status().as_u16(), "a client rejected a logout token");
            }
            Err(error) => tracing::warn!(address, %error, "failed to send a logout token to a client"),
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Claims of a logout token (section 2.4), with Keycloak's `typ`.
pub(crate) fn claims(issuer: &str, client_id: &str, sub: &str, session_id: &str, jti: &str, now: i64) -> Value {
    json!({
        "iss": issuer, "sub": sub, "aud": client_id, "iat": now, "exp": now + LIFETIME, "jti": jti, "typ": "Logout",
        "sid": session_id, "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    })
}

/// Header of a logout token (section 2.4: explicit typing).
pub(crate) fn header() -> Map<String, Value> {
    Map::from_iter([("typ".to_owned(), json!("logout+jwt"))])
}
