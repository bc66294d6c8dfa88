//! The peers that answer the same poll from the same table.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::Peer;
use super::kinds::Kind;
use crate::children::Listening;
use crate::fleet::terminal_request;
use crate::http_load::send_all;
use crate::plan::{Bench, POLL};
use crate::sample::Sample;
use crate::wrk;

/// The devices by which answers are compared: without a code, with one that waits, with one that expired, and claimed.
const EXAMPLES: [u32; 4] = [40_000_001, 40_000_002, 40_000_003, 40_000_004];

/// A device that nobody knows.
const UNKNOWN: u32 = 40_000_009;

/// How many database connections each process of a peer may have: the best of these is taken, found in the run.
const POOLS: [u32; 4] = [4, 8, 16, 32];

const TRIAL: Duration = Duration::from_secs(2);

/// Long enough for a just-in-time compiler to have seen everything.
const WARM_UP: Duration = Duration::from_secs(5);

/// Makes the devices known by which answers are compared.
pub(super) async fn examples(bench: &Bench<'_>) -> anyhow::Result<()> {
    bench.database.add_examples(EXAMPLES).await
}

impl Bench<'_> {
    pub(super) async fn status_peer(&mut self, kind: Kind, prepared: &Path) -> anyhow::Result<Peer> {
        let (options, folder) = (self.options, self.folder);
        let mut trials: Vec<(u32, f64)> = Vec::new();
        for pool in POOLS {
            let mut peer = self.start_peer(kind, prepared, pool).await?;
            self.answers_as_we_do(&peer).await?;
            wrk::run(&mut peer, POLL, TRIAL, options, folder).await?;
            let trial = wrk::run(&mut peer, POLL, TRIAL, options, folder).await?;
            trials.push((pool, trial.per_second()));
            peer.stop().await?;
        }
        let best = trials.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        let pool = best.context("no trials")?.0;
        let mut peer = self.start_peer(kind, prepared, pool).await?;
        self.answers_as_we_do(&peer).await?;
        wrk::run(&mut peer, POLL, WARM_UP, options, folder).await?;
        let (mut theirs, mut ours): (Vec<Sample>, Vec<Sample>) = (Vec::new(), Vec::new());
        for _ in 0..options.repetitions {
            ours.push(self.our_polls().await?);
            theirs.push(wrk::run(&mut peer, POLL, options.measurement(), options, folder).await?);
        }
        peer.stop().await?;
        let processes = if kind == Kind::Fastify { "2 processes" } else { "1 process" };
        let about = format!(
            "the same query and body, without checks, tracing, metrics or limits; {processes}, each with {pool} database \
             connections, the best of {POOLS:?}"
        );
        Ok(Peer { name: kind.title().to_owned(), about, theirs, ours })
    }

    /// Fails unless a peer answers each example with the server's own status and body.
    async fn answers_as_we_do(&self, peer: &Listening) -> anyhow::Result<()> {
        let ours = answers(self.server.address, &EXAMPLES).await?;
        anyhow::ensure!(ours.iter().all(|(status, _)| *status == 200), "the server answers {ours:?}");
        let theirs = answers(peer.address, &EXAMPLES).await?;
        anyhow::ensure!(ours == theirs, "it answers {theirs:?}, and we {ours:?}");
        // Ours is not asked: at the end of a run it must have refused nothing.
        let unknown = answers(peer.address, &[UNKNOWN]).await?;
        anyhow::ensure!(unknown.iter().all(|(status, _)| *status == 404), "an unknown device is answered {unknown:?}");
        Ok(())
    }
}

/// Status and body for each device.
async fn answers(address: SocketAddr, devices: &[u32]) -> anyhow::Result<Vec<(u16, Value)>> {
    let requests = devices.iter().map(|device| terminal_request(POLL.0, POLL.1, *device)).collect();
    // Over one connection they come in order.
    let outcome = send_all(address, 1, requests).await?;
    let read = |answer: &crate::http_load::Answer| {
        let body = serde_json::from_slice(&answer.body).context("an answer that is no JSON")?;
        Ok((answer.status, body))
    };
    outcome.answers.iter().map(read).collect()
}
