//! Load of claims: users with tokens, and one code for each claim.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_dev_idp::{DevIdp, DevIdpSettings, MintOptions, RunningDevIdp};
use pos_port_clock::Clock as _;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::fleet::{self, CODE, Fleet};
use crate::http_load::send_all;
use crate::measurement::{Latency, Measurement};
use crate::options::Run;
use crate::processes::ServerProcess;

/// Audience of the tokens.
pub(crate) const AUDIENCE: &str = "pos-activation";

/// The portal's host in the default settings.
const HOST: &str = "merchant.viopay.io";

/// An issuer, and a token for each claimant.
pub(crate) struct Portal {
    issuer: RunningDevIdp,
    tokens: Vec<String>,
}

#[derive(Deserialize)]
struct IssuedCode {
    pairing_code: String,
}

impl Portal {
    pub(crate) async fn open(claimants: u32) -> anyhow::Result<Self> {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = DevIdpSettings { audience: AUDIENCE.to_owned(), ..DevIdpSettings::default() };
        let issuer = DevIdp::start(settings, bind, Arc::new(SystemClock), Arc::new(SystemEntropy)).await?;
        let now = SystemClock.now().unix_timestamp();
        let token = |claimant: u32| {
            let claims = json!({
                "iss": issuer.issuer(), "sub": fleet::user(claimant), "aud": [AUDIENCE, "account"], "azp": "portal",
                "typ": "Bearer", "iat": now, "exp": now + 86_400, "jti": Uuid::new_v4(),
                "merchant_id": fleet::merchant(claimant), "scope": "openid profile email",
                "realm_access": {"roles": ["merchant"]}, "roles": ["merchant-admin"], "email_verified": true,
            });
            issuer.mint(&claims, MintOptions::default())
        };
        let tokens = (0..claimants).map(token).collect::<Result<_, _>>()?;
        Ok(Self { issuer, tokens })
    }

    /// The issuer identifier for the server's settings.
    pub(crate) fn issuer(&self) -> &str {
        self.issuer.issuer()
    }

    /// Initiates a session with each claimant's token.
    pub(crate) async fn initiate(&self, server: SocketAddr, connections: usize) -> anyhow::Result<()> {
        let body = json!({ "host": HOST });
        let initiate = |claimant| self.request(claimant, ("POST", "/session/initiate"), Some(&body));
        let requests = (0..).take(self.tokens.len()).map(initiate).collect::<anyhow::Result<_>>()?;
        send_all(server, connections, requests).await?.ensure_success("sessions")?;
        Ok(())
    }

    /// Requests a code for each device, then claims all devices; only the claims are measured.
    pub(crate) async fn claim(
        &self,
        server: &mut ServerProcess,
        fleet: Fleet,
        devices: impl Iterator<Item = u32>,
        options: &Run,
    ) -> anyhow::Result<Measurement> {
        let devices: Vec<u32> = devices.collect();
        let connections = options.connections as usize;
        let requests = devices.iter().map(|device| fleet::terminal_request(CODE.0, CODE.1, *device)).collect();
        let issued = send_all(server.address, connections, requests).await?.ensure_success("requests for codes")?;
        let claims = issued.responses.iter().map(|response| {
            let device = *devices.get(response.index).context("a response without a request")?;
            let code: IssuedCode = serde_json::from_slice(&response.body).context("the response with a code")?;
            self.claim_request(fleet.claimant(device), &code.pairing_code)
        });
        let claims = claims.collect::<anyhow::Result<Vec<_>>>()?;
        let cpu_before = server.cpu_time()?;
        let outcome = send_all(server.address, connections, claims).await?;
        let cpu = server.cpu_time()?.since(cpu_before);
        server.check_alive()?;
        if let Some(failure) = outcome.failures().next() {
            eprintln!("a claim was answered {}: {}", failure.status, String::from_utf8_lossy(&failure.body));
        }
        Ok(Measurement {
            answered: outcome.responses.len() as u64,
            failed: outcome.failures().count() as u64,
            elapsed: outcome.elapsed,
            latency: Latency::of(outcome.responses.iter().map(|response| response.latency).collect()),
            cpu: Some(cpu),
            memory: Some(server.memory()?),
        })
    }

    /// A claimant's request in its wire format.
    pub(crate) fn request(
        &self,
        claimant: u32,
        (method, path): (&str, &str),
        body: Option<&serde_json::Value>,
    ) -> anyhow::Result<Vec<u8>> {
        let token = self.tokens.get(claimant as usize).context("a claimant without a token")?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        let body_headers = match body.len() {
            0 => String::new(),
            length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
        Ok(format!("{head}{body_headers}\r\n{body}").into_bytes())
    }

    fn claim_request(&self, claimant: u32, code: &str) -> anyhow::Result<Vec<u8>> {
        self.request(claimant, ("POST", "/pos/claim"), Some(&json!({ "pairing_code": code })))
    }
}
