use anyhow::Context as _;
use pos_terminal::Sent;
use reqwest::Client;
use serde_json::{Value, json};

use super::super::dev_idp::{CLIENT, PASSWORD, USER};
use super::narrator::Narrator;

/// The merchant's portal, as far as the demo needs one.
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

    /// The token, to be printed in the demo's curl lines.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Types a code.
    pub(super) async fn claim(&self, url: &str, code: &str, narrator: &Narrator) -> anyhow::Result<Value> {
        let body = json!({ "pairing_code": code }).to_string();
        let url = format!("{url}/pos/claim");
        let request = self.client.post(&url).bearer_auth(&self.token).header("content-type", "application/json");
        let response = request.body(body.clone()).send().await?;
        let (status, answer) = (response.status().as_u16(), response.text().await?);
        let start: String = self.token.chars().take(12).collect();
        let headers = [("authorization", format!("Bearer {start}…")), ("content-type", "application/json".to_owned())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        narrator.wire(&Sent { method: "POST".to_owned(), url, headers }, Some(&body), status, &answer);
        serde_json::from_str(&answer).context("the claim's answer")
    }
}
