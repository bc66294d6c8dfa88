//! Portal client of the demo merchant.

use anyhow::{Context as _, ensure};
use pos_terminal::Sent;
use reqwest::Client;
use serde_json::{Value, json};

use super::super::dev_idp::{CLIENT, PASSWORD, USER};
use super::narrator::Narrator;

/// Host of the portal, as in the default settings.
pub(super) const HOST: &str = "merchant.viopay.io";

/// A merchant's portal with the requests that the demo needs.
pub(super) struct Merchant {
    client: Client,
    token: String,
}

impl Merchant {
    /// Logs in with user name and password, as `curl` would.
    pub(super) async fn log_in(issuer: &str) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        let form = format!("grant_type=password&client_id={CLIENT}&username={USER}&password={PASSWORD}");
        let request = client.post(format!("{issuer}/protocol/openid-connect/token")).body(form);
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await?;
        let tokens: Value = answer.error_for_status()?.json().await?;
        let token = tokens.get("access_token").and_then(Value::as_str).context("the issuer gave no token")?.to_owned();
        Ok(Self { client, token })
    }

    /// The access token, for the curl commands that the demo prints.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Initiates the session with the portal's host.
    pub(super) async fn initiate(&self, url: &str, narrator: &Narrator) -> anyhow::Result<()> {
        let answer = self.post(&format!("{url}/session/initiate"), &json!({ "host": HOST }), narrator).await?;
        let initiated = answer.get("status").and_then(Value::as_str) == Some("initiated");
        ensure!(initiated, "the session was not initiated: {answer}");
        Ok(())
    }

    /// Claims a device by its pairing code.
    pub(super) async fn claim(&self, url: &str, code: &str, narrator: &Narrator) -> anyhow::Result<Value> {
        self.post(&format!("{url}/pos/claim"), &json!({ "pairing_code": code }), narrator).await
    }

    async fn post(&self, url: &str, body: &Value, narrator: &Narrator) -> anyhow::Result<Value> {
        let body = body.to_string();
        let request = self.client.post(url).bearer_auth(&self.token).header("content-type", "application/json");
        let response = request.body(body.clone()).send().await?;
        let (status, answer) = (response.status().as_u16(), response.text().await?);
        let start: String = self.token.chars().take(12).collect();
        let headers = [("authorization", format!("Bearer {start}…")), ("content-type", "application/json".to_owned())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let sent = Sent { method: "POST".to_owned(), url: url.to_owned(), headers };
        narrator.wire(&sent, Some(&body), status, &answer);
        serde_json::from_str(&answer).context("the answer")
    }
}
