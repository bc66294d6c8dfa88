//! Telling clients that a session has ended (OpenID Connect Back-Channel Logout 1.0).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, redirect};
use serde_json::{Map, Value, json};

use crate::settings::DevClient;

/// How long a client may take to answer. Nothing hangs on its answer but the log-out of the person who waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a logout token holds, in seconds: two minutes at most, says section 2.4.
const LIFETIME: i64 = 120;

/// The clients' addresses, and the way there.
pub(crate) struct Backchannel {
    http: Client,
    addresses: Mutex<HashMap<String, String>>,
}

impl Backchannel {
    /// The addresses that the clients were set up with.
    pub(crate) fn new(clients: &[DevClient]) -> Result<Self, reqwest::Error> {
        // No connection is kept, for it would die with the issuer's runtime each time the issuer is halted; and
        // clients are on this machine, so no proxy is asked for them.
        let http = Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()?;
        let address = |client: &DevClient| Some((client.client_id.clone(), client.backchannel_logout_uri.clone()?));
        Ok(Self { http, addresses: Mutex::new(clients.iter().filter_map(address).collect()) })
    }

    /// Gives a client another address, or none, and answers the one before.
    pub(crate) fn set(&self, client_id: &str, address: Option<&str>) -> Option<String> {
        match address {
            Some(address) => self.addresses().insert(client_id.to_owned(), address.to_owned()),
            None => self.addresses().remove(client_id),
        }
    }

    /// Where a client wants to be told.
    pub(crate) fn address(&self, client_id: &str) -> Option<String> {
        self.addresses().get(client_id).cloned()
    }

    /// Sends a logout token and waits for the answer. Like Keycloak, whether the client took it is told in the log and
    /// changes nothing: the session is over here.
    pub(crate) async fn send(&self, address: &str, token: &str) {
        match self.http.post(address).form(&[("logout_token", token)]).send().await {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => tracing::warn!(address, status = answer.status().as_u16(), "a client refused a log-out"),
            Err(error) => tracing::warn!(address, %error, "a client could not be told of a log-out"),
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a logout token says (section 2.4), with Keycloak's mark of what it is for.
pub(crate) fn claims(issuer: &str, client_id: &str, sub: &str, session_id: &str, jti: &str, now: i64) -> Value {
    json!({
        "iss": issuer, "sub": sub, "aud": client_id, "iat": now, "exp": now + LIFETIME, "jti": jti, "typ": "Logout",
        "sid": session_id, "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    })
}

/// Its header (section 2.4: explicit typing).
pub(crate) fn header() -> Map<String, Value> {
    Map::from_iter([("typ".to_owned(), json!("logout+jwt"))])
}
