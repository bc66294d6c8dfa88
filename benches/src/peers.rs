//! Peers: other servers under the same load. Two answer the same poll from the same table; the others are device flows
//! (RFC 8628), whose token poll is the most similar request.

mod device_flow;
mod kinds;
mod status;

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use self::kinds::Kind;
use crate::bench::Bench;
use crate::fleet::POLL;
use crate::measurement::{Measurement, Spread};
use crate::processes::ServerProcess;
use crate::wrk;

/// The measurements of a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Its configuration, or why it was not measured.
    about: String,
    theirs: Vec<Measurement>,
    /// The server's polls, each measured just before the peer's.
    ours: Vec<Measurement>,
}

impl Peer {
    fn missing(kind: Kind, why: &str) -> Self {
        let about = format!("unavailable: {}", why.trim());
        Self { name: kind.title().to_owned(), about, theirs: Vec::new(), ours: Vec::new() }
    }

    /// Rate, ratio to the server's, p99, memory, failures.
    pub(crate) fn cells(&self) -> [String; 5] {
        let median = |number: &dyn Fn(&Measurement) -> Option<f64>, digits: usize| {
            let spread = Spread::of(self.theirs.iter().filter_map(number));
            spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.digits$}", spread.median))
        };
        let pairs = self.theirs.iter().zip(&self.ours);
        let ratio = Spread::of(pairs.map(|(theirs, ours)| theirs.per_second() / ours.per_second()));
        let failed: u64 = self.theirs.iter().map(|measurement| measurement.failed).sum();
        [
            median(&|measurement| Some(measurement.per_second()), 0),
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.3}", ratio.median)),
            median(&Measurement::p99_millis, 2),
            median(&|measurement| Some(measurement.memory?.now as f64 / 1_024.0), 0),
            if self.theirs.is_empty() { "–".to_owned() } else { failed.to_string() },
        ]
    }

    /// Its configuration, or why it was not measured.
    pub(crate) fn remark(&self) -> &str {
        &self.about
    }

    pub(crate) fn summary(&self) -> String {
        let [rate, ratio, p99, memory, failed] = self.cells();
        format!(
            "peer {:<28} {rate:>9} a second, {ratio:>6} of ours, p99 {p99:>8} ms, RSS {memory:>5} MiB, failed {failed}; {}",
            self.name, self.about
        )
    }
}

impl Bench<'_> {
    /// Measures each peer that `benches/peers/prepare` has prepared in the folder. A peer that is unavailable or responds
    /// incorrectly gets a row with the reason.
    pub(crate) async fn peers(&mut self, prepared: &Path) -> anyhow::Result<Vec<Peer>> {
        let prepared = prepared.canonicalize().context("the folder of the peers")?;
        status::add_examples(self).await?;
        self.issue_codes().await?;
        let mut peers = Vec::new();
        for kind in Kind::ALL {
            eprintln!("measuring the peer {} …", kind.name());
            let peer = match std::fs::read_to_string(prepared.join(format!("{}.missing", kind.name()))) {
                Ok(why) => Peer::missing(kind, &why),
                Err(_) => match self.peer(kind, &prepared).await {
                    Ok(peer) => peer,
                    Err(error) => Peer::missing(kind, &format!("{error:#}")),
                },
            };
            eprintln!("  {}", peer.summary());
            peers.push(peer);
        }
        Ok(peers)
    }

    async fn peer(&mut self, kind: Kind, prepared: &Path) -> anyhow::Result<Peer> {
        match kind {
            Kind::Gin | Kind::Fastify => self.status_peer(kind, prepared).await,
            Kind::OidcProvider | Kind::Keycloak => self.device_flow_peer(kind, prepared).await,
            Kind::Hydra => anyhow::bail!("there is no driver"),
        }
    }

    /// Measures the server's polls.
    async fn own_polls(&mut self) -> anyhow::Result<Measurement> {
        wrk::run(&mut self.server, POLL, self.options.duration(), self.options, self.folder).await
    }

    async fn start_peer(&self, kind: Kind, prepared: &Path, pool: u32) -> anyhow::Result<ServerProcess> {
        kind.start(prepared, self.folder, &self.options.database_url, pool).await
    }
}
