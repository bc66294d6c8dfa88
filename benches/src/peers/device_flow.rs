//! Peers with a device flow: measures the token poll of device codes that are pending.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;

use super::Peer;
use super::kinds::{KEYCLOAK_DATABASE, Kind};
use crate::bench::Bench;
use crate::http_load::{Response, send_all};
use crate::measurement::Measurement;
use crate::wrk;

const SCRIPT: (&str, &str) = ("token.lua", include_str!("../../lua/token.lua"));

/// Long enough for the just-in-time compiler of a Java server.
const WARM_UP: Duration = Duration::from_secs(15);

/// Time limit until the peer issues device codes.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// The peer's endpoints, and the number of codes.
struct Flow {
    authorization: &'static str,
    token: &'static str,
    codes: usize,
    about: &'static str,
}

impl Flow {
    fn of(kind: Kind) -> anyhow::Result<Self> {
        match kind {
            Kind::OidcProvider => Ok(Self {
                authorization: "/device/auth",
                token: "/token",
                codes: 200,
                about: "token poll while authorization_pending; its default in-memory store, one process on one core, \
                        no database; it enforces no interval",
            }),
            Kind::Keycloak => Ok(Self {
                authorization: "/realms/bench/protocol/openid-connect/auth/device",
                token: "/realms/bench/protocol/openid-connect/token",
                codes: 20_000,
                about: "token poll while authorization_pending; production mode on PostgreSQL, one node, device codes \
                        in its own cache; 20000 codes polled in turn respect its interval (1 s)",
            }),
            other => anyhow::bail!("{} has no device flow here", other.name()),
        }
    }
}

#[derive(Deserialize)]
struct Authorization {
    device_code: String,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Bench<'_> {
    pub(super) async fn device_flow_peer(&mut self, kind: Kind, prepared: &Path) -> anyhow::Result<Peer> {
        let (options, folder) = (self.options, self.folder);
        let flow = Flow::of(kind)?;
        if kind == Kind::Keycloak {
            self.database.create_sibling(KEYCLOAK_DATABASE).await?;
        }
        let mut peer = self.start_peer(kind, prepared, 1).await?;
        wait_until_ready(peer.address, &flow).await?;
        let codes = codes(peer.address, &flow).await?;
        let first = codes.first().context("no codes")?;
        let response = send(peer.address, flow.token, &token_form(first)).await?;
        let refused: Refused = serde_json::from_slice(&response.body)
            .with_context(|| format!("a poll was answered {}, not JSON", response.status))?;
        let expected = response.status == 400 && refused.error == "authorization_pending";
        anyhow::ensure!(expected, "a poll was answered {} {}", response.status, refused.error);
        let file = folder.join("device-codes");
        std::fs::write(&file, codes.join("\n"))?;
        let threads = options.connections.min(2).to_string();
        let file = file.to_str().context("the folder's name is not UTF-8")?;
        let arguments = [flow.token, file, threads.as_str()];
        wrk::run_script(&mut peer, SCRIPT, &arguments, WARM_UP, options.connections, folder).await?;
        let (mut theirs, mut ours): (Vec<Measurement>, Vec<Measurement>) = (Vec::new(), Vec::new());
        for _ in 0..options.repetitions {
            ours.push(self.own_polls().await?);
            let length = options.duration();
            theirs.push(wrk::run_script(&mut peer, SCRIPT, &arguments, length, options.connections, folder).await?);
        }
        peer.stop().await?;
        Ok(Peer { name: kind.title().to_owned(), about: flow.about.to_owned(), theirs, ours })
    }
}

/// Waits until the peer issues device codes: it may accept connections before it is ready.
async fn wait_until_ready(address: SocketAddr, flow: &Flow) -> anyhow::Result<()> {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        let problem = match send(address, flow.authorization, AUTHORIZATION_FORM).await {
            Ok(response) if response.status == 200 => return Ok(()),
            Ok(response) => format!("{}: {}", response.status, String::from_utf8_lossy(&response.body)),
            Err(error) => format!("{error:#}"),
        };
        anyhow::ensure!(Instant::now() < until, "it issues no device codes: {problem}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn codes(address: SocketAddr, flow: &Flow) -> anyhow::Result<Vec<String>> {
    let requests = vec![form(flow.authorization, AUTHORIZATION_FORM); flow.codes];
    let outcome = send_all(address, 16, requests).await?.ensure_success("requests for device codes")?;
    let parse = |response: &Response| {
        let authorization: Authorization =
            serde_json::from_slice(&response.body).context("the response with a device code")?;
        Ok(authorization.device_code)
    };
    outcome.responses.iter().map(parse).collect()
}

async fn send(address: SocketAddr, path: &str, body: &str) -> anyhow::Result<Response> {
    let outcome = send_all(address, 1, vec![form(path, body)]).await?;
    outcome.responses.into_iter().next().context("no response")
}

const AUTHORIZATION_FORM: &str = "client_id=terminal&scope=openid";

fn token_form(code: &str) -> String {
    format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=terminal&device_code={code}")
}

fn form(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
