//! Other people's servers under the same load: two that answer the same poll from the same table, and device flows
//! (RFC 8628) whose token poll is the nearest thing to it.

mod device_flow;
mod kinds;
mod status;

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use self::kinds::Kind;
use crate::children::Listening;
use crate::plan::{Bench, POLL};
use crate::sample::{Sample, Spread};
use crate::wrk;

/// What became of a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// How it was set up, or why there is no figure.
    about: String,
    theirs: Vec<Sample>,
    /// The server's polls, each measured just before theirs.
    ours: Vec<Sample>,
}

impl Peer {
    fn missing(kind: Kind, why: &str) -> Self {
        let about = format!("not had: {}", why.trim());
        Self { name: kind.title().to_owned(), about, theirs: Vec::new(), ours: Vec::new() }
    }

    /// Rate, ratio to ours, p99, memory, failures.
    pub(crate) fn cells(&self) -> [String; 5] {
        let median = |number: &dyn Fn(&Sample) -> Option<f64>, digits: usize| {
            let spread = Spread::of(self.theirs.iter().filter_map(number));
            spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.digits$}", spread.median))
        };
        let pairs = self.theirs.iter().zip(&self.ours);
        let ratio = Spread::of(pairs.map(|(theirs, ours)| theirs.per_second() / ours.per_second()));
        let failed: u64 = self.theirs.iter().map(|sample| sample.failed).sum();
        [
            median(&|sample| Some(sample.per_second()), 0),
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.3}", ratio.median)),
            median(&Sample::p99_millis, 2),
            median(&|sample| Some(sample.memory?.now as f64 / 1_024.0), 0),
            if self.theirs.is_empty() { "–".to_owned() } else { failed.to_string() },
        ]
    }

    /// How it was set up, or why there is no figure.
    pub(crate) fn remark(&self) -> &str {
        &self.about
    }

    pub(crate) fn in_words(&self) -> String {
        let [rate, ratio, p99, memory, failed] = self.cells();
        format!(
            "peer {:<28} {rate:>9} a second, {ratio:>6} of ours, p99 {p99:>8} ms, RSS {memory:>5} MiB, failed {failed}; {}",
            self.name, self.about
        )
    }
}

impl Bench<'_> {
    /// Each peer alone, from what `benches/peers/prepare` left in the folder. One that cannot be had, or answers wrongly,
    /// has a row that says why.
    pub(crate) async fn peers(&mut self, prepared: &Path) -> anyhow::Result<Vec<Peer>> {
        let prepared = prepared.canonicalize().context("the folder of the peers")?;
        status::examples(self).await?;
        self.show_codes().await?;
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
            eprintln!("  {}", peer.in_words());
            peers.push(peer);
        }
        Ok(peers)
    }

    async fn peer(&mut self, kind: Kind, prepared: &Path) -> anyhow::Result<Peer> {
        match kind {
            Kind::Gin | Kind::Fastify => self.status_peer(kind, prepared).await,
            Kind::OidcProvider | Kind::Keycloak => self.device_flow_peer(kind, prepared).await,
            Kind::Hydra => anyhow::bail!("it has no driver"),
        }
    }

    /// The server's polls for as long as a measurement takes.
    async fn our_polls(&mut self) -> anyhow::Result<Sample> {
        wrk::run(&mut self.server, POLL, self.options.measurement(), self.options, self.folder).await
    }

    async fn start_peer(&self, kind: Kind, prepared: &Path, pool: u32) -> anyhow::Result<Listening> {
        kind.start(prepared, self.folder, &self.options.database_url, pool).await
    }
}
