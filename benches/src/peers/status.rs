//! Peers that answer the same poll from the same table.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::Peer;
use super::kinds::Kind;
use crate::bench::Bench;
use crate::fleet::{POLL, terminal_request};
use crate::http_load::{Response, send_all};
use crate::measurement::Measurement;
use crate::processes::ServerProcess;
use crate::wrk;

/// Devices for the comparison of responses: without a code, with a pending code, with an expired code, and claimed.
const EXAMPLES: [u32; 4] = [40_000_001, 40_000_002, 40_000_003, 40_000_004];

/// An unknown device.
const UNKNOWN: u32 = 40_000_009;

/// Pool sizes of each process of a peer. The run tries all of them and uses the best.
const POOLS: [u32; 4] = [4, 8, 16, 32];

const TRIAL: Duration = Duration::from_secs(2);

/// Long enough for a just-in-time compiler.
const WARM_UP: Duration = Duration::from_secs(5);

/// Inserts the devices for the comparison of responses.
pub(super) async fn add_examples(bench: &Bench<'_>) -> anyhow::Result<()> {
    bench.database.add_examples(EXAMPLES).await
}

impl Bench<'_> {
    pub(super) async fn status_peer(&mut self, kind: Kind, prepared: &Path) -> anyhow::Result<Peer> {
        let (options, folder) = (self.options, self.folder);
        let mut trials: Vec<(u32, f64)> = Vec::new();
        for pool in POOLS {
            let mut peer = self.start_peer(kind, prepared, pool).await?;
            self.check_responses(&peer).await?;
            wrk::run(&mut peer, POLL, TRIAL, options, folder).await?;
            let trial = wrk::run(&mut peer, POLL, TRIAL, options, folder).await?;
            trials.push((pool, trial.per_second()));
            peer.stop().await?;
        }
        let best = trials.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        let pool = best.context("no trials")?.0;
        let mut peer = self.start_peer(kind, prepared, pool).await?;
        self.check_responses(&peer).await?;
        wrk::run(&mut peer, POLL, WARM_UP, options, folder).await?;
        let (mut theirs, mut ours): (Vec<Measurement>, Vec<Measurement>) = (Vec::new(), Vec::new());
        for _ in 0..options.repetitions {
            ours.push(self.own_polls().await?);
            theirs.push(wrk::run(&mut peer, POLL, options.duration(), options, folder).await?);
        }
        peer.stop().await?;
        let processes = if kind == Kind::Fastify { "2 processes" } else { "1 process" };
        let about = format!(
            "the same query and body, without checks, tracing, metrics or limits; {processes}, each with {pool} \
             database connections, the best of {POOLS:?}"
        );
        Ok(Peer { name: kind.title().to_owned(), about, theirs, ours })
    }

    /// Fails unless the peer's responses for all examples equal the server's.
    async fn check_responses(&self, peer: &ServerProcess) -> anyhow::Result<()> {
        let ours = responses(self.server.address, &EXAMPLES).await?;
        anyhow::ensure!(ours.iter().all(|(status, _)| *status == 200), "the server returns {ours:?}");
        let theirs = responses(peer.address, &EXAMPLES).await?;
        anyhow::ensure!(ours == theirs, "the peer returns {theirs:?}, the server {ours:?}");
        // Not sent to the server: at the end of a run it must have counted no errors.
        let unknown = responses(peer.address, &[UNKNOWN]).await?;
        let is_not_found = unknown.iter().all(|(status, _)| *status == 404);
        anyhow::ensure!(is_not_found, "for an unknown device the peer returns {unknown:?}");
        Ok(())
    }
}

/// The status and body of the response for each device.
async fn responses(address: SocketAddr, devices: &[u32]) -> anyhow::Result<Vec<(u16, Value)>> {
    let requests = devices.iter().map(|device| terminal_request(POLL.0, POLL.1, *device)).collect();
    // On one connection the responses are in order.
    let outcome = send_all(address, 1, requests).await?;
    let parse = |response: &Response| {
        let body = serde_json::from_slice(&response.body).context("a response that is not JSON")?;
        Ok((response.status, body))
    };
    outcome.responses.iter().map(parse).collect()
}
