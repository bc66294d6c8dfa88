//! Servers measured in turn, a moment each.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::children::Listening;
use crate::plan::POLL;
use crate::sample::Sample;
use crate::wrk::{self, Terminals};

/// The machine may stand still for a tenth of a second now and then, and a neighbour may work for some. Many short slices of
/// each server share such moments out between them.
const SLICE: Duration = Duration::from_secs(1);

/// Polls of each of these servers by its terminals, for so many seconds in all. The order changes from turn to turn, so that
/// no server always comes after the same other, and so do the devices that are drawn; in one turn all are drawn alike.
pub(crate) async fn in_turn<'s>(
    servers: impl IntoIterator<Item = (&'s mut Listening, Terminals)>,
    seconds: u32,
    folder: &Path,
) -> anyhow::Result<Vec<Sample>> {
    let mut all: Vec<_> = servers.into_iter().map(|server| (server, Vec::new())).collect();
    for _ in 0..seconds {
        let seed = wrk::new_seed();
        for ((server, terminals), slices) in &mut all {
            let terminals = Terminals { seed, ..*terminals };
            slices.push(wrk::of_terminals(server, POLL, SLICE, terminals, folder).await?);
        }
        all.reverse();
    }
    if seconds % 2 == 1 {
        all.reverse();
    }
    all.iter().map(|(_, slices)| Sample::joined(slices).context("no slices")).collect()
}
