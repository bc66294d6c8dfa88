//! The development issuer, as a relying party uses it.

mod authorization_code;
mod back_channel;
mod endpoints;
mod grants;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::reqwest::{Client, Response, redirect};
use pos_dev_idp::RunningDevIdp;
use pos_port_clock::ManualClock;
use serde_json::Value;

use super::support::{clock, start_idp};

/// A running issuer and an HTTP client that follows no redirects.
struct IssuerFixture {
    clock: Arc<ManualClock>,
    idp: RunningDevIdp,
    http: Client,
}

impl IssuerFixture {
    async fn new() -> Self {
        let clock = clock();
        let idp = start_idp(&clock).await;
        let http = Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Self { clock, idp, http }
    }

    fn endpoint(&self, name: &str) -> String {
        format!("{}/protocol/openid-connect/{name}", self.idp.issuer())
    }

    /// Posts to the token endpoint and returns status and body.
    async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        json(self.http.post(self.endpoint("token")).form(form).send().await.expect("answered")).await
    }

    /// Logs in by password and returns the token response.
    async fn log_in(&self, client_id: &str) -> Value {
        let form = [
            ("grant_type", "password"),
            ("client_id", client_id),
            ("username", "mia"),
            ("password", "correct horse"),
            ("scope", "openid"),
        ];
        let (status, answer) = self.token(&form).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

async fn json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.text().await.expect("read");
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("not JSON: {body}")))
}

/// The unverified claims of a token.
fn claims(token: &Value) -> Value {
    let payload = token.as_str().and_then(|token| token.split('.').nth(1)).expect("a token");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}
