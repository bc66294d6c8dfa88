//! The peers that are device flows: what is measured is the token poll of a code that nobody has said yes or no to.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;

use super::Peer;
use super::kinds::{KEYCLOAK_DATABASE, Kind};
use crate::http_load::{Answer, send_all};
use crate::plan::Bench;
use crate::sample::Sample;
use crate::wrk;

const SCRIPT: (&str, &str) = ("token.lua", include_str!("../../lua/token.lua"));

/// A Java server gets faster for a long while.
const WARM_UP: Duration = Duration::from_secs(15);

const PATIENCE: Duration = Duration::from_secs(120);

/// Where a peer gives codes and takes polls, and how many codes take part.
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
                about: "token poll while authorization_pending; the store it comes with, in the memory of its one process \
                        on one core, no database; it enforces no interval",
            }),
            Kind::Keycloak => Ok(Self {
                authorization: "/realms/bench/protocol/openid-connect/auth/device",
                token: "/realms/bench/protocol/openid-connect/token",
                codes: 20_000,
                about: "token poll while authorization_pending; production mode over PostgreSQL, one node, device codes in \
                        its own cache; its interval (1 s) is kept by 20000 codes polled in turn",
            }),
            other => anyhow::bail!("{} has no device flow here", other.name()),
        }
    }
}

#[derive(Deserialize)]
struct Authorized {
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
            self.database.beside(KEYCLOAK_DATABASE).await?;
        }
        let mut peer = self.start_peer(kind, prepared, 1).await?;
        until_it_gives_codes(peer.address, &flow).await?;
        let codes = codes(peer.address, &flow).await?;
        let first = codes.first().context("no codes")?;
        let answer = send(peer.address, flow.token, &token_form(first)).await?;
        let refused: Refused = serde_json::from_slice(&answer.body)
            .with_context(|| format!("a poll was answered {}, no JSON", answer.status))?;
        let expected = answer.status == 400 && refused.error == "authorization_pending";
        anyhow::ensure!(expected, "a poll was answered {} {}", answer.status, refused.error);
        let file = folder.join("device-codes");
        std::fs::write(&file, codes.join("\n"))?;
        let threads = options.connections.min(2).to_string();
        let file = file.to_str().context("a folder whose name is no UTF-8")?;
        let arguments = [flow.token, file, threads.as_str()];
        wrk::by_script(&mut peer, SCRIPT, &arguments, WARM_UP, options.connections, folder).await?;
        let (mut theirs, mut ours): (Vec<Sample>, Vec<Sample>) = (Vec::new(), Vec::new());
        for _ in 0..options.repetitions {
            ours.push(self.our_polls().await?);
            let length = options.measurement();
            theirs.push(wrk::by_script(&mut peer, SCRIPT, &arguments, length, options.connections, folder).await?);
        }
        peer.stop().await?;
        Ok(Peer { name: kind.title().to_owned(), about: flow.about.to_owned(), theirs, ours })
    }
}

/// It may accept connections before it can do anything.
async fn until_it_gives_codes(address: SocketAddr, flow: &Flow) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let told = match send(address, flow.authorization, AUTHORIZATION_FORM).await {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
            Err(error) => format!("{error:#}"),
        };
        anyhow::ensure!(Instant::now() < until, "it gives no device codes: {told}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn codes(address: SocketAddr, flow: &Flow) -> anyhow::Result<Vec<String>> {
    let requests = vec![form(flow.authorization, AUTHORIZATION_FORM); flow.codes];
    let outcome = send_all(address, 16, requests).await?.all_well("requests for device codes")?;
    let read = |answer: &Answer| {
        let authorized: Authorized = serde_json::from_slice(&answer.body).context("a device code's answer")?;
        Ok(authorized.device_code)
    };
    outcome.answers.iter().map(read).collect()
}

async fn send(address: SocketAddr, path: &str, body: &str) -> anyhow::Result<Answer> {
    let outcome = send_all(address, 1, vec![form(path, body)]).await?;
    outcome.answers.into_iter().next().context("no answer")
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
